"""Exports a Keras model with random weights: python efficientnetb0.py DIRECTORY."""

import sys

import keras

model = keras.applications.EfficientNetB0(weights=None)
model.export(sys.argv[1], verbose=False)
