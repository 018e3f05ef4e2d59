"""Read a model as it is when nobody trains it, and leave its mode as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from tiltlm.models.attention import attention_without_plans
from tiltlm.models.structure import input_device


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode, without dropout, for the length of the context.

    On a GPU attention does without plans as well; see `attention_without_plans`.

    Args:
        model: whose mode is restored afterwards.
    """
    training = model.training
    model.eval()
    try:
        with attention_without_plans(input_device(model)):
            yield
    finally:
        model.train(training)
