"""Checks examples: their values, files and dims."""
