"""Finds what keeps a SavedModel from working elsewhere, or from working as before."""
