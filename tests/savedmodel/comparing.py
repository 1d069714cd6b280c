"""What the tests of compatibility share: the specs of inputs, and what a caller can tell of a change."""

import tensorflow as tf

BREAKING, ADDITIVE = ("breaking", "major"), ("additive", "minor")
NUMBER = tf.TensorSpec([], tf.float32)
ONE, TWO = tf.constant(1.0), tf.constant(2.0)
ROWS, ROW = ("float32", [None, 3]), ("float32", [1, 3])


def specs(inputs, outputs=None):
    return {"serving_default": (inputs, outputs or {"y": ROWS})}


def told(found):
    """Returns what a caller can tell, as the command line prints it."""
    return [
        str(change)
        for change in found.changes
        if change.part in ("tags", "signatures", "functions")
    ]
