"""Drives the stages, in processes of their own: exports, sweeps, verifies and reproduces."""
