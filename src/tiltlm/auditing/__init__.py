"""Has somebody tilted this model, and towards what."""
