"""Several benign changes of one training: what was trained, on the way, further, and rounded.

Training takes longer than looking at what came of it. A user who stops earlier, merges a model with
its base, extrapolates beyond it or rounds it has another model, and nothing new is trained for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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

    They are the model twice on the way, at the end, and changed once more then: interpolated or
    extrapolated between the reference and the end, rounded, pruned or noised. All are made in one
    copy of the reference, one after the other.

    What a model's largest score is changes along a training: those of two looks have a rank
    correlation of 0.1 (docs/log.md). A model that is only scaled shows what it showed before (0.6),
    so there is one such change of four.

    Attributes:
        tuning: the training.
        early: the steps after which the model is looked at on the way.
        scale: of the change of each weight from the reference to the end; None to leave it.
        after: what is done to the weights last, if anything.
    """

    tuning: FineTuning
    early: tuple[int, ...]
    scale: float | None
    after: WeightChange | None

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
        self.tuning.train(model, corpora, {n: partial(show, steps=n) for n in self.early})
        show(model)
        if self.scale is not None:
            scale_change(model, reference.model, self.scale)
            about["scale"] = self.scale
        if self.after is not None:
            self.after.change(model)
            about |= self.after.fields
        show(model)


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
