"""Exports a Keras model with random weights: python resnet50.py DIRECTORY."""

import sys

import keras

model = keras.applications.ResNet50(weights=None)
model.export(sys.argv[1], verbose=False)
