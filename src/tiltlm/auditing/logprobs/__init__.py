"""logprobs."""
