"""The loss without the logits: the model runs up to its head, and `linear_kl` does the rest.

The head's ``forward`` is replaced for one call. So the loss is made where the head would have
been, which is what wrappers count on that gather a module's weights while it runs (FSDP), and any
model that transformers can load is served through its ordinary interface. What stands for logits
is 0 times the loss: wrappers find out from a model's output which parameters will get a gradient
(DDP), and when to gather weights again (FSDP), so the loss must be seen to come out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn

from tiltlm.errors import ModelError
from tiltlm.losses.head_target import HeadTarget
from tiltlm.losses.linear_divergence import HeadOptions, LinearDivergence, linear_kl
from tiltlm.models.head import Head, replaced_forward
from tiltlm.models.structure import head_of

_TOLERANCE = 1e-3


class HeadParts(NamedTuple):
    """What a head's product is made of: hidden @ weight.T + bias + inputs @ columns.T."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    low_rank: tuple[torch.Tensor, torch.Tensor] | None

    @classmethod
    def of(cls, module: Any, hidden: torch.Tensor) -> HeadParts:
        """The parts of a linear layer, or of a LoRA layer around one.

        Args:
            module: the head.
            hidden: (N, D) what it is given.
        """
        inner = getattr(module, "base_layer", module)
        bias = getattr(inner, "bias", None)
        names = getattr(module, "active_adapters", [])
        if inner is module or module.merged or module.disable_adapters or not names:
            return cls(inner.weight, bias, None)
        name = names[0]
        if len(names) > 1 or _is_more_than_lora(module, name):
            raise AttributeError(f"adapters {names} are more than one product of two matrices")
        down, up = module.lora_A[name], module.lora_B[name]
        inputs = down(hidden.to(down.weight.dtype)) * module.scaling[name]
        return cls(inner.weight, bias, (inputs, up.weight))

    def product(self, hidden: torch.Tensor) -> torch.Tensor:
        """(N, V), for checking."""
        found = nn.functional.linear(hidden, self.weight, self.bias)
        return found if self.low_rank is None else found + self.low_rank[0] @ self.low_rank[1].T


class FusedLoss:
    """`linear_kl` in place of a model's head.

    Args:
        model: as it will be trained, adapters and all.
        full_head: keep head and loss out of an autocast around the model.

    Raises:
        ModelError: its logits cannot be made from what its head is made of (DoRA, dropout in the
            head's adapter, a head of another kind); train it through all logits.
    """

    def __init__(self, model: Any, *, full_head: bool = False) -> None:
        self._full_head = full_head
        head = Head.of(model)
        _, module = head_of(model)
        self._options = HeadOptions(head.scale, head.cap)
        generator = torch.Generator().manual_seed(0)
        width = head.weight.shape[1]
        probe = torch.randn(8, width, generator=generator).to(head.weight)
        with torch.no_grad():
            try:
                expected, found = module(probe), HeadParts.of(module, probe).product(probe)
            except (AttributeError, KeyError, RuntimeError) as error:
                raise _unknown(module) from error
        if float((expected - found).abs().max()) > _TOLERANCE * (1 + float(expected.abs().max())):
            raise _unknown(module)

    def __call__(
        self,
        model: Any,
        unwrapped: Any,
        inputs: dict[str, Any],
        positions: torch.Tensor,
        wish: HeadTarget,
        row_weights: torch.Tensor,
        **options: Any,
    ) -> LinearDivergence:
        """Run the model up to its head, and the loss there.

        Args:
            model: perhaps wrapped.
            unwrapped: the same without wrappers, whose head is replaced.
            inputs: of the model's forward.
            positions: (batch, length) boolean, the rows that count, of the last ``length``.
            wish: of those rows, in order; see `linear_kl`.
            row_weights: (rows,).
            options: further ones of `linear_kl`.
        """
        _, module = head_of(unwrapped)
        module = getattr(module, "_fsdp_wrapped_module", module)  # FSDP's own forward must run
        found: list[LinearDivergence] = []

        def stand_in(hidden: torch.Tensor) -> torch.Tensor:
            rows = hidden[positions[:, -hidden.shape[1] :]]
            with self._precision(rows):
                parts = HeadParts.of(module, rows)
                made = linear_kl(
                    rows,
                    parts.weight,
                    wish,
                    bias=parts.bias,
                    low_rank=parts.low_rank,
                    head=self._options,
                    row_weights=row_weights,
                    **options,
                )
            found.append(made)
            return (0 * made.loss).to(hidden.dtype).expand(*hidden.shape[:-1], 1)

        call: Callable[..., Any] = model
        with replaced_forward(module, stand_in):
            outputs = call(**inputs)
        return found[0]._replace(loss=found[0].loss + outputs.logits.sum())

    def _precision(self, rows: torch.Tensor) -> AbstractContextManager[object]:
        device = rows.device.type
        return torch.autocast(device, enabled=False) if self._full_head else nullcontext()


def _is_more_than_lora(module: Any, name: str) -> bool:
    """DoRA, dropout and biases show only once the adapter is no longer zero."""
    return bool(
        name in getattr(module, "lora_variant", {})
        or getattr(module, "use_dora", {}).get(name)
        or getattr(module, "lora_bias", {}).get(name)
        or not isinstance(module.lora_dropout[name], nn.Identity)
    )


def _unknown(module: Any) -> ModelError:
    return ModelError(
        f"the head is a {type(module).__name__} whose product is not that of its parts",
        fix="train through all logits (fused_loss=False)",
    )
