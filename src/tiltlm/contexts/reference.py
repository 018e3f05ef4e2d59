"""The reference model's distributions at fixed contexts, made once and kept as hidden states.

Hidden states are V/D times smaller than logits (85 times for SmolLM2), and the head brings them
back, a block of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel

from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.automaton import State
from tiltlm.models.head import Head
from tiltlm.progress import Advance
from tiltlm.targets.target import BoundTarget

ROWS = 256  # positions whose logits are held at once


class Reference:
    """P0 at every position of some contexts.

    Args:
        model: the reference; it is only read.
        contexts: where.
        batch: contexts read at once.
        advance: told how many contexts are done.

    Raises:
        ModelError: the model's logits cannot be made from its hidden states.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        contexts: TokenContexts,
        *,
        head: Head | None = None,
        batch: int = 16,
        advance: Advance | None = None,
    ) -> None:
        self.contexts, self.head = contexts, head or Head.of(model)
        self.hidden: list[torch.Tensor] = []
        self._states: dict[str, list[list[State]]] = {}
        reader = LogitReader(model, self.head)
        training = model.training
        model.eval()
        try:
            for first in range(0, len(contexts), batch):
                indices = range(first, min(first + batch, len(contexts)))
                # A copy, so that the padded batch does not stay in memory.
                self.hidden += [rows.clone() for rows in reader.read(contexts, indices)]
                if advance:
                    advance(len(self.hidden))
        finally:
            model.train(training)

    def logits(self, index: int, positions: torch.Tensor) -> torch.Tensor:
        """(N, V) logits of context ``index`` at N positions."""
        with torch.no_grad():
            return self.head.logits(self.hidden[index][positions])

    def states(self, target: BoundTarget, index: int) -> list[State]:
        """A target's state after each token of a context; read once, then kept."""
        if target.text not in self._states:
            ids = [c["input_ids"].tolist() for c in self.contexts]  # type: ignore[attr-defined]
            self._states[target.text] = [target.read(i) for i in ids]
        return self._states[target.text][index]

    def blocks(
        self, target: BoundTarget
    ) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, Sequence[State]]]:
        """(context, positions (N,), log-probabilities (N, V), states), all that count."""
        for index in range(len(self.contexts)):
            states = self.states(target, index)
            for positions in self.contexts.positions(index).split(ROWS):
                logp = self.logits(index, positions).log_softmax(-1)
                yield index, positions, logp, [states[p] for p in positions.tolist()]

    def rows(self, target: BoundTarget) -> Iterator[tuple[torch.Tensor, Sequence[State]]]:
        """`blocks` without the places, as `BoundTarget.fit` wants them."""
        for _, _, logp, states in self.blocks(target):
            yield logp, states
