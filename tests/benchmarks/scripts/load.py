"""Loads a SavedModel and looks at its signatures: python load.py DIRECTORY."""

import sys

import tensorflow as tf

for signature in tf.saved_model.load(sys.argv[1]).signatures.values():
    print(signature.structured_input_signature, signature.structured_outputs)
