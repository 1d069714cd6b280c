"""Stage 2: what a schema cannot say about a config. No TensorFlow here."""
