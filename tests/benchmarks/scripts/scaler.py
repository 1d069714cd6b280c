"""Saves a function of one variable: python scaler.py FACTOR DIRECTORY."""

import sys

import tensorflow as tf


class Scaler(tf.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = tf.Variable(factor, name="factor")

    @tf.function
    def scale(self, x):
        return x * self.factor


model = Scaler(float(sys.argv[1]))
signature = model.scale.get_concrete_function(tf.TensorSpec([], tf.float32, name="x"))
tf.saved_model.save(model, sys.argv[2], signatures=signature)
