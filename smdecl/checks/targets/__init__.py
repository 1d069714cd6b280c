"""Checks the `_target_`s that a config names, without importing them."""
