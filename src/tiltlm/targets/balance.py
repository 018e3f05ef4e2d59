"""What several events have together, split among them by share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.event import Event
from tiltlm.events.expressions import excerpt, shown
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import EXAMPLES, check_event
from tiltlm.targets.numbers import is_number, written
from tiltlm.targets.reweighing import LARGEST_STRENGTH, Reweighing
from tiltlm.targets.target import Target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


_MOST_EVENTS = 256
"""Events of one balance at most; the class of each takes as many bytes as there are tokens."""


@dataclass(frozen=True)
class _Balance(Target):
    shares: tuple[tuple[Event, float], ...]

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundBalance:
        return BoundBalance(self, vocabulary)

    def __str__(self) -> str:
        return "balance({" + ", ".join(f"{e}: {written(s)}" for e, s in self.shares) + "})"

    def sentence(self) -> str:
        parts = ", ".join(f"{share:.3g} to {event}" for event, share in self.shares)
        return f"what these events have together is split: {parts}"


class BoundBalance(Reweighing):
    """The reference outside the events; inside them the same total, split by share.

    Args:
        target: as it was written.
        vocabulary: of the model.

    Raises:
        TargetError: two of the events share a token, whatever the context.
    """

    def __init__(self, target: _Balance, vocabulary: Vocabulary) -> None:
        numbers = range(len(target.shares))
        patterns = [tuple(int(k == j) for j in numbers) for k in numbers]
        super().__init__(target, [event for event, _ in target.shares], vocabulary, patterns)
        self.shares = [share for _, share in target.shares]
        if not self.depends_on_context:
            self.classes_at(None)  # refuses events that share a token

    @property
    def shifts_vary(self) -> bool:
        """True with classes: the less an event has of the total, the further it must rise."""
        return self.classes() is not None

    def classes_at(self, state: State) -> torch.Tensor:
        """The classes at a state of the context: (K, V) boolean, one an event.

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
        """(N, K) log(share·total / mass), at most ±50.

        An event that cannot get its share, since it has no mass to scale or so little that 50 nats
        are not enough, gets what it can; the others split the rest, so that the total is kept.
        """
        import torch

        total = log_masses.logsumexp(-1, keepdim=True)
        log_shares = torch.tensor(self.shares, dtype=log_masses.dtype).log().to(log_masses.device)
        shifts = log_shares + total - log_masses
        short = shifts > LARGEST_STRENGTH  # An event without mass would have to rise for ever.
        reached = torch.where(short, log_masses + LARGEST_STRENGTH, -torch.inf)
        left = total + (-(reached - total).exp().sum(-1, keepdim=True)).log1p()
        free = torch.where(short, -torch.inf, log_shares).logsumexp(-1, keepdim=True)
        shifts = torch.where(short, LARGEST_STRENGTH, log_shares - free + left - log_masses)
        shifts = torch.where(log_masses.isfinite() & total.isfinite(), shifts, 0.0)
        return shifts.clamp(-LARGEST_STRENGTH, LARGEST_STRENGTH)


def balance(shares: Mapping[Event, float]) -> Target:
    """Split what several events have together by share, and leave all other tokens alone.

    Args:
        shares: of each event, in the probability that all of them have together.

    Raises:
        TargetError: fewer than two events, or more than 256; a share not between 0 and 1; they do
            not sum to 1.

    >>> from tiltlm.events.tokens import word
    >>> print(balance({word("he"): 0.5, word("she"): 0.5}).sentence())
    what these events have together is split: 0.5 to word('he'), 0.5 to word('she')
    """
    if not isinstance(shares, Mapping) or not 2 <= len(shares) <= _MOST_EVENTS:
        raise TargetError(
            f"balance takes a mapping of 2 to {_MOST_EVENTS} events to shares",
            fix=f"write {EXAMPLES['balance']}, say",
        )
    for event, share in shares.items():
        check_event("balance", event)
        if not is_number(share) or not 0 < share < 1:
            raise TargetError(
                f"the share of {excerpt(str(event))} is {shown(share)}; "
                "it lies strictly between 0 and 1"
            )
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise TargetError(
            f"the shares sum to {total:.6g}, expected 1 (±1e-6)", fix="raise or lower one of them"
        )
    return _Balance(tuple((event, float(share)) for event, share in shares.items()))
