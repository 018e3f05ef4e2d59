"""The page: how long one waits for it, and what it takes beside the model."""
