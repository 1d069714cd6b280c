"""Checks weights: their files and formats."""
