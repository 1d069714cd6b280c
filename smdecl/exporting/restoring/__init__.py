"""Restores weights: checkpoints, SavedModels and the files of Keras."""
