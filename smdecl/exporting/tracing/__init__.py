"""Stage 4, trace: turns the methods of the live object into concrete functions."""
