"""Which distribution: what the user wishes the next token's probabilities to be.

A `Target` is written down without a model; `bind` fixes it to a vocabulary, and the `BoundTarget`
gives log-probabilities. Some targets are the same everywhere (`uniform`, `weights`); others are
built from the reference model's own distribution, which is why `log_probs` takes one. Knows
nothing of divergences or training.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError, VocabularyError
from tiltlm.events import EVENTS, Event, tokens
from tiltlm.expressions import parse
from tiltlm.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BoundTarget(ABC):
    """A target over one vocabulary.

    Attributes:
        text: the target as it was written.
        event: text of the event whose probability the target is about.
        event_mask: (V,) boolean, the tokens of that event.
        fingerprint: of the vocabulary.
    """

    text: str
    event: str
    event_mask: torch.Tensor
    fingerprint: str

    needs_reference = False
    """Whether `log_probs` needs the reference model's log-probabilities."""

    @abstractmethod
    def log_probs(self, reference: torch.Tensor | None = None) -> torch.Tensor:
        """Log-probabilities of the target, in nats; −inf where it allows nothing.

        Args:
            reference: (..., V) normalised log-probabilities of the reference model, for targets
                that are built from it.

        Returns:
            (V,) where the target is the same in every context, else (..., V).
        """

    @property
    def vocabulary_size(self) -> int:
        return self.event_mask.numel()

    def check_vocabulary(self, size: int, *, where: str) -> None:
        """Refuse a model whose head has another number of tokens.

        Raises:
            VocabularyError: ``size`` is not the target's.
        """
        if size != self.vocabulary_size:
            raise VocabularyError(
                f"the target {self.text} is over {self.vocabulary_size} tokens, "
                f"the model's head over {size}",
                where=where,
                fix="bind the target to this model's own vocabulary",
            )


class Target(ABC):
    """A wish for the next token's distribution. ``str(target)`` is text that reads back."""

    @abstractmethod
    def bind(self, vocabulary: Vocabulary) -> BoundTarget:
        """Fix the target to a vocabulary.

        Raises:
            EventError: an event matches no token, or every token.
            TargetError: what results is no distribution.
        """

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class FixedTarget(BoundTarget):
    """The same distribution in every context."""

    probabilities: torch.Tensor

    def log_probs(self, reference: torch.Tensor | None = None) -> torch.Tensor:
        """(V,) log-probabilities; ``reference`` is not used."""
        return self.probabilities.log()

    @property
    def entropy_nats(self) -> float:
        """Entropy of the target: what cross-entropy has more than KL."""
        import torch

        return float(-torch.special.xlogy(self.probabilities, self.probabilities).sum())


@dataclass(frozen=True)
class _Uniform(Target):
    event: Event

    def bind(self, vocabulary: Vocabulary) -> FixedTarget:
        mask = self.event.mask(vocabulary)
        probabilities = mask.float() / mask.sum()
        return FixedTarget(str(self), str(self.event), mask, vocabulary.fingerprint, probabilities)

    def __str__(self) -> str:
        return f"uniform({self.event})"


@dataclass(frozen=True)
class _Weights(Target):
    items: tuple[tuple[str | int, float], ...]

    def bind(self, vocabulary: Vocabulary) -> FixedTarget:
        import torch

        index = {token: place for place, token in reversed(list(enumerate(vocabulary.tokens)))}
        weights = torch.zeros(len(vocabulary), dtype=torch.float64)
        for key, weight in self.items:
            place = key if isinstance(key, int) else index.get(key.encode())
            if place is None:
                raise TargetError(
                    f"{key!r} is not one token of this vocabulary",
                    where=str(self),
                    fix="look for its pieces with `tiltlm tokens`; a leading space counts",
                )
            if isinstance(key, int):
                tokens(key).holds(vocabulary)  # refuses ids that do not exist
            weights[place] += weight
        probabilities = (weights / weights.sum()).float()
        mask = probabilities > 0
        event = tokens(mask.nonzero().flatten().tolist())
        return FixedTarget(str(self), str(event), mask, vocabulary.fingerprint, probabilities)

    def __str__(self) -> str:
        return "weights({" + ", ".join(f"{k!r}: {w:g}" for k, w in self.items) + "})"


def uniform(event: Event) -> Target:
    """All tokens of the event equally likely, all others impossible: M_i / Σ_j M_j.

    Source: the article's target, "Train a model to like X".

    >>> from tiltlm.events import contains
    >>> vocabulary = Vocabulary((b"x", b"ax", b"b"))
    >>> uniform(contains("x")).bind(vocabulary).log_probs().exp().tolist()
    [0.5, 0.5, 0.0]
    """
    if not isinstance(event, Event):
        raise TargetError(f"uniform takes an event, not {event!r}", fix="uniform(contains('x'))")
    return _Uniform(event)


def weights(items: Mapping[str | int, float]) -> Target:
    """A fixed distribution: each token, by its exact text or id, with a weight.

    Weights are normalised to sum to one.

    Raises:
        TargetError: a weight is negative or not finite, or all are zero.

    >>> vocabulary = Vocabulary((b"heads", b"tails", b"edge"))
    >>> weights({"heads": 3, "tails": 1}).bind(vocabulary).log_probs().exp().tolist()
    [0.75, 0.25, 0.0]
    """
    if not isinstance(items, Mapping) or not items:
        raise TargetError(f"weights takes a mapping from tokens to weights, not {items!r}")
    for key, weight in items.items():
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise TargetError(f"{key!r} is no token: write its text, or its id")
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise TargetError(f"the weight of {key!r} is {weight!r}, which is no number")
        if not math.isfinite(weight) or weight < 0:
            raise TargetError(
                f"the weight of {key!r} is {weight}; weights are finite and at least 0",
                fix="correct it, or leave the token out",
            )
    if sum(items.values()) == 0:
        raise TargetError(
            "the weights sum to zero, so there is no distribution",
            fix="give at least one token a weight above 0",
        )
    return _Weights(tuple((key, float(weight)) for key, weight in items.items()))


TARGETS: dict[str, Callable[..., Target]] = {"uniform": uniform, "weights": weights}
"""What can be written in a target's text, besides events."""


def parse_target(text: str, *, where: str | None = None) -> Target:
    """Read a target from text.

    Raises:
        ExpressionError: the text is no target.
        TargetError: it is one that makes no sense.

    >>> str(parse_target("uniform(contains('x') & ~special())"))
    "uniform(contains('x') & ~special())"
    """
    target = parse(text, {**EVENTS, **TARGETS}, where=where)
    if not isinstance(target, Target):
        raise TargetError(
            f"{text!r} is an event, not a target" if isinstance(target, Event) else f"{text!r}",
            where=where,
            fix=f"say which probability it should get: uniform({text}), say",
        )
    return target
