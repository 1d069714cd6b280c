"""Reads the variables of a SavedModel from its checkpoint files."""
