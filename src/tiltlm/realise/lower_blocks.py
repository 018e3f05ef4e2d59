"""Where only the upper blocks are trained, the lower ones need not run: what they gave was kept.

The lower blocks' ``forward`` returns the kept states for the length of a call, so that embedding,
masks, positions and whatever wraps the model work as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from tiltlm.contexts.reference import Reference
from tiltlm.models.blocks import blocks_of, output_states
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.head import hidden_states, replaced_forward
from tiltlm.models.precision import differ_by_rounding
from tiltlm.models.structure import head_of, input_device

_TOLERANCE = 1e-3
"""Largest difference of the head's input that counts as rounding, relative."""


class LowerBlocks:
    """The lower blocks of a model, which return what they gave in a reference.

    Args:
        lower: the blocks below those that are trained.
        states: (length, D) of each context, the output of the last of them.
        device: where the block above them is.
        items: how many items a block returns; 0 where it returns the states alone.
    """

    def __init__(
        self, lower: list[nn.Module], states: list[torch.Tensor], device: torch.device, items: int
    ) -> None:
        self._lower, self._states, self._device, self._items = lower, states, device, items

    @classmethod
    def of(cls, model: Any, reference: Reference) -> LowerBlocks | None:
        """The lower blocks, where nothing in them is trained and their states were kept.

        Args:
            model: adapters and all; read in evaluation mode, its own mode is restored.
            reference: whose model this was before.

        Returns:
            None where nothing was kept, where something below is trained, or where the blocks
            above take more than the states. The last is found out by trying.
        """
        blocks = blocks_of(model)
        kept = [n for n, block in enumerate(blocks) if block is reference.block]
        if not kept or kept[0] + 1 == len(blocks):
            return None
        lower, upper = blocks[: kept[0] + 1], blocks[kept[0] + 1 :]
        above = [p for module in [*upper, head_of(model)[1]] for p in module.parameters()]
        free = {id(p) for p in above}
        if any(p.requires_grad and id(p) not in free for p in model.parameters()):
            return None
        device = next(upper[0].parameters()).device
        with evaluating(model), torch.no_grad():
            ids = reference.contexts.sequences[0][None].to(input_device(model))
            outputs: list[Any] = []
            hook = lower[-1].register_forward_hook(lambda _, __, out: outputs.append(out))
            computed = hidden_states(model, ids)
            hook.remove()
            items = len(outputs[0]) if isinstance(outputs[0], tuple) else 0
            found = cls(lower, reference.block_states, device, items)
            with found.replaying([0]):
                replayed = hidden_states(model, ids)
        kept_states = reference.block_states[0].to(device)
        pairs = [(output_states(outputs[0])[0], kept_states), (computed, replayed)]
        same = all(differ_by_rounding(*pair, _TOLERANCE) for pair in pairs)
        return found if same else None

    @contextmanager
    def replaying(self, indices: Sequence[int]) -> Iterator[None]:
        """Let the lower blocks return what they gave at some contexts, whatever they are given.

        Args:
            indices: numbers of the reference's contexts. They are padded on the right with zeros to
                (batch, longest, D).
        """
        kept = [self._states[i] for i in indices]
        rows = pad_sequence(kept, batch_first=True).to(self._device)

        def stand_in(*_: Any, **__: Any) -> Any:
            return (rows, *[None] * (self._items - 1)) if self._items else rows

        with ExitStack() as stack:
            for block in self._lower:
                stack.enter_context(replaced_forward(block, stand_in))
            yield
