"""The live object: what it tracks and holds, and what its Keras layers are."""
