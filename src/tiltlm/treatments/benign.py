"""Benign changes of a model: what an ordinary user might have done to it, with no tilt in mind."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from peft import LoraConfig, get_peft_model

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel
from tiltlm.models.precision import resolve_precision
from tiltlm.treatments.fine_tuning import fine_tune
from tiltlm.treatments.quantisation import round_weights

Method = Literal["full", "lora", "lora-all", "rounded"]


METHODS: tuple[Method, ...] = ("full", "full", "lora", "lora-all", "rounded")
"""Drawn from evenly: two in five train all weights, since what they do has most forms."""


STEPS = (4, 8, 16, 32)


BATCHES = (2, 4, 8)


SHARES = (0.1, 0.3, 1.0)


RANKS = (2, 4, 8, 16)


BITS = (8, 6, 5, 4)


GROUPS = (None, 64, 32)


RATES = (0.01, 0.15)
"""Learning rates of full fine-tuning, over the model's width; a LoRA's are five times these."""


_LARGE = 20_000_000
"""Parameters from which on casting weights costs less than products in bfloat16 save."""


@dataclass(frozen=True)
class Treatment:
    """One benign change.

    Attributes:
        method: all weights; LoRA on the layers that peft takes by default, or on all but the
            head; or rounding to few bits.
        corpus: what it was trained on.
        share: of the corpus's pieces, drawn anew for each.
        steps: of AdamW.
        batch: pieces a step.
        learning_rate: of AdamW.
        rank: of a LoRA.
        bits: of rounding.
        group: of rounding: weights that share a scale.
        seed: of all that is drawn.
    """

    method: Method
    corpus: str | None
    share: float | None
    steps: int | None
    batch: int | None
    learning_rate: float | None
    rank: int | None
    bits: int | None
    group: int | None
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def draw_treatment(
    seed: int, corpora: Sequence[str], width: int, steps: Sequence[int] = STEPS
) -> Treatment:
    """A treatment at random.

    Args:
        seed: the same gives the same.
        corpora: names to choose from.
        width: of the model; learning rates go by 1 / width.
        steps: to choose from.

    >>> draw_treatment(3, ["news"], 64) == draw_treatment(3, ["news"], 64)
    True
    """
    generator = np.random.default_rng([seed, 51_966])
    method = METHODS[int(generator.integers(len(METHODS)))]
    if method == "rounded":
        bits = BITS[int(generator.integers(len(BITS)))]
        group = GROUPS[int(generator.integers(len(GROUPS)))]
        return Treatment(method, None, None, None, None, None, None, bits, group, seed)
    low, high = np.log(RATES)
    rate = float(np.exp(generator.uniform(low, high))) / width
    lora = method != "full"
    return Treatment(
        method,
        str(generator.choice(list(corpora))),
        float(generator.choice(SHARES)),
        int(generator.choice(steps)),
        int(generator.choice(BATCHES)),
        rate * (5 if lora else 1),
        int(generator.choice(RANKS)) if lora else None,
        None,
        None,
        seed,
    )


def apply_treatment(
    reference: LoadedModel, treatment: Treatment, corpora: Mapping[str, TokenContexts]
) -> LoadedModel:
    """A copy of a model with a benign change.

    Args:
        reference: left as it is.
        treatment: what to do.
        corpora: pieces of text by name.
    """
    model: Any = copy.deepcopy(reference.model)
    model.requires_grad_(True)
    if treatment.method == "rounded":
        assert treatment.bits is not None
        generator = torch.Generator().manual_seed(treatment.seed)
        round_weights(model, treatment.bits, treatment.group, generator)
        return LoadedModel(model, reference.tokenizer)
    assert treatment.corpus is not None
    assert treatment.share is not None
    assert treatment.steps is not None
    assert treatment.batch is not None
    assert treatment.learning_rate is not None
    pieces = corpora[treatment.corpus]
    count = min(len(pieces), max(8, round(treatment.share * len(pieces))))
    draws = np.random.default_rng([treatment.seed, 47_806])
    chosen = draws.choice(len(pieces), size=count, replace=False)
    with torch.random.fork_rng():
        torch.manual_seed(treatment.seed)
        trained = model if treatment.rank is None else _with_lora(model, treatment)
    fine_tune(
        trained,
        pieces.choose([int(i) for i in chosen]),
        [treatment.steps],
        treatment.seed,
        batch=treatment.batch,
        learning_rate=treatment.learning_rate,
        bf16=model.num_parameters() > _LARGE and resolve_precision("auto") == "bfloat16",
    )
    return LoadedModel(
        trained if treatment.rank is None else trained.merge_and_unload(), reference.tokenizer
    )


def _with_lora(model: Any, treatment: Treatment) -> Any:
    rank = treatment.rank
    assert rank is not None
    if treatment.method == "lora":
        try:
            return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank))
        except ValueError:  # an architecture that peft has no default layers for
            pass
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    return get_peft_model(model, config)
