"""Stage 5, save: writes the SavedModel, with repeatable bytes."""
