"""Losses: how far a model is from a target, and the gradient of that.

divergences        forward KL, reverse KL and Jensen–Shannon, position by position
tilt_loss          the article's loss, as a module of torch
linear_divergence  the same straight from hidden states and head, without all logits at once
head_target        what that comes close to
head_blocks        how that goes through the rows, block by block
head_products      the products that it is made of, exact where that counts
block_rows         what is done with the rows of one block
row_gradients      each divergence of a few rows with its gradient
row_kernel         the same in one kernel, on a GPU
masses             how much probability lies on a set of tokens

Knows nothing of events, contexts or models. What is named here loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
