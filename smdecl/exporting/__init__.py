"""Stages 3 to 5, build, trace and save: turns the live object into a SavedModel by TensorFlow."""
