"""Names in a SavedModel that TensorFlow, TensorFlow Serving and smdecl define."""

from __future__ import annotations

# The method name of signatures for the Predict API: of most signatures.
PREDICT = "tensorflow/serving/predict"
# Signature keys that TensorFlow reserves: for initializing tables, and for a training step.
RESERVED_KEYS = ("__saved_model_init_op", "__saved_model_train_op")
# The functions that legacy tf_keras saves for every layer.
LEGACY_KERAS_FUNCTIONS = (
    "__call__",
    "call_and_return_conditional_losses",
    "call_and_return_all_conditional_losses",
)
# The key of the signature that serves requests without a signature name.
DEFAULT_KEY = "serving_default"
# Paths in a SavedModel. The checkpoint of the variables has a prefix, not a single file.
MESSAGE_FILE = "saved_model.pb"
VARIABLES = "variables"
CHECKPOINT_PREFIX = f"{VARIABLES}/variables"
ASSETS = "assets"
FINGERPRINT_FILE = "fingerprint.pb"
# Files that TensorFlow itself does not read.
EXTRA = "assets.extra"
# TensorFlow Serving replays the requests in this file before it serves.
WARMUP_FILE = f"{EXTRA}/tf_serving_warmup_requests"
# The folder for the files that smdecl adds to a release.
OWN_FILES = f"{EXTRA}/smdecl"
# The tensor in a checkpoint that holds its object graph.
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Ops that run functions: by a call, and in a loop.
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
LOOPS = ("While", "StatelessWhile")
