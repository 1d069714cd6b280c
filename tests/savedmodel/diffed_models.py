"""Shared by the tests of `diff`: models to compare, and the changes between them."""

import tensorflow as tf

VECTOR = tf.TensorSpec([None], tf.float32, name="x")


def save(directory, ask=lambda x: x, spec=VECTOR, **attributes):
    """Saves a model with one signature, variables and assets."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)

    @tf.function(input_signature=[spec])
    def serve(x):
        return ask(x)

    tf.saved_model.save(module, str(directory), signatures=serve)
    return directory


def lines(found, *parts):
    """Returns the changes of some parts, as the command line prints them."""
    return [str(change) for change in found.changes if change.part in parts]
