"""Stage 7: loads what was saved as a server does, and runs the examples. TensorFlow lives here."""
