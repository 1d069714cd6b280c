"""Saves a model of large variables: python big.py MEBIBYTES DIRECTORY."""

import sys

import tensorflow as tf

MEBIBYTES = 64  # of a variable
COLUMNS = 1024
ROWS = MEBIBYTES * 2**20 // (4 * COLUMNS)


class Big(tf.Module):
    def __init__(self, mebibytes):
        super().__init__()
        count = mebibytes // MEBIBYTES
        self.weights = [tf.Variable(tf.zeros([ROWS, COLUMNS])) for _ in range(count)]

    @tf.function
    def add(self, x):
        return x + tf.add_n([weight[0, 0] for weight in self.weights])


if __name__ == "__main__":
    model = Big(int(sys.argv[1]))
    signature = model.add.get_concrete_function(tf.TensorSpec([], tf.float32, name="x"))
    tf.saved_model.save(model, sys.argv[2], signatures=signature)
