"""Names of the parts of a SavedModel, by TensorFlow, TensorFlow Serving and smdecl."""

from __future__ import annotations

# The method name of a signature for the Predict API, and of most signatures.
PREDICT = "tensorflow/serving/predict"
# Signature keys of TensorFlow's own: for initializing tables, and for a training step.
RESERVED_KEYS = ("__saved_model_init_op", "__saved_model_train_op")
# Functions of every layer that legacy tf_keras saves.
LEGACY_KERAS_FUNCTIONS = (
    "__call__",
    "call_and_return_conditional_losses",
    "call_and_return_all_conditional_losses",
)
# The signature that a request asks for if it names none.
DEFAULT_KEY = "serving_default"
# Paths in a SavedModel: the message, variables and the prefix of their checkpoint, the files of the user.
MESSAGE_FILE = "saved_model.pb"
VARIABLES = "variables"
CHECKPOINT_PREFIX = f"{VARIABLES}/variables"
ASSETS = "assets"
FINGERPRINT_FILE = "fingerprint.pb"
# Where TensorFlow Serving looks for requests to run before it serves.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
# What smdecl adds to a release.
OWN_FILES = "assets.extra/smdecl"
# The tensor of a checkpoint that holds its object graph.
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Ops that run functions.
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
LOOPS = ("While", "StatelessWhile")
