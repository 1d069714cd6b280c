"""Saves a model of many small variables: python variables.py COUNT DIRECTORY."""

import sys

import tensorflow as tf


class Variables(tf.Module):
    def __init__(self, count):
        super().__init__()
        self.weights = [tf.Variable([float(number)]) for number in range(count)]

    @tf.function
    def add(self, x):
        return x + tf.add_n(self.weights)[0]


if __name__ == "__main__":
    model = Variables(int(sys.argv[1]))
    signature = model.add.get_concrete_function(tf.TensorSpec([], tf.float32, name="x"))
    tf.saved_model.save(model, sys.argv[2], signatures=signature)
