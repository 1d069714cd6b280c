"""Exports a Keras model with random weights: python mobilenetv2.py DIRECTORY."""

import sys

import keras

model = keras.applications.MobileNetV2(weights=None)
model.export(sys.argv[1], verbose=False)
