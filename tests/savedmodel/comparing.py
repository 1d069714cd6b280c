"""Shared by the tests of compatibility: specs of inputs, and the changes that callers notice."""

import tensorflow as tf

BREAKING, ADDITIVE = ("breaking", "major"), ("additive", "minor")
NUMBER = tf.TensorSpec([], tf.float32)
ONE, TWO = tf.constant(1.0), tf.constant(2.0)
ROWS, ROW = ("float32", [None, 3]), ("float32", [1, 3])


def specs(inputs, outputs=None):
    return {"serving_default": (inputs, outputs or {"y": ROWS})}


def noticed(found):
    """Returns the changes that callers notice, as the command line prints them."""
    return [
        str(change)
        for change in found.changes
        if change.part in ("tags", "signatures", "functions")
    ]
