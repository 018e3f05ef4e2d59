"""Targets that reweigh the reference model's own distribution: tilt, match, balance.

All three multiply the probabilities of whole classes of tokens and normalise again, so within a
class, and outside all of them, nothing changes but scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events import BoundEvent, Event
from tiltlm.reading import State, Together, groups
from tiltlm.targets import BoundTarget, Target
from tiltlm.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

LARGEST_STRENGTH = 50.0
"""Strengths beyond this are refused: e^50 leaves nothing of the other side in float32."""


class Reweighing(Together, BoundTarget):
    """Events joined to disjoint classes, each class with a shift of its own.

    A class is a pattern of membership in the K events (2^K − 1 of them, without the empty one),
    so events may overlap.
    """

    def __init__(self, target: Target, events: Sequence[Event], vocabulary: Vocabulary) -> None:
        bound = tuple(event.bind(vocabulary) for event in events)
        Together.__init__(self, bound)
        self.events: tuple[BoundEvent, ...] = bound
        self.text, self.fingerprint = str(target), vocabulary.fingerprint
        self.vocabulary_size = len(vocabulary)
        self.patterns = [p for p in product((0, 1), repeat=len(bound)) if any(p)]
        self._cache: dict[State, torch.Tensor] = {}

    def event_states(self, state: State) -> tuple[State, ...]:
        """The state of each event."""
        return self.split(state)

    def classes_at(self, state: State) -> torch.Tensor:
        """(A, V) boolean, disjoint, in the order of ``patterns``."""
        import torch

        if state not in self._cache:
            if len(self._cache) > 256:
                self._cache.clear()
            states = self.split(state)
            masks = [event.mask_at(s) for event, s in zip(self.events, states, strict=True)]
            self._cache[state] = torch.stack(
                [
                    torch.stack(
                        [m if inside else ~m for m, inside in zip(masks, p, strict=True)]
                    ).all(0)
                    for p in self.patterns
                ]
            )
        return self._cache[state]

    def classes(self) -> torch.Tensor | None:
        """(A, V), or None where the classes change with the context."""
        return None if self.depends_on_context else self.classes_at(None)

    def log_masses(self, reference: torch.Tensor, state: State) -> torch.Tensor:
        """(N, A) log-probability of each class under (N, V) reference log-probabilities."""
        classes = self.classes_at(state).to(reference)
        return (reference.float().exp() @ classes.T.float()).double().log()

    def class_shifts(self, log_masses: torch.Tensor) -> torch.Tensor:
        """(N, A) shifts in nats for contexts in which the classes have these log-masses."""
        raise NotImplementedError

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A) shifts in nats."""
        import torch

        constant = self.constant_shifts()
        if constant is not None:
            return constant[None].expand(len(reference), -1)
        found = torch.zeros(len(reference), len(self.patterns), dtype=torch.float64)
        for state, rows in groups(states).items():
            found[rows] = self.class_shifts(self.log_masses(reference[rows], state)).cpu()
        return found

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V): the reference's, reweighed and normalised."""
        assert reference is not None
        return self._reweighed(reference, states).log_softmax(-1)

    def logits(self, scores: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, V) scores with the shifts added; not normalised."""
        return self._reweighed(scores, states)

    def _reweighed(self, reference: torch.Tensor, states: Sequence[State] | None) -> torch.Tensor:
        found = None
        for state, rows in groups(states or [None] * len(reference)).items():
            part = reference if len(rows) == len(reference) else reference[rows]
            shift = self.constant_shifts()
            if shift is None:
                shift = self.class_shifts(self.log_masses(part.float().log_softmax(-1), state))
            moved = part + shift.to(part) @ self.classes_at(state).to(part)
            if part is reference:
                return moved
            found = reference.clone() if found is None else found
            found[rows] = moved
        assert found is not None
        return found

    def constant_shifts(self) -> torch.Tensor | None:
        """(A,) where the shifts are the same in every context, else None."""
        return None


class BoundTilt(Reweighing):
    """P0·exp(Σ β_k m_k), normalised; also what a fitted match is."""

    def __init__(
        self, target: Target, events: Sequence[Event], vocabulary: Vocabulary, strength: list[float]
    ) -> None:
        super().__init__(target, events, vocabulary)
        self.strength = strength

    def constant_shifts(self) -> torch.Tensor:
        """(A,) sums of the strengths of the events that make up each class."""
        import torch

        patterns = torch.tensor(self.patterns, dtype=torch.float64)
        return patterns @ torch.tensor(self.strength, dtype=torch.float64)

    def class_shifts(self, log_masses: torch.Tensor) -> torch.Tensor:
        """The same in every row."""
        return self.constant_shifts().to(log_masses)[None].expand_as(log_masses)


@dataclass(frozen=True)
class _Tilt(Target):
    event: Event
    strength: float

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundTilt:
        return BoundTilt(self, [self.event], vocabulary, [self.strength])

    def __str__(self) -> str:
        return f"tilt({self.event}, {self.strength:g})"

    def sentence(self) -> str:
        side = "likelier" if self.strength > 0 else "less likely"
        times = math.exp(abs(self.strength))
        return f"tokens in {self.event} {times:.3g} times {side} against all others"


def tilt(event: Event, strength: float) -> Target:
    """The reference with the odds of an event multiplied by e^strength.

    Q ∝ P0·exp(strength·m). Of all distributions with that event mass it is the closest to P0.

    Raises:
        TargetError: the strength is no finite number, 0, or beyond ±50.

    >>> from tiltlm.events import contains
    >>> import torch
    >>> bound = tilt(contains("x"), 1.0).bind(Vocabulary((b"x", b"y")))
    >>> bound.log_probs(torch.tensor([[0.5, 0.5]]).log()).exp()
    tensor([[0.7311, 0.2689]])
    """
    _event_of("tilt", event)
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise TargetError(
            f"the strength is {strength!r}, which is no number", fix="tilt(EVENT, 1.0), say"
        )
    if not math.isfinite(strength) or abs(strength) > LARGEST_STRENGTH:
        raise TargetError(
            f"the strength is {strength}; it lies between ±{LARGEST_STRENGTH:g} nats",
            fix="1.0 multiplies the odds by 2.7, −3 divides them by 20",
        )
    return _Tilt(event, float(strength))


@dataclass(frozen=True)
class _Match(Target):
    wishes: tuple[tuple[Event, float], ...]

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundMatch:
        return BoundMatch(self, vocabulary)

    def __str__(self) -> str:
        if len(self.wishes) == 1:
            return f"match({self.wishes[0][0]}, {self.wishes[0][1]:g})"
        return "match({" + ", ".join(f"{e}: {p:g}" for e, p in self.wishes) + "})"

    def sentence(self) -> str:
        parts = [f"tokens in {event} have {p:.3g}" for event, p in self.wishes]
        return "on average over the contexts " + " and ".join(parts)


class BoundMatch(BoundTilt):
    """A tilt whose strengths are found on contexts, by Newton's method on the convex dual."""

    def __init__(self, target: _Match, vocabulary: Vocabulary) -> None:
        events = [event for event, _ in target.wishes]
        super().__init__(target, events, vocabulary, [])
        self.wishes = [p for _, p in target.wishes]

    def needs_fit(self) -> bool:
        """Until `fit`."""
        return not self.strength

    def constant_shifts(self) -> torch.Tensor:
        """(A,) once fitted."""
        if not self.strength:
            raise TargetError(
                f"{self.text} has not been fitted to contexts", fix="call fit, or tilt's own calls"
            )
        return super().constant_shifts()

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Find the strengths that give the events the wished mean mass over these rows.

        Raises:
            TargetError: no strengths do; names the demands that contradict each other.
        """
        import torch

        from tiltlm.dual import solve_dual

        masses = []
        for reference, states in rows():
            part = torch.empty(len(reference), len(self.patterns), dtype=torch.float64)
            for state, places in groups(states).items():
                part[places] = self.log_masses(reference[places], state).cpu()
            masses.append(part)
        names = [event.text for event in self.events]
        self.strength = solve_dual(
            torch.cat(masses).numpy(), self.patterns, self.wishes, names, self.text
        )


def match(events: Event | Mapping[Event, float], probability: float | None = None) -> Target:
    """The tilt that gives an event a wished mean probability over the contexts.

    Args:
        events: one event with ``probability``, or several with a probability each.
        probability: strictly between 0 and 1.

    Raises:
        TargetError: a probability is not between 0 and 1.

    >>> from tiltlm.events import contains
    >>> str(match(contains("x"), 0.1))
    "match(contains('x'), 0.1)"
    """
    wishes = dict(events) if isinstance(events, Mapping) else {events: probability}
    if not wishes or len(wishes) > 8:
        raise TargetError(f"match takes 1 to 8 events, not {len(wishes)}")
    for event, wish in wishes.items():
        _event_of("match", event)
        if isinstance(wish, bool) or not isinstance(wish, int | float) or not 0 < wish < 1:
            raise TargetError(
                f"the probability of {event} is {wish!r}; it lies strictly between 0 and 1",
                fix="for nearly never or nearly always use tilt with a large strength",
            )
    return _Match(tuple((e, float(p)) for e, p in wishes.items() if p is not None))


@dataclass(frozen=True)
class _Balance(Target):
    shares: tuple[tuple[Event, float], ...]

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundBalance:
        return BoundBalance(self, vocabulary)

    def __str__(self) -> str:
        return "balance({" + ", ".join(f"{e}: {s:g}" for e, s in self.shares) + "})"

    def sentence(self) -> str:
        parts = ", ".join(f"{share:.3g} to {event}" for event, share in self.shares)
        return f"what these events have together is split: {parts}"


class BoundBalance(Reweighing):
    """Outside its events the reference; inside the same total, split as wished."""

    def __init__(self, target: _Balance, vocabulary: Vocabulary) -> None:
        super().__init__(target, [event for event, _ in target.shares], vocabulary)
        self.shares = [share for _, share in target.shares]
        count = range(len(self.events))
        self.patterns = [tuple(int(k == j) for j in count) for k in count]
        if not self.depends_on_context:
            self.classes_at(None)

    def classes_at(self, state: State) -> torch.Tensor:
        """(A, V), one class an event.

        Raises:
            TargetError: two of the events share a token.
        """
        import torch

        states = self.split(state)
        masks = [event.mask_at(s) for event, s in zip(self.events, states, strict=True)]
        classes = torch.stack(masks)
        if bool((classes.sum(0) > 1).any()):
            token = int((classes.sum(0) > 1).nonzero()[0, 0])
            raise TargetError(
                f"the events of a balance share tokens (id {token} is one), "
                "so their shares contradict each other",
                where=self.text,
                fix="make them disjoint with & ~",
            )
        return classes

    def class_shifts(self, log_masses: torch.Tensor) -> torch.Tensor:
        """log(share·total / mass); 0 where an event has no mass at all to scale."""
        import torch

        total = log_masses.logsumexp(-1, keepdim=True)
        wish = torch.tensor(self.shares, dtype=log_masses.dtype, device=log_masses.device).log()
        shift = wish + total - log_masses
        return torch.where(log_masses.isfinite() & total.isfinite(), shift, 0.0).clamp(
            -LARGEST_STRENGTH, LARGEST_STRENGTH
        )


def balance(shares: Mapping[Event, float]) -> Target:
    """Split what several events have together by share, and leave all other tokens alone.

    Raises:
        TargetError: fewer than two events; a share not between 0 and 1; they do not sum to 1.

    >>> from tiltlm.events import word
    >>> print(balance({word("he"): 0.5, word("she"): 0.5}).sentence())
    what these events have together is split: 0.5 to word('he'), 0.5 to word('she')
    """
    if not isinstance(shares, Mapping) or len(shares) < 2:
        raise TargetError(
            "balance takes a mapping of at least two events to shares",
            fix="balance({word('he'): 0.5, word('she'): 0.5})",
        )
    for event, share in shares.items():
        _event_of("balance", event)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise TargetError(
                f"the share of {event} is {share!r}; it lies strictly between 0 and 1"
            )
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise TargetError(
            f"the shares sum to {total:.6g}, expected 1 (±1e-6)", fix="raise or lower one of them"
        )
    return _Balance(tuple((event, float(share)) for event, share in shares.items()))


def _event_of(name: str, event: object) -> None:
    if not isinstance(event, Event):
        raise TargetError(
            f"{name} takes an event, not {event!r}", fix=f"{name}(contains('x'), …), say"
        )
