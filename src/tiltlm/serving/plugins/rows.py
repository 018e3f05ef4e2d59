"""The rows of a batch that have a target, and their logits turned into these targets'.

A target that adds the same to each token everywhere is one row of biases on the device, and all
rows with such targets take one operation. Rows of any other target go through it together. A row
without a target costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from tiltlm.events.automaton import State
from tiltlm.targets.bound import BoundTarget

Tokens = Callable[[int], Sequence[int]]
"""Tokens of a request's text from the n-th on, prompt and answer, as far as there are any now."""


@dataclass
class TargetRow:
    """A request with a target.

    Attributes:
        target: bound, and fitted if it needs that.
        tokens: of its text.
    """

    target: BoundTarget
    tokens: Tokens
    _state: State = None
    _read: int = field(default=0)

    def state(self) -> State:
        """What the target must know of the text so far; each token is read once."""
        if not self.target.depends_on_context:
            return None
        if self._read == 0:
            self._state = self.target.start()
        for token in self.tokens(self._read):
            self._state = self.target.advance(self._state, token)
            self._read += 1
        return self._state


class TargetRows:
    """Requests of a batch by their rows.

    Args:
        device: where logits are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._rows: dict[int, TargetRow] = {}
        self._biases: dict[int, tuple[BoundTarget, torch.Tensor]] = {}
        self._plan: tuple[torch.Tensor, torch.Tensor, dict[int, list[int]]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: int) -> bool:
        return row in self._rows

    def put(self, row: int, request: TargetRow | None) -> None:
        """Give a row a request, in place of the one that it had.

        Args:
            row: of the batch.
            request: None for one without a target.
        """
        if request is not None:
            self._rows[row] = request
            self._plan = None
        elif self._rows.pop(row, None) is not None:
            self._plan = None

    def move(self, origin: int, goal: int, *, swap: bool) -> None:
        """Move a request to another row, in place of the one there.

        Args:
            origin: the row that it has.
            goal: the row that it gets.
            swap: whether the one there takes its place.
        """
        moved, replaced = self._rows.get(origin), self._rows.get(goal)
        self.put(goal, moved)
        self.put(origin, replaced if swap else None)

    def apply(self, logits: torch.Tensor, places: Sequence[int] | None = None) -> torch.Tensor:
        """Turn logits into the targets', in place.

        Args:
            logits: (N, V) of the base, float32; other rows stay as they are.
            places: (N,) for each row of the logits, which row of the batch it is; None where
                they are the same.

        Returns:
            the same tensor.
        """
        if not self._rows:
            return logits
        if places is None:
            biased, biases, others = self._planned()
        else:
            biased, biases, others = self._laid_out(
                {number: self._rows[row] for number, row in enumerate(places) if row in self._rows}
            )
        if len(biased):
            logits.index_add_(0, biased, biases)
        rows = self._rows if places is None else [self._rows.get(row) for row in places]
        for numbers in others.values():
            requests = [rows[number] for number in numbers]
            target = requests[0].target  # type: ignore[union-attr]
            states = [request.state() for request in requests if request is not None]
            logits[numbers] = target.logits(logits[numbers].float(), states).to(logits)
        return logits

    def _planned(self) -> tuple[torch.Tensor, torch.Tensor, dict[int, list[int]]]:
        """What `_laid_out` gives for all rows, until these change."""
        if self._plan is None:
            self._plan = self._laid_out(self._rows)
            used = {id(row.target) for row in self._rows.values()}
            self._biases = {key: kept for key, kept in self._biases.items() if key in used}
        return self._plan

    def _laid_out(
        self, rows: dict[int, TargetRow]
    ) -> tuple[torch.Tensor, torch.Tensor, dict[int, list[int]]]:
        """(n,) rows that biases are added to, (n, V) these, and the rows of each other target."""
        biased: list[int] = []
        biases: list[torch.Tensor] = []
        others: dict[int, list[int]] = {}
        for number, row in rows.items():
            bias = self._bias(row.target)
            if bias is None:
                others.setdefault(id(row.target), []).append(number)
            else:
                biased.append(number)
                biases.append(bias)
        numbers = torch.tensor(biased, dtype=torch.long, device=self._device)
        return numbers, torch.stack(biases) if biases else torch.empty(0), others

    def _bias(self, target: BoundTarget) -> torch.Tensor | None:
        """(V,) what a target adds to the logits of each token, on the device; None if it varies."""
        shifts = None if target.depends_on_context else target.constant_shifts()
        if shifts is None:
            return None
        if id(target) not in self._biases:
            classes = target.classes()
            assert classes is not None
            bias = (shifts @ classes.to(shifts)).float().to(self._device)
            # The target is kept too, so that no other can come to have its id.
            self._biases[id(target)] = target, bias
        return self._biases[id(target)][1]


class OnlyEnd(BoundTarget):
    """Nothing but the end of the text: for a request whose target cannot be served.

    It was let in, since that could not be seen when it arrived; nothing is served in its place.

    Args:
        size: V.
        end: the token that ends a text.
        text: the target that was asked for.
    """

    depends_on_context = False

    def __init__(self, size: int, end: int, text: str) -> None:
        self.text, self.events, self.fingerprint, self.vocabulary_size = text, (), "", size
        self._end = end

    def start(self) -> State:
        """The only state."""
        return None

    def advance(self, state: State, token: int) -> State:
        """The only state."""
        return None

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(V,) or (N, V): 0 for the end, −inf for all else."""
        shape = (self.vocabulary_size,) if reference is None else reference.shape
        device = None if reference is None else reference.device
        log_probs = torch.full(shape, -torch.inf, device=device)
        log_probs[..., self._end] = 0.0
        return log_probs
