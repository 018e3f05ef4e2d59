"""From hidden state to logits: the output head with whatever a model does after it.

Most models stop at W h + b; Granite and Cohere scale the result, Gemma caps it softly, Model 5
divides by √width. Which of these a model does is not read from its config but found by comparing
with its own logits, so that a model that makes logits in another way is refused, not misread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from tiltlm.errors import ModelError
from tiltlm.losses.head_products import exact_product
from tiltlm.models.adapted import lora_factors
from tiltlm.models.attention import attention_without_plans
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.structure import head_of, input_device, vocabulary_size

_HALVES = (torch.bfloat16, torch.float16)

_PROBE_TOKENS = 12
"""Random tokens at which the head is compared with the model."""

_TOLERANCE = 1e-3
"""Largest difference of logits that counts as rounding, relative to one more than the largest."""


@dataclass(frozen=True)
class Head:
    """logits = cap·tanh(scale·(W h + b) / cap); without ``cap``, scale·(W h + b).

    Attributes:
        name: dotted name of the module in the model.
        weight: (V, D) of W, shared with the model.
        bias: (V,) of b, or None.
        scale: of the matrix product.
        cap: of the logits, softly; None where the model has no cap.
        added: (r, D) and (V, r) factors of what an adapter adds to W, float32, which are never
            merged into a weight of fewer digits; None without an adapter.
    """

    name: str
    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    cap: float | None
    added: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def of(cls, model: PreTrainedModel) -> Head:
        """Find how a model makes logits of hidden states, and verify it on a few tokens.

        Args:
            model: read in evaluation mode; its own mode is restored.

        Raises:
            ModelError: its logits are made in some other way.
        """
        name, module = head_of(model)
        weight, bias = module.weight.detach(), getattr(module, "bias", None)
        bias = None if bias is None else bias.detach()
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(vocabulary_size(model), (1, _PROBE_TOKENS), generator=generator)
        with evaluating(model), torch.no_grad(), full_head(model):
            ids = ids.to(input_device(model))
            logits = model(input_ids=ids, use_cache=False).logits[0].float()
            hidden = hidden_states(model, ids)[0]
            raw = module(hidden).float()  # with what an adapter adds
            logits = logits.to(raw.device)
        for scale, cap in _candidates(model, raw, logits):
            head = cls(name, weight, bias, scale, cap, lora_factors(module))
            error = (head._finish(raw) - logits).abs().max()
            if float(error) <= _TOLERANCE * (1 + float(logits.abs().max())):
                return head
        raise ModelError(
            "the model's logits are no scaled or capped product of its head",
            where=type(model).__name__,
            fix="use tiltlm.decode(model, target), which works on logits alone, with a target that "
            "is not fitted to contexts",
        )

    def copied(self) -> Head:
        """The same head with weights of its own, for a reference whose model will be trained."""
        bias = None if self.bias is None else self.bias.clone()
        return replace(self, weight=self.weight.clone(), bias=bias)

    def logits(self, hidden: torch.Tensor, raw: torch.Tensor | None = None) -> torch.Tensor:
        """The model's logits.

        Args:
            hidden: (…, D) hidden states, on whatever device.
            raw: what `raw` makes of them, where it is known already; left as it is.

        Returns:
            (…, V) float32, on the head's device.
        """
        raw = self.raw(hidden) if raw is None else raw
        return self._finish(self._with_added(raw, hidden))

    def raw(self, hidden: torch.Tensor) -> torch.Tensor:
        """W h + b, nearly all the work there is: without an adapter, scale or cap.

        Args:
            hidden: (…, D) hidden states, on whatever device.

        Returns:
            (…, V) float32, on the head's device.
        """
        return float32_product(hidden, self.weight, self.bias).float()

    def same_product(self, other: Head) -> bool:
        """Whether another head has its W and b in the same memory, so that `raw` is the same."""
        return all(
            first is second
            or (first is not None and second is not None and first.is_set_to(second))
            for first, second in ((self.weight, other.weight), (self.bias, other.bias))
        )

    def _with_added(self, raw: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(…, V) raw logits with what an adapter adds to those of W h + b."""
        if self.added is None:
            return raw
        down, up = self.added
        return raw + (hidden.to(down.device).float() @ down.T) @ up.T

    def _finish(self, raw: torch.Tensor) -> torch.Tensor:
        """Scale and cap (…, V) raw logits W h + b."""
        scaled = raw * self.scale if self.scale != 1.0 else raw
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def raw_shift(self, level: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """By how much the raw logit W h must rise for the final logit to rise by a shift.

        Args:
            level: (N, A) final logits, typical of each class of tokens. Only a cap makes it matter
                where a logit stands.
            shift: (N, A) shifts of the final logits, in nats.

        Returns:
            (N, A) shifts of the raw logits.
        """
        if self.cap is None:
            return shift / self.scale
        edge = 1 - 1e-4  # A logit can come near to its cap, but not beyond.
        before = (level / self.cap).clamp(-edge, edge).atanh()
        after = ((level + shift) / self.cap).clamp(-edge, edge).atanh()
        return (after - before) * self.cap / self.scale


def _candidates(
    model: PreTrainedModel, raw: torch.Tensor, logits: torch.Tensor
) -> Iterator[tuple[float, float | None]]:
    """Scales and caps that may turn raw logits into the model's, the simplest first.

    Where there is a scale, it is the least-squares one between the two.
    """
    yield 1.0, None
    yield float((raw * logits).sum() / (raw * raw).sum()), None
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    if cap:
        yield 1.0, float(cap)
        inverse = (logits / cap).clamp(-0.999, 0.999).atanh() * cap
        yield float((raw * inverse).sum() / (raw * raw).sum()), float(cap)


def hidden_states(
    model: PreTrainedModel, ids: torch.Tensor, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """What the head is given at every position; the head itself is not applied.

    Args:
        model: run once, in its own mode.
        ids: (batch, length) token ids.
        attention_mask: (batch, length), 1 where a token is no padding; None where none is.

    Returns:
        (batch, length, D).
    """
    given: list[torch.Tensor] = []

    def record(hidden: torch.Tensor) -> torch.Tensor:
        given.append(hidden)
        return hidden[..., :1]

    without_plans = attention_without_plans(input_device(model))
    with replaced_forward(model.get_output_embeddings(), record), without_plans:
        model(input_ids=ids, attention_mask=attention_mask, use_cache=False)
    return given[0]


@contextmanager
def last_states(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """What the head is given at the last position, of each pass while this lasts.

    Args:
        model: with a head, which is applied as usual.

    Yields:
        (batch, D) of each pass, appended as they come.
    """
    given: list[torch.Tensor] = []

    def record(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        given.append(inputs[0][:, -1])

    handle = model.get_output_embeddings().register_forward_pre_hook(record)
    try:
        yield given
    finally:
        handle.remove()


def float32_product(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """W h + b in float32, whatever the weights are held in.

    Logits near 16 are 0.06 apart in bfloat16, more than many tilts. Weights are made float32 a few
    rows at a time, and on CUDA not at all. Where autograd is to follow, all of them are.

    Args:
        hidden: (…, D) on whatever device.
        weight: (V, D).
        bias: (V,) or None.

    Returns:
        (…, V) float32, or float64 where the weights are; on their device.
    """
    hidden = hidden.to(weight.device)
    exact = torch.promote_types(weight.dtype, torch.float32)
    bias = None if bias is None else bias.to(exact)
    followed = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    if weight.dtype == exact or followed:
        return nn.functional.linear(hidden.to(exact), weight.to(exact), bias)
    rows = hidden.reshape(-1, hidden.shape[-1]).detach()
    raw = torch.empty(len(rows), len(weight), dtype=exact, device=weight.device)
    # Means of hidden states have more digits than the weights.
    rows = rows if rows.dtype == weight.dtype else rows.to(exact)
    exact_product(raw, rows, weight.detach().T)
    if bias is not None:
        raw += bias
    return raw.view(*hidden.shape[:-1], len(weight))


@contextmanager
def full_head(model: PreTrainedModel) -> Iterator[None]:
    """Let the output head make float32 logits, by a float32 product, also under an autocast.

    So no logit is rounded to half precision, nor what an adapter adds to it.

    Args:
        model: whose head's ``forward`` is replaced for the length of the context; a model without
            a head is left alone.
    """
    head: Any = model.get_output_embeddings()
    if head is None:
        yield
        return
    inner = getattr(head, "base_layer", head)  # under an adapter
    half = getattr(inner, "weight", None) is not None and inner.weight.dtype in _HALVES

    def product(hidden: torch.Tensor) -> torch.Tensor:
        return float32_product(hidden, inner.weight, getattr(inner, "bias", None))

    with replaced_forward(inner, product) if half else nullcontext():
        forward = head.forward

        def full_precision_forward(hidden: torch.Tensor) -> torch.Tensor:
            with torch.autocast(hidden.device.type, enabled=False):
                given = hidden if half else hidden.to(head.weight.dtype)
                logits: torch.Tensor = forward(given)
            return logits

        with replaced_forward(head, full_precision_forward):
            yield


@contextmanager
def replaced_forward(module: Any, stand_in: Callable[..., Any]) -> Iterator[None]:
    """Let another function stand in for a module's ``forward`` for the length of the context.

    Args:
        module: of whatever kind.
        stand_in: called with what the module would be called with. In place of a head, one column
            instead of V will do as logits.
    """
    original = module.__dict__.get("forward")
    module.forward = stand_in
    try:
        yield
    finally:
        if original is None:
            del module.forward
        else:
            module.forward = original
