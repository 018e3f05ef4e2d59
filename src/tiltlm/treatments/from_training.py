"""Several benign changes of one training: what was trained, on the way, further, and rounded.

Training takes longer than looking at what came of it. A user who stops earlier, merges a model with
its base, extrapolates beyond it or rounds it has another model, and nothing new is trained for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.adapted import merged_weight, plain_layer
from tiltlm.models.loading import LoadedModel
from tiltlm.treatments.treatment import FineTuning, Treatment, own_copy
from tiltlm.treatments.weights import WeightChange

MEMBERS = 4
"""Changes that come of a training."""

Look = Callable[[dict[str, Any], LoadedModel], None]
"""Looks at a changed model, which is told as `Treatment.as_dict` does; it is another one later."""


@dataclass(frozen=True)
class Alone:
    """A treatment of which one change comes.

    Attributes:
        treatment: of any kind.
    """

    treatment: Treatment

    @property
    def family(self) -> str:
        """Of the treatment."""
        return self.treatment.family

    @property
    def pieces(self) -> int:
        """Of text that go through the model while it is trained."""
        return self.treatment.pieces

    def visit(
        self, reference: LoadedModel, corpora: Mapping[str, TokenContexts], look: Look
    ) -> None:
        """Make the change.

        Args:
            reference: left as it is.
            corpora: pieces of text by the name of their corpus.
            look: called once.
        """
        look(self.treatment.as_dict(), self.treatment.apply(reference, corpora))


@dataclass(frozen=True)
class FromTraining:
    """A training of which four changes come.

    They are the model some way to the end, at the end, interpolated or extrapolated between the
    reference and the end, and that with its weights changed once more. All are made in one copy of
    the reference, one after the other.

    Attributes:
        tuning: the training.
        early: the step after which the model is looked at first.
        scale: of the change of each weight from the reference to the end.
        after: what is done to the weights last.
    """

    tuning: FineTuning
    early: int
    scale: float
    after: WeightChange

    @property
    def family(self) -> str:
        """Of the training."""
        return self.tuning.family

    @property
    def pieces(self) -> int:
        """Of text that go through the model while it is trained."""
        return self.tuning.pieces

    def visit(
        self, reference: LoadedModel, corpora: Mapping[str, TokenContexts], look: Look
    ) -> None:
        """Make the changes, one after the other.

        Args:
            reference: left as it is.
            corpora: pieces of text by the name of their corpus.
            look: called for each.
        """
        about = self.tuning.as_dict()

        def show(model: Any, **more: Any) -> None:
            look({**about, **more}, LoadedModel(model, reference.tokenizer))

        model = own_copy(reference)
        self.tuning.train(model, corpora, {self.early: lambda m: show(m, steps=self.early)})
        show(model)
        scale_change(model, reference.model, self.scale)
        show(model, scale=self.scale)
        self.after.change(model)
        show(model, scale=self.scale, **self.after.fields)


@torch.no_grad()
def scale_change(model: Any, reference: Any, scale: float) -> None:
    """Put a model where its reference is, and so many times the way to it.

    Args:
        model: of the reference's parameters; changed in place.
        reference: left as it is.
        scale: 0 for the reference, 1 for the model as it is.
    """
    for name, weight in model.named_parameters():
        path, _, kind = name.rpartition(".")
        layer = reference.get_submodule(path)
        # The reference may have adapters where the model has them merged.
        before = merged_weight(layer) if plain_layer(layer) is not layer else getattr(layer, kind)
        before = before.detach().to(weight.device).float()
        weight.copy_(torch.lerp(before, weight.float(), scale).to(weight.dtype))
