"""Stage 6: reads any SavedModel from its bytes: what it is, what may trouble a server, how two differ. No TensorFlow."""
