"""Stage 8: a verified SavedModel becomes a published release. No TensorFlow here."""
