"""Names that TensorFlow and TensorFlow Serving give to parts of a SavedModel."""

from __future__ import annotations

# The method name of a signature for the Predict API, and of most signatures.
PREDICT = "tensorflow/serving/predict"
# Signature keys of TensorFlow's own: for initializing tables, and for a training step.
RESERVED_KEYS = ("__saved_model_init_op", "__saved_model_train_op")
# Functions of every layer that legacy tf_keras saves.
LEGACY_KERAS_FUNCTIONS = ("__call__", "call_and_return_conditional_losses", "call_and_return_all_conditional_losses")
