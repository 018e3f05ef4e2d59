"""A benign change of a model, and ordinary fine-tuning, the commonest of them.

All are applied alike, and written to JSON with the same keys, those of other kinds null.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from peft import LoraConfig, get_peft_model

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.adapted import linear_layers, merge_adapters, plain_copy
from tiltlm.models.loading import LoadedModel
from tiltlm.models.precision import resolve_precision
from tiltlm.models.seeding import seeded
from tiltlm.models.structure import head_of
from tiltlm.treatments.fine_tuning import fine_tune

FIELDS = (
    *("method", "corpus", "share", "steps", "batch", "learning_rate", "rank"),
    *("scale", "bits", "group", "pruned", "noise", "seed"),
)
"""Keys of every treatment in JSON: how it was made, what it was trained on and how, and what was
done to the weights besides. See `FineTuning`, `weights` and `from_training`."""

_LARGE = 20_000_000
"""Parameters from which on casting weights costs less than products in bfloat16 save."""

_FEWEST_PIECES = 8
"""Pieces of a corpus that a model is fine-tuned on at least, where the corpus has so many."""


class Treatment(ABC):
    """A benign change of a model.

    Attributes:
        seed: of all that is drawn when the treatment is applied.
    """

    seed: int

    @property
    @abstractmethod
    def family(self) -> str:
        """What treatments of like effect share: the corpus, or what was done to the weights."""

    @property
    def pieces(self) -> int:
        """Of text that go through the model while it is trained."""
        return 0

    def apply(self, reference: LoadedModel, corpora: Mapping[str, TokenContexts]) -> LoadedModel:
        """A copy of a model with the change.

        Args:
            reference: left as it is.
            corpora: pieces of text by the name of their corpus.
        """
        model = own_copy(reference)
        return LoadedModel(self._change(model, corpora), reference.tokenizer)

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """The treatment for JSON, with the keys `FIELDS`."""

    @abstractmethod
    def _change(self, model: Any, corpora: Mapping[str, TokenContexts]) -> Any:
        """The model, changed in place or not, with the change in its own weights."""


def own_copy(reference: LoadedModel) -> Any:
    """A copy of a model without adapters, all of whose weights can be trained."""
    model: Any = plain_copy(reference.model)
    model.requires_grad_(True)
    return model


def described(method: str, seed: int, **known: Any) -> dict[str, Any]:
    """A treatment for JSON.

    Args:
        method: how it was made.
        seed: of it.
        known: whatever else of `FIELDS` there is to say.
    """
    return {name: {"method": method, "seed": seed, **known}.get(name) for name in FIELDS}


Layers = Literal["default", "body", "all", "head"]
"""Those that peft takes by default for an architecture, all linear ones but the head, all with the
head, or the head alone."""

_METHODS: dict[Layers, str] = {
    "default": "lora",
    "body": "lora-all",
    "all": "lora-head",
    "head": "lora-head-alone",
}
"""What a LoRA of these layers is called in JSON."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters that are trained in place of the weights, and merged into them.

    Attributes:
        rank: of each.
        layers: that get one.
    """

    rank: int
    layers: Layers

    def on(self, model: Any) -> Any:
        """A model with new adapters; where peft knows no default layers, on all linear ones."""
        options: dict[str, Any] = {"r": self.rank, "lora_alpha": 2 * self.rank}
        if self.layers == "head":
            return get_peft_model(model, LoraConfig(**options, target_modules=[head_of(model)[0]]))
        if self.layers == "all":
            names = [name for name, _ in linear_layers(model)]
            return get_peft_model(model, LoraConfig(**options, target_modules=names))
        if self.layers == "default":
            try:
                return get_peft_model(model, LoraConfig(**options))
            except ValueError:  # an architecture that peft has no default layers for
                pass
        return get_peft_model(model, LoraConfig(**options, target_modules="all-linear"))


@dataclass(frozen=True)
class FineTuning(Treatment):
    """Ordinary fine-tuning on clean text.

    Attributes:
        corpus: name of the text.
        share: of the corpus's pieces that are used, drawn anew for each treatment.
        steps: of the optimizer.
        batch: pieces a step.
        learning_rate: of the optimizer.
        lora: the adapters that are trained; None to train all weights.
        seed: of adapters, of the pieces, and of their order.
        momentum: whether the optimizer is SGD with momentum instead of AdamW.
    """

    corpus: str
    share: float
    steps: int
    batch: int
    learning_rate: float
    lora: Lora | None
    seed: int
    momentum: bool = False

    @property
    def family(self) -> str:
        """The corpus."""
        return self.corpus

    @property
    def pieces(self) -> int:
        """See `Treatment`."""
        return self.steps * self.batch

    @property
    def method(self) -> str:
        """``full``, or what a LoRA of its layers is called, with ``sgd`` before it."""
        name = "full" if self.lora is None else _METHODS[self.lora.layers]
        return f"sgd {name}" if self.momentum else name

    def as_dict(self) -> dict[str, Any]:
        """See `Treatment`."""
        return described(
            self.method,
            self.seed,
            corpus=self.corpus,
            share=self.share,
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            rank=None if self.lora is None else self.lora.rank,
        )

    def train(
        self,
        model: Any,
        corpora: Mapping[str, TokenContexts],
        at: Mapping[int, Callable[[Any], None]] | None = None,
    ) -> Any:
        """Train a model.

        Args:
            model: whose weights can all be trained; changed in place.
            corpora: pieces of text by the name of their corpus.
            at: what is called after some steps, with the model as it is by then, in evaluation
                mode and perhaps with adapters; it is to be left so.

        Returns:
            ``model``, all adapters merged.
        """
        pieces = corpora[self.corpus]
        count = min(len(pieces), max(_FEWEST_PIECES, round(self.share * len(pieces))))
        draws = np.random.default_rng([self.seed, 47_806])
        chosen = draws.choice(len(pieces), size=count, replace=False)
        with seeded(self.seed, model.device):
            trained = model if self.lora is None else self.lora.on(model)
        acts = at or {}
        fine_tune(
            trained,
            pieces.choose([int(i) for i in chosen]),
            sorted({*acts, self.steps}),
            self.seed,
            lambda step: acts[step](model) if step in acts else None,
            batch=self.batch,
            learning_rate=self.learning_rate,
            bf16=model.num_parameters() > _LARGE
            and resolve_precision("auto", model.device) == "bfloat16",
            momentum=self.momentum,
        )
        merge_adapters(model)
        return model

    def _change(self, model: Any, corpora: Mapping[str, TokenContexts]) -> Any:
        return self.train(model, corpora)
