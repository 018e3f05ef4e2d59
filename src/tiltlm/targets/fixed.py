"""Targets that are the same in every context: uniform over an event, or given weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.event import Event, FixedEvent
from tiltlm.events.expressions import shown
from tiltlm.events.texts import has_bytes
from tiltlm.events.tokens import tokens
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import check_event
from tiltlm.targets.bound import FixedTarget
from tiltlm.targets.numbers import is_number, written
from tiltlm.targets.target import Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class _Uniform(Target):
    event: Event

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> FixedTarget:
        mask = self.event.mask(vocabulary)
        probabilities = mask.float() / mask.sum()
        event = self.event.bind(vocabulary)
        return FixedTarget(str(self), event, vocabulary.fingerprint, probabilities)

    def sentence(self) -> str:
        return f"only tokens in {self.event}, all equally likely"

    def __str__(self) -> str:
        return f"uniform({self.event})"


@dataclass(frozen=True)
class _Weights(Target):
    items: tuple[tuple[str | int, float], ...]

    def sentence(self) -> str:
        total = sum(weight for _, weight in self.items)
        shares = ", ".join(f"{key!r} {weight / total:.3g}" for key, weight in self.items)
        return f"always the same probabilities: {shares}"

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> FixedTarget:
        import torch

        # Where several ids decode to the same bytes, the first of them counts.
        ids = {token: index for index, token in reversed(list(enumerate(vocabulary.tokens)))}
        weights = torch.zeros(len(vocabulary), dtype=torch.float64)
        for key, weight in self.items:
            token = key if isinstance(key, int) else ids.get(key.encode(errors="surrogateescape"))
            if token is None:
                raise TargetError(
                    f"{key!r} is not one token of this vocabulary",
                    where=str(self),
                    fix="look for its pieces with `tiltlm tokens`; a leading space counts",
                )
            if isinstance(key, int):
                tokens(key).holds(vocabulary)  # refuses ids that do not exist
            weights[token] += weight
        probabilities = (weights / weights.sum()).float()
        mask = probabilities > 0
        event = FixedEvent(str(tokens(mask.nonzero().flatten().tolist())), mask)
        return FixedTarget(str(self), event, vocabulary.fingerprint, probabilities)

    def __str__(self) -> str:
        return "weights({" + ", ".join(f"{k!r}: {written(w)}" for k, w in self.items) + "})"


def uniform(event: Event) -> Target:
    """All tokens of the event equally likely, all others impossible: M_i / Σ_j M_j.

    Raises:
        TargetError: there is no event.

    Source: the article's target, "Train a model to like X".

    >>> from tiltlm.events.tokens import contains
    >>> vocabulary = Vocabulary((b"x", b"ax", b"b"))
    >>> uniform(contains("x")).bind(vocabulary).log_probs().exp().tolist()
    [0.5, 0.5, 0.0]
    """
    check_event("uniform", event)
    return _Uniform(event)


def weights(items: Mapping[str | int, float]) -> Target:
    """A fixed distribution: each token, by its exact text or id, with a weight.

    Args:
        items: from token to weight; weights are normalised to sum to one, and all tokens that are
            not named are impossible. That a text is no token shows only over a vocabulary.

    Raises:
        TargetError: there is no token; a weight is negative or not finite; all weights are zero.

    >>> vocabulary = Vocabulary((b"heads", b"tails", b"edge"))
    >>> weights({"heads": 3, "tails": 1}).bind(vocabulary).log_probs().exp().tolist()
    [0.75, 0.25, 0.0]
    """
    if not isinstance(items, Mapping) or not items:
        raise TargetError(f"weights takes a mapping from tokens to weights, not {shown(items)}")
    for key, weight in items.items():
        whole = isinstance(key, int) and not isinstance(key, bool) and key >= 0
        if not whole and not (isinstance(key, str) and has_bytes(key)):
            raise TargetError(f"{shown(key)} is no token: write its text, or its id")
        if not is_number(weight) or weight < 0:
            raise TargetError(
                f"the weight of {shown(key)} is {shown(weight)}; "
                "weights are finite numbers of at least 0",
                fix="correct it, or leave the token out",
            )
    total = sum(items.values())
    if total == 0:
        raise TargetError(
            "the weights sum to zero, so there is no distribution",
            fix="give at least one token a weight above 0",
        )
    if not is_number(total):
        raise TargetError("the weights sum to no finite number", fix="make them smaller")
    return _Weights(tuple((key, float(weight)) for key, weight in items.items()))
