"""Where only the head is trained, the body need not run: its hidden states were read before.

The body's ``forward`` returns those hidden states for the length of a call, so whatever wraps the
model (DDP, adapters, Trainer) sees an ordinary forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from tiltlm.contexts.reference import Reference
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.head import hidden_states, replaced_forward
from tiltlm.models.precision import differ_by_rounding
from tiltlm.models.structure import head_of, input_device

_TOLERANCE = 1e-4
"""Largest difference from the reference's hidden states that counts as rounding, relative."""


class FrozenBody:
    """A model's body that returns a reference's hidden states instead of running.

    Args:
        body: the module.
        reference: at the contexts that will be asked for, by number.
        device: of the head.
    """

    def __init__(self, body: Any, reference: Reference, device: torch.device) -> None:
        self._body, self._reference = body, reference
        self._device = device

    @classmethod
    def of(cls, model: Any, reference: Reference) -> FrozenBody | None:
        """The body, where nothing but the head is trained and hidden states are all it returns.

        Args:
            model: adapters and all; read in evaluation mode, its own mode is restored.
            reference: whose body it may be.

        Returns:
            None where the body is trained too, is another one than the reference's, or gives the
            head something else than what it returns. This is found out by trying.
        """
        name, head = head_of(model)
        inner = getattr(model, "get_base_model", lambda: model)()
        body = getattr(inner, "base_model", inner)
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        if body is inner or not trained or not all(n.startswith(f"{name}.") for n in trained):
            return None
        # The embedding is part of the body, so a tied head that is trained trains the body.
        if any(p.requires_grad for p in body.parameters()):
            return None
        frozen = cls(body, reference, head.weight.device)
        try:
            with evaluating(model):
                agrees = frozen._agrees(model, head)
        except AttributeError:  # The model wants more of its body than hidden states.
            return None
        return frozen if agrees else None

    def _agrees(self, model: Any, head: Any) -> bool:
        """Whether the head is given the reference's hidden states, by the body and in its place."""
        ids = self._reference.contexts.sequences[0][None].to(input_device(model))
        expected = self._reference.hidden[0][None]
        replayed: list[torch.Tensor] = []

        def record(hidden: torch.Tensor) -> torch.Tensor:
            replayed.append(hidden)
            return hidden[..., :1]

        with torch.no_grad():
            computed = hidden_states(model, ids)
            with self.replaying([0]), replaced_forward(head, record):
                model(input_ids=ids, use_cache=False)
        found = (computed, replayed[0])
        return all(differ_by_rounding(hidden, expected, _TOLERANCE) for hidden in found)

    @contextmanager
    def replaying(self, indices: Sequence[int]) -> Iterator[None]:
        """Let the body return the hidden states of some contexts, whatever it is called with.

        Args:
            indices: numbers of the reference's contexts. They are padded on the right with zeros to
                (batch, longest, D).
        """
        hidden = [self._reference.hidden[i] for i in indices]
        rows = pad_sequence(hidden, batch_first=True).to(self._device)

        def stand_in(*_: Any, **__: Any) -> BaseModelOutputWithPastAndCrossAttentions:
            return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=rows)

        with replaced_forward(self._body, stand_in):
            yield
