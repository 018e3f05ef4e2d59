"""Undoing tilts, those of others among them: what is left, what it costs, and how it comes back."""
