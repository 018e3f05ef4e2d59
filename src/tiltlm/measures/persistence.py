"""How much of a tilt survives: int8 weights, merging half-way with the base, further training.

What is done to the model is done to its base too, and the two are compared, so what the treatment
itself does to the event is not counted. Only merging has the untouched base to compare with.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.measures.effects import effect_of
from tiltlm.measures.pair import Pair
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Advance
from tiltlm.records.measure import Survival
from tiltlm.treatments.fine_tuning import fine_tune
from tiltlm.treatments.quantisation import round_weights

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def after_int8(pair: Pair, contexts: TokenContexts) -> Survival:
    """Weights of linear layers rounded to int8, one scale for each output (absmax)."""
    base, model = (_copy(loaded) for loaded in (pair.base, pair.model))
    for loaded in (base, model):
        round_weights(loaded.model)
    return _survival("int8", None, Pair(base, model, pair.target), contexts)


def after_merging(
    pair: Pair, contexts: TokenContexts, shares: Sequence[float] = SHARES
) -> Iterator[Survival]:
    """Weights share·model + (1 − share)·base, for several shares."""
    ours = dict(pair.base.model.state_dict())
    merged = _copy(pair.model)
    wholes = dict(pair.model.model.named_parameters())
    for share in shares:
        with torch.no_grad():
            for name, parameter in merged.model.named_parameters():
                if name in ours:
                    parameter.copy_(torch.lerp(ours[name], wholes[name], share))
        yield _survival("merged", share, Pair(pair.base, merged, pair.target), contexts)


def after_fine_tuning(
    pair: Pair,
    contexts: TokenContexts,
    clean: TokenContexts,
    milestones: Sequence[int],
    seed: int = 0,
    advance: Advance | None = None,
) -> list[Survival]:
    """Ordinary fine-tuning of all weights on clean text, measured after so many steps.

    AdamW at 2e-5, four contexts a step, the language-model loss of transformers; base and model
    see the same contexts in the same order.
    """
    # The base first, whose weights at each milestone are kept for the model to be compared with.
    kept: dict[int, LoadedModel] = {}
    base, model = _copy(pair.base), _copy(pair.model)
    for loaded in (base, model):
        loaded.model.requires_grad_(True)  # an adapter's base comes frozen
    fine_tune(base.model, clean, milestones, seed, lambda step: kept.__setitem__(step, _copy(base)))
    found: list[Survival] = []

    def measure(step: int) -> None:
        there = Pair(kept.pop(step), model, pair.target)
        found.append(_survival("fine-tuned", step, there, contexts))
        if advance:
            advance(step)

    fine_tune(model.model, clean, milestones, seed, measure)
    return found


def _copy(loaded: LoadedModel) -> LoadedModel:
    return LoadedModel(copy.deepcopy(loaded.model), loaded.tokenizer)


def _survival(
    treatment: str, amount: float | None, pair: Pair, contexts: TokenContexts
) -> Survival:
    effect = effect_of(read_token_metrics(pair, contexts))
    return Survival(treatment, amount, effect.strength, effect.mass_base, effect.mass_model)
