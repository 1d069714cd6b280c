"""Explains why a config cannot be composed: the file, the line, the key and a hint."""
