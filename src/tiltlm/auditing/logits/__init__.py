"""logits."""
