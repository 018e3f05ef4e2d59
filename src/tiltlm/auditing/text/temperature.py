"""At which temperature a text would have been drawn from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tiltlm.auditing.text.suspects import Answer
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.token_contexts import TokenContexts

_STEPS = 6
"""Newton steps, each at most by half; the likelihood has one maximum."""


_NOTED, _SURE = 0.25, 4.0
"""A sharpness is told of if it is off by so much, and by so many standard errors."""


@dataclass(frozen=True)
class Sharpness:
    """By what logits of the reference are multiplied so that a text is likeliest.

    Attributes:
        value: 1 / temperature.
        error: its standard error.
    """

    value: float
    error: float

    @property
    def note(self) -> str | None:
        """What a reader of an audit should know; None where the temperature may be 1."""
        off = abs(self.value - 1)
        if off < _NOTED or off < _SURE * self.error:
            return None
        return (
            f"The text is as if drawn from the reference at a temperature of {1 / self.value:.2f}. "
            "Where the server does not draw at 1 from all tokens, what was found may be that."
        )


def sharpness(reader: LogitReader, answers: Sequence[Answer]) -> Sharpness:
    """The maximum of likelihood.

    Args:
        reader: of the reference.
        answers: at least one, each of at least one token.
    """
    contexts = TokenContexts([[*answer.prompt, *answer.ids] for answer in answers], "answers")
    parts: list[tuple[torch.Tensor, list[int]]] = []
    for indices in reader.batches(contexts):
        for index, rows in zip(indices, reader.read(contexts, indices), strict=True):
            answer = answers[index]
            before = len(answer.prompt) - 1
            parts.append((rows[before : before + len(answer.ids)], answer.ids))
    value, error = 1.0, float("inf")
    for _ in range(_STEPS):
        slope = information = 0.0
        for rows, ids in parts:
            logits = reader.logits(rows).double()
            probabilities = (value * logits).softmax(-1)
            mean = (probabilities * logits).sum(-1)
            chosen = logits.gather(1, torch.tensor(ids, device=logits.device)[:, None])[:, 0]
            slope += float((chosen - mean).sum())
            information += float((probabilities * (logits - mean[:, None]) ** 2).sum())
        information = max(information, 1e-12)
        value = min(max(value + slope / information, value / 2), value * 2)
        error = information**-0.5
    return Sharpness(value, error)
