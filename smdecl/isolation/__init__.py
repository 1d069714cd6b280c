"""Runs functions in processes of their own, confined by the kernel where that is asked for."""
