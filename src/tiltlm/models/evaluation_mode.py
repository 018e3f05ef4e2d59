"""Read a model as it is when nobody trains it, and leave its mode as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without dropout, for the length of the context.

    Args:
        model: whose mode is restored afterwards.
    """
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
