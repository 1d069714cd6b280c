"""Saves a function without variables: python adder.py DIRECTORY."""

import sys

import tensorflow as tf


class Adder(tf.Module):
    @tf.function
    def add(self, x):
        return x + x


model = Adder()
signature = model.add.get_concrete_function(tf.TensorSpec([], tf.float32, name="x"))
tf.saved_model.save(model, sys.argv[1], signatures=signature)
