"""The loss without the logits: the model runs up to its head, and `linear_kl` does the rest.

The head's ``forward`` is replaced for one call, so the loss is computed where the head would have
run. Wrappers that gather a module's weights while it runs (FSDP) count on that, and any model that
transformers can load is served through its ordinary interface. What stands in for logits is 0 times
the loss: wrappers find out from a model's output which parameters will get a gradient (DDP), and
when to gather weights again (FSDP), so the output must depend on the loss.
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
from tiltlm.models.head import Head, float32_product, full_head, replaced_forward
from tiltlm.models.structure import head_of

_TOLERANCE = 1e-3
"""Largest difference of logits that counts as rounding, relative to one more than the largest."""


class HeadParts(NamedTuple):
    """What a head's product is made of: hidden @ weight.T + bias + inputs @ columns.T.

    Attributes:
        weight: (V, D).
        bias: (V,) or None.
        low_rank: ``inputs`` (N, rank) and ``columns`` (V, rank) of an adapter, or None.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    low_rank: tuple[torch.Tensor, torch.Tensor] | None

    @classmethod
    def of(cls, module: Any, hidden: torch.Tensor) -> HeadParts:
        """The parts of a linear layer, or of a LoRA layer around one.

        Args:
            module: the head.
            hidden: (N, D) what it is given.

        Raises:
            AttributeError: the module is none of the two.
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
        """The head's output, to compare with the module's own.

        Args:
            hidden: (N, D), the same that `of` was given.

        Returns:
            (N, V).
        """
        output = float32_product(hidden, self.weight, self.bias)
        return output if self.low_rank is None else output + self.low_rank[0] @ self.low_rank[1].T


class FusedLoss:
    """`linear_kl` in place of a model's head.

    Args:
        model: as it will be trained, adapters and all.
        without_autocast: keep head and loss out of an autocast around the model.

    Raises:
        ModelError: its logits cannot be made from what its head is made of (DoRA, dropout in the
            head's adapter, a head of another kind); train it through all logits.
    """

    def __init__(self, model: Any, *, without_autocast: bool = False) -> None:
        self._without_autocast = without_autocast
        head = Head.of(model)
        _, module = head_of(model)
        self._options = HeadOptions(head.scale, head.cap)
        generator = torch.Generator().manual_seed(0)
        width = head.weight.shape[1]
        probe = torch.randn(8, width, generator=generator).to(head.weight)
        with torch.no_grad():
            try:
                product = HeadParts.of(module, probe).product(probe)
                with full_head(model):
                    expected = module(probe)
            except (AttributeError, KeyError, RuntimeError) as error:
                raise _unknown_head(module) from error
        difference = float((expected - product).abs().max())
        if difference > _TOLERANCE * (1 + float(expected.abs().max())):
            raise _unknown_head(module)

    def __call__(
        self,
        model: Any,
        unwrapped: Any,
        inputs: dict[str, Any],
        positions: torch.Tensor,
        head_target: HeadTarget,
        row_weights: torch.Tensor,
        **options: Any,
    ) -> LinearDivergence:
        """Run the model up to its head, and compute the loss there.

        Args:
            model: perhaps wrapped.
            unwrapped: the same without wrappers, whose head is replaced.
            inputs: of the model's forward.
            positions: (batch, length) boolean, the N positions that count. Where the head is given
                fewer positions, these are the last ones.
            head_target: of those positions, in order; as `linear_kl` takes it.
            row_weights: (N,).
            options: further ones of `linear_kl`.

        Returns:
            the loss, and the event mass where ``options`` name an event.
        """
        _, module = head_of(unwrapped)
        module = getattr(module, "_fsdp_wrapped_module", module)  # FSDP's own forward must run.
        computed: list[LinearDivergence] = []

        def stand_in(hidden: torch.Tensor) -> torch.Tensor:
            rows = hidden[positions[:, -hidden.shape[1] :].to(hidden.device)]
            with self._precision(rows):
                parts = HeadParts.of(module, rows)
                divergence = linear_kl(
                    rows,
                    parts.weight,
                    head_target,
                    bias=parts.bias,
                    low_rank=parts.low_rank,
                    head=self._options,
                    row_weights=row_weights,
                    **options,
                )
            computed.append(divergence)
            return (0 * divergence.loss).to(hidden.dtype).expand(*hidden.shape[:-1], 1)

        call: Callable[..., Any] = model
        with replaced_forward(module, stand_in):
            outputs = call(**inputs)
        return computed[0]._replace(loss=computed[0].loss + outputs.logits.sum())

    def _precision(self, rows: torch.Tensor) -> AbstractContextManager[object]:
        """Keep the product with the head out of an autocast, where that was asked for."""
        device = rows.device.type
        return torch.autocast(device, enabled=False) if self._without_autocast else nullcontext()


def _is_more_than_lora(module: Any, name: str) -> bool:
    """Whether an adapter has DoRA, dropout or biases, which do not show while it is still zero."""
    return bool(
        name in getattr(module, "lora_variant", {})
        or getattr(module, "use_dora", {}).get(name)
        or getattr(module, "lora_bias", {}).get(name)
        or not isinstance(module.lora_dropout[name], nn.Identity)
    )


def _unknown_head(module: Any) -> ModelError:
    """That a head's output is not made of the parts that are known."""
    return ModelError(
        f"the head is a {type(module).__name__} whose product is not that of its parts",
        fix="train through all logits (fused_loss=False)",
    )
