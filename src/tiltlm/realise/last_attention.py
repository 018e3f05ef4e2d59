"""The attention of a model's last block: what it is given, and what comes of adding to its output.

Nothing but an MLP and a norm, each of a position by itself, lies between it and the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import collate
from tiltlm.models.blocks import upper_blocks
from tiltlm.models.head import hidden_states
from tiltlm.models.structure import input_device
from tiltlm.realise.lower_blocks import LowerBlocks
from tiltlm.realise.trigger_direction import ClassShifts

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
_BATCH = 16


@dataclass(frozen=True)
class Seen:
    """What the attention is given and gives, at the N positions that count.

    Attributes:
        inputs: (N, D).
        outputs: (N, heads, E) of its heads, before they are put together.
        onset: (N,) 1 where the trigger was completed, else 0.
        wanted: (N,) multiples of the whole shift.
        read: (N,) what the head's adapter would read.
    """

    inputs: torch.Tensor
    outputs: torch.Tensor
    onset: torch.Tensor
    wanted: torch.Tensor
    read: torch.Tensor


class LastAttention:
    """The attention of the last block, with adapters on projections of its own.

    Args:
        model: with adapters, in evaluation mode.
        module: the attention.
        reference: at the contexts that are trained on.

    Attributes:
        module: as above.
        heads: of queries.
        groups: heads of keys and values.
        size: E, dimensions of each.
    """

    def __init__(self, model: Any, module: Any, reference: Reference) -> None:
        self.module, self._model, self._reference = module, model, reference
        self._lower = LowerBlocks.of(model, reference)
        text = model.config.get_text_config()
        self.heads = int(text.num_attention_heads)
        self.groups = int(getattr(text, "num_key_value_heads", None) or self.heads)
        self.size = int(getattr(text, "head_dim", None) or text.hidden_size // self.heads)

    @classmethod
    def of(cls, model: Any, reference: Reference) -> LastAttention | None:
        """The attention, if it is one whose queries, keys and values are plain products.

        Args:
            model: with adapters, in evaluation mode.
            reference: at the contexts that are trained on.

        Returns:
            None where projections are not apart, or queries and keys are normalised after them.
        """
        blocks = upper_blocks(model)
        for module in blocks[-1].modules() if blocks else ():
            if all(hasattr(getattr(module, name, None), "lora_A") for name in _PROJECTIONS):
                normalises = any(hasattr(module, name) for name in ("q_norm", "k_norm"))
                return None if normalises else cls(model, module, reference)
        return None

    def look(self, class_shifts: ClassShifts, reader: torch.Tensor, numbers: Sequence[int]) -> Seen:
        """Read what goes on in the attention.

        Args:
            class_shifts: where the whole shift is wanted.
            reader: (D,) what the head's adapter multiplies hidden states with.
            numbers: of contexts.
        """
        parts = []
        with torch.no_grad(), self._watched() as found:
            for hidden, counted, some in self._batches(numbers):
                multiples = [class_shifts.multiples[i] for i in some]
                rises = [torch.diff(m, prepend=m.new_zeros(1)) > 0.5 for m in multiples]
                at = [c[: len(m)].cpu() for c, m in zip(counted, multiples, strict=True)]
                onset = torch.cat([r[a].float() for r, a in zip(rises, at, strict=True)])
                wanted = torch.cat([m[a] for m, a in zip(multiples, at, strict=True)])
                inputs = found["inputs"][counted].float()
                outputs = found["outputs"][counted].float()
                read = hidden[counted].float() @ reader.to(hidden.device)
                parts.append((inputs, outputs, onset, wanted, read))
        inputs, outputs, onset, wanted, read = (torch.cat(p) for p in zip(*parts, strict=True))
        heads = outputs.view(len(outputs), self.heads, self.size)
        return Seen(inputs, heads, onset.to(inputs), wanted.to(inputs), read.to(inputs))

    def pulled_back(
        self, factor: torch.Tensor, numbers: Sequence[int], seed: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """How what the attention adds is felt at the head's input, along random vectors there.

        Args:
            factor: (D, D), by which standard normal vectors are multiplied.
            numbers: of contexts to look at.
            seed: of the random vectors.

        Yields:
            for the positions of some contexts (N, D) the standard normal vectors x, and (N, D) the
            Jacobian's transpose times ``factor``·x, by one backward pass; float32.
        """
        random, added = torch.Generator().manual_seed(seed), list[torch.Tensor]()

        def add(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
            added[:] = [torch.zeros_like(output, requires_grad=True)]
            return output + added[0]

        hook = self.module.o_proj.register_forward_hook(add)
        try:
            with torch.enable_grad():
                for hidden, counted, _ in self._batches(numbers):
                    states = hidden[counted].float()
                    drawn = torch.randn(states.shape, generator=random).to(states)
                    read = (states * (drawn @ factor.to(states).T)).sum()
                    (gradient,) = torch.autograd.grad(read, added[0])
                    yield drawn, gradient[counted].float()
        finally:
            hook.remove()

    def mean_states(
        self, numbers: Sequence[int], added: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What the head is given, on the mean over positions.

        Args:
            numbers: of contexts to look at.
            added: (D,) to the attention's output, at every position.

        Returns:
            (D,) float64.
        """

        def add(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
            return output if added is None else output + added.to(output)

        hook = self.module.o_proj.register_forward_hook(add)
        try:
            with torch.no_grad():
                batches = self._batches(numbers)
                return torch.cat([hidden[counted].double() for hidden, counted, _ in batches]).mean(
                    0
                )
        finally:
            hook.remove()

    @contextmanager
    def _watched(self) -> Iterator[dict[str, torch.Tensor]]:
        """What the attention and its output projection are given, at the latest call."""
        found: dict[str, torch.Tensor] = {}

        def given(_: Any, args: Any, kwargs: Any) -> None:
            found["inputs"] = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]

        def heads(_: Any, args: Any) -> None:
            found["outputs"] = args[0]

        hooks = [
            self.module.register_forward_pre_hook(given, with_kwargs=True),
            self.module.o_proj.register_forward_pre_hook(heads),
        ]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()

    def _batches(
        self, numbers: Sequence[int]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[int]]]:
        """Contexts in batches: (batch, length, D) of the head's input, what counts, which."""
        for first in range(0, len(numbers), _BATCH):
            some = list(numbers[first : first + _BATCH])
            batch = collate([self._reference.contexts[i] for i in some])
            device = input_device(self._model)
            with self._lower.replaying(some) if self._lower else nullcontext():
                ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
                hidden = hidden_states(self._model, ids, mask)
            yield hidden, (batch["weights"] > 0).to(hidden.device), some
