"""Stages 3 to 5, build, trace and save: the live object becomes a SavedModel. TensorFlow lives here."""
