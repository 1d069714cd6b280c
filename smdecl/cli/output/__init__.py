"""What a person sees: results as text, and how far a run is."""
