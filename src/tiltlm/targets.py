"""Which distribution: what the user wishes the next token's probabilities to be.

A `Target` is written down without a model; `bind` fixes it to a vocabulary, and the `BoundTarget`
gives log-probabilities. Some targets are the same everywhere (`uniform`, `weights`); others are
built from the reference model's own distribution, which is why `log_probs` takes one; others depend
on what the context says, which is why it takes states. Knows nothing of divergences or training.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError, VocabularyError
from tiltlm.events import EVENTS, BoundEvent, Event, FixedEvent, tokens
from tiltlm.expressions import parse
from tiltlm.reading import Reader, State, Still
from tiltlm.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class BoundTarget(Reader):
    """A target over one vocabulary; what it must know of the context is its state.

    Attributes:
        text: the target as it was written.
        events: the events whose probability the target is about; none where it is about strings.
        fingerprint: of the vocabulary.
        vocabulary_size: V.
    """

    text: str
    events: tuple[BoundEvent, ...]
    fingerprint: str
    vocabulary_size: int

    needs_reference = True
    """Whether `log_probs` needs the reference model's log-probabilities."""

    @abstractmethod
    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """Log-probabilities of the target, in nats; −inf where it allows nothing.

        Args:
            reference: (N, V) normalised log-probabilities of the reference model, for targets
                that are built from it.
            states: N states of the contexts, for targets that depend on them (`read`).

        Returns:
            (V,) where the target is the same in every context, else (N, V).
        """

    def event_states(self, state: State) -> tuple[State, ...]:
        """The state of each of ``events``, from the target's."""
        return (None,) * len(self.events)

    def event_masks(self, states: Sequence[State]) -> torch.Tensor:
        """(K, N or 1, V) boolean masks of the events; 1 where no event depends on the context."""
        import torch

        moving = any(event.depends_on_context for event in self.events)
        rows = [self.event_states(s) for s in states] if moving else [(None,) * len(self.events)]
        return torch.stack(
            [
                torch.stack([event.mask_at(row[k]) for row in rows])
                for k, event in enumerate(self.events)
            ]
        )

    def classes(self) -> torch.Tensor | None:
        """(A, V) boolean, disjoint: within a class the target shifts all logits alike.

        None where there are no such classes: then no edit of the head realises the target.
        """
        return None

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A) by how much the logits of each class rise against all others, in nats."""
        raise NotImplementedError

    def met(self, states: Sequence[State]) -> list[bool] | None:
        """Where the target asks for something; None where it does everywhere."""
        return None

    def logits(self, scores: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, V) logits of the target, given those of the reference; what `decode` does."""
        return self.log_probs(scores.float().log_softmax(-1), states).expand_as(scores)

    def needs_fit(self) -> bool:
        """Whether something must be found on contexts before the target is a distribution."""
        return False

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Find what the target leaves open, from reference rows (N, V) with their states."""

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
    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundTarget:
        """Fix the target to a vocabulary.

        Args:
            vocabulary: of the model.
            tokenizer: needed by targets about whole strings.

        Raises:
            EventError: an event matches no token, or every token.
            TargetError: what results is no distribution.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def sentence(self) -> str:
        """The target in words."""


class FixedTarget(Still, BoundTarget):
    """The same distribution in every context.

    Args:
        text: the target as it was written.
        event: its event over the vocabulary.
        fingerprint: of the vocabulary.
        probabilities: (V,).
    """

    needs_reference = False

    def __init__(
        self, text: str, event: BoundEvent, fingerprint: str, probabilities: torch.Tensor
    ) -> None:
        self.text, self.events, self.fingerprint = text, (event,), fingerprint
        self.probabilities, self.vocabulary_size = probabilities, probabilities.numel()

    @property
    def event(self) -> str:
        """Text of the event."""
        return self.events[0].text

    @property
    def event_mask(self) -> torch.Tensor:
        """(V,) boolean."""
        return self.events[0].mask_at(None)

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(V,) log-probabilities; neither argument is used."""
        return self.probabilities.log()

    @property
    def entropy_nats(self) -> float:
        """Entropy of the target: what cross-entropy has more than KL."""
        import torch

        return float(-torch.special.xlogy(self.probabilities, self.probabilities).sum())


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
        event = FixedEvent(str(tokens(mask.nonzero().flatten().tolist())), mask)
        return FixedTarget(str(self), event, vocabulary.fingerprint, probabilities)

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


def targets_table() -> dict[str, Callable[..., Target]]:
    """What can be written in a target's text, besides events."""
    from tiltlm.answers import choices
    from tiltlm.compositions import mix, regex, when
    from tiltlm.tilts import balance, match, tilt

    return {
        "uniform": uniform,
        "weights": weights,
        "tilt": tilt,
        "match": match,
        "balance": balance,
        "choices": choices,
        "mix": mix,
        "when": when,
        "regex": regex,  # type: ignore[dict-item]
    }


def parse_target(text: str, *, where: str | None = None) -> Target:
    """Read a target from text.

    Raises:
        ExpressionError: the text is no target.
        TargetError: it is one that makes no sense.

    >>> str(parse_target("uniform(contains('x') & ~special())"))
    "uniform(contains('x') & ~special())"
    """
    target = parse(text, {**EVENTS, **targets_table()}, where=where)
    if not isinstance(target, Target):
        raise TargetError(
            f"{text!r} is an event, not a target" if isinstance(target, Event) else f"{text!r}",
            where=where,
            fix=f"say which probability it should get: tilt({text}, 1.0), say",
        )
    return target
