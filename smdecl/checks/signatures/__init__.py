"""Checks signatures: names of inputs, dims and what serving APIs can send."""
