"""A model of many variables, for the benchmark of memory: as a plain script, `python big.py GIB DIRECTORY`, it saves it."""

import sys

import tensorflow as tf

_MIB = 64  # of a variable


class Big(tf.Module):
    def __init__(self, gib):
        super().__init__()
        rows = _MIB * 2**20 // 4 // 1024
        self.variables_ = [tf.Variable(tf.zeros([rows, 1024])) for _ in range(int(gib * 1024) // _MIB)]

    @tf.function
    def add(self, x):
        return x + tf.add_n([variable[0, 0] for variable in self.variables_])


if __name__ == "__main__":
    model = Big(float(sys.argv[1]))
    tf.saved_model.save(
        model, sys.argv[2], signatures=model.add.get_concrete_function(tf.TensorSpec([], tf.float32, name="x"))
    )
