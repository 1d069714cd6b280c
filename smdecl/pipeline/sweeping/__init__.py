"""Sweeps: exports many variants, several at a time."""
