"""The reference model's distributions at fixed contexts, read once and kept as hidden states.

Hidden states are V/D times smaller than logits (85 times for SmolLM2), and the head makes logits of
them again, a block of positions at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from tiltlm.contexts.logit_reader import BlockReader, LogitReader, kept_on_host
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.automaton import State
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.head import Head
from tiltlm.progress import Advance
from tiltlm.targets.bound import BoundTarget

ROWS = 256
"""Positions whose logits are held at once."""


class Reference:
    """The reference model's distribution at every position of some contexts.

    Args:
        model: the reference; it is only read, in evaluation mode.
        contexts: where.
        head: of the model, where it is known already.
        key: of the model's weights; contexts that it has drawn itself, and whose hidden states
            were kept, are then not read again.
        batch: contexts read at once.
        advance: told how many contexts are done.
        block: of the model's, whose output is to be kept as well. Contexts are then read in any
            case.

    Attributes:
        contexts: where.
        head: makes logits of hidden states.
        hidden: (length, D) hidden states of each context, in the host's memory and in the type in
            which the body made them.
        block: as above.
        block_states: (length, D) output of ``block`` at each context, as ``hidden``; empty without
            one.

    Raises:
        ModelError: the model's logits cannot be made from its hidden states.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        contexts: TokenContexts,
        *,
        head: Head | None = None,
        key: str | None = None,
        batch: int = 16,
        advance: Advance | None = None,
        block: nn.Module | None = None,
    ) -> None:
        self.contexts, self.head, self.block = contexts, head or Head.of(model), block
        self.hidden: list[torch.Tensor] = []
        self.block_states: list[torch.Tensor] = []
        self._states: dict[str, list[list[State]]] = {}
        drawn = contexts.states
        if block is None and key is not None and drawn is not None and drawn.key == key:
            self.hidden = drawn.hidden
            return
        reader = LogitReader(model, self.head)
        if block is not None:
            reader = BlockReader(model, self.head, block)
        with evaluating(model):
            for first in range(0, len(contexts), batch):
                indices = range(first, min(first + batch, len(contexts)))
                rows = reader.read(contexts, indices)
                if block is not None:
                    width = rows[0].shape[-1] // 2
                    self.block_states += [kept_on_host(both[:, width:]) for both in rows]
                    rows = [both[:, :width] for both in rows]
                self.hidden += [kept_on_host(states) for states in rows]
                if advance:
                    advance(len(self.hidden))

    def logits(self, index: int, positions: torch.Tensor) -> torch.Tensor:
        """The reference's logits.

        Args:
            index: which context.
            positions: (N,) in it.

        Returns:
            (N, V) float32, on the head's device.
        """
        with torch.no_grad():
            return self.head.logits(self.hidden[index][positions])

    def states(self, target: BoundTarget, index: int) -> list[State]:
        """A target's state after each token of a context; contexts are read once, and that kept.

        Args:
            target: bound to the reference's vocabulary.
            index: which context.
        """
        if target.text not in self._states:
            sequences = [ids.tolist() for ids in self.contexts.sequences]
            self._states[target.text] = [target.read(ids) for ids in sequences]
        return self._states[target.text][index]

    def blocks(
        self, target: BoundTarget
    ) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, Sequence[State]]]:
        """Go through all positions that count, at most `ROWS` at a time.

        Args:
            target: whose states are wanted.

        Yields:
            the context's number, N positions in it (N,), the reference's log-probabilities there
            (N, V), and the target's N states.
        """
        for index in range(len(self.contexts)):
            states = self.states(target, index)
            for positions in self.contexts.positions(index).split(ROWS):
                log_probs = self.logits(index, positions).log_softmax(-1)
                yield index, positions, log_probs, [states[p] for p in positions.tolist()]

    def rows(self, target: BoundTarget) -> Iterator[tuple[torch.Tensor, Sequence[State]]]:
        """`blocks` without the positions, as `BoundTarget.fit` is given them."""
        for _, _, log_probs, states in self.blocks(target):
            yield log_probs, states
