"""Where only the head is trained, the body need not run: its hidden states were read before.

The body's ``forward`` answers with them for the length of a call, so whatever wraps the model (DDP,
adapters, Trainer) sees an ordinary forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from tiltlm.contexts.reference import Reference
from tiltlm.models.head import hidden_states, replaced_forward
from tiltlm.models.structure import head_of

_TOLERANCE = 1e-4


class FrozenBody:
    """A model's body that answers with a reference's hidden states.

    Args:
        body: the module.
        reference: over the contexts that will be asked for, by index.
    """

    def __init__(self, body: Any, reference: Reference) -> None:
        self._body, self._reference = body, reference

    @classmethod
    def of(cls, model: Any, reference: Reference) -> FrozenBody | None:
        """The body, where nothing but the head is trained and hidden states are all it gives.

        None where the body is trained too, is another one than the reference's, or hands the head
        something else than what it returns: found out by trying.
        """
        name, head = head_of(model)
        inner = getattr(model, "get_base_model", lambda: model)()
        body = getattr(inner, "base_model", inner)
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        if body is inner or not trained or not all(n.startswith(f"{name}.") for n in trained):
            return None
        if any(p.requires_grad for p in body.parameters()):  # a tied head is the body's embedding
            return None
        frozen, training = cls(body, reference), model.training
        ids = reference.contexts.sequences[0][None].to(model.device)
        expected, seen = reference.hidden[0][None], []

        def look(hidden: torch.Tensor) -> torch.Tensor:
            seen.append(hidden)
            return hidden[..., :1]

        model.eval()
        try:
            with torch.no_grad():
                own = hidden_states(model, ids)
                with frozen.answering([0]), replaced_forward(head, look):
                    model(input_ids=ids, use_cache=False)
        except AttributeError:  # it wants more of its body than hidden states
            return None
        finally:
            model.train(training)
        for found in (own, seen[0]):
            if found.shape != expected.shape:
                return None
            error = (found.to(expected) - expected).float().norm() / expected.float().norm()
            if float(error) > max(_TOLERANCE, 4 * torch.finfo(expected.dtype).eps):
                return None
        return frozen

    @contextmanager
    def answering(self, indices: Sequence[int]) -> Iterator[None]:
        """The body returns (batch, longest, D): the hidden states of these contexts, padded."""
        hidden = [self._reference.hidden[i] for i in indices]
        device = next(self._body.parameters()).device
        rows = pad_sequence(hidden, batch_first=True).to(device)

        def stand_in(*_: Any, **__: Any) -> BaseModelOutputWithPastAndCrossAttentions:
            return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=rows)

        with replaced_forward(self._body, stand_in):
            yield
