"""Compares two SavedModels."""
