"""Exports a Keras model with random weights: python efficientnetb4.py DIRECTORY."""

import sys

import keras

model = keras.applications.EfficientNetB4(weights=None)
model.export(sys.argv[1], verbose=False)
