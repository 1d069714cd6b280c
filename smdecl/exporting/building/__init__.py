"""Stage 3, build: creates the live object."""
