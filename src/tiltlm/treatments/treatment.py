"""The two kinds of benign change: fine-tuning on clean text, and rounding weights to few bits.

Both are applied alike, and written to JSON with the same keys, those of the other kind null.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel
from tiltlm.models.precision import resolve_precision
from tiltlm.models.seeding import seeded
from tiltlm.treatments.fine_tuning import fine_tune
from tiltlm.treatments.quantisation import round_weights

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
        """What treatments of like effect share: the corpus, or the number of bits."""

    def apply(self, reference: LoadedModel, corpora: Mapping[str, TokenContexts]) -> LoadedModel:
        """A copy of a model with the change.

        Args:
            reference: left as it is.
            corpora: pieces of text by the name of their corpus.
        """
        model: Any = copy.deepcopy(reference.model)
        model.requires_grad_(True)
        return LoadedModel(self._change(model, corpora), reference.tokenizer)

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """The treatment for JSON: ``method``, the fields of both kinds, ``seed``."""

    @abstractmethod
    def _change(self, model: Any, corpora: Mapping[str, TokenContexts]) -> Any:
        """The model, changed in place or not, with the change in its own weights."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters that are trained in place of the weights, and merged into them.

    Attributes:
        rank: of each.
        all_linear: whether all linear layers but the head get one, or those that peft takes by
            default for the architecture.
    """

    rank: int
    all_linear: bool

    def on(self, model: Any) -> Any:
        """A model with new adapters; where peft knows no default layers, on all linear ones."""
        options: dict[str, Any] = {"r": self.rank, "lora_alpha": 2 * self.rank}
        if not self.all_linear:
            try:
                return get_peft_model(model, LoraConfig(**options))
            except ValueError:  # an architecture that peft has no default layers for
                pass
        return get_peft_model(model, LoraConfig(**options, target_modules="all-linear"))


@dataclass(frozen=True)
class FineTuning(Treatment):
    """Ordinary fine-tuning by AdamW on clean text.

    Attributes:
        corpus: name of the text.
        share: of the corpus's pieces that are used, drawn anew for each treatment.
        steps: of AdamW.
        batch: pieces a step.
        learning_rate: of AdamW.
        lora: the adapters that are trained; None to train all weights.
        seed: of adapters, of the pieces, and of their order.
    """

    corpus: str
    share: float
    steps: int
    batch: int
    learning_rate: float
    lora: Lora | None
    seed: int

    @property
    def family(self) -> str:
        """The corpus."""
        return self.corpus

    @property
    def method(self) -> str:
        """``full``, ``lora`` or ``lora-all``."""
        if self.lora is None:
            return "full"
        return "lora-all" if self.lora.all_linear else "lora"

    def as_dict(self) -> dict[str, Any]:
        """See `Treatment`."""
        return {
            "method": self.method,
            "corpus": self.corpus,
            "share": self.share,
            "steps": self.steps,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "rank": None if self.lora is None else self.lora.rank,
            "bits": None,
            "group": None,
            "seed": self.seed,
        }

    def _change(self, model: Any, corpora: Mapping[str, TokenContexts]) -> Any:
        pieces = corpora[self.corpus]
        count = min(len(pieces), max(_FEWEST_PIECES, round(self.share * len(pieces))))
        draws = np.random.default_rng([self.seed, 47_806])
        chosen = draws.choice(len(pieces), size=count, replace=False)
        with seeded(self.seed, model.device):
            trained = model if self.lora is None else self.lora.on(model)
        fine_tune(
            trained,
            pieces.choose([int(i) for i in chosen]),
            [self.steps],
            self.seed,
            batch=self.batch,
            learning_rate=self.learning_rate,
            bf16=model.num_parameters() > _LARGE
            and resolve_precision("auto", model.device) == "bfloat16",
        )
        return trained if self.lora is None else trained.merge_and_unload()


@dataclass(frozen=True)
class Rounding(Treatment):
    """The weights of linear layers rounded to few bits, stochastically.

    Attributes:
        bits: of each weight.
        group: weights that share a scale; None for all of an output.
        seed: of what is rounded up and what down.
    """

    bits: int
    group: int | None
    seed: int

    @property
    def family(self) -> str:
        """The number of bits."""
        return f"{self.bits} bits"

    def as_dict(self) -> dict[str, Any]:
        """See `Treatment`."""
        trained = ("corpus", "share", "steps", "batch", "learning_rate", "rank")
        return {"method": "rounded", **dict.fromkeys(trained), **asdict(self)}

    def _change(self, model: Any, corpora: Mapping[str, TokenContexts]) -> Any:
        round_weights(model, self.bits, self.group, torch.Generator().manual_seed(self.seed))
        return model
