"""How much of a tilt survives: int8 weights, merging half-way with the base, further training.

What is done to the model is done to its base too, and the two are compared, so what the treatment
itself does to the event is not counted. Only a merge is compared with the untouched base.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from tiltlm.contexts.logit_reader import KeepingReader
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.measures.effects import effect_of
from tiltlm.measures.pair import Pair
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.models.adapted import has_adapters, plain_copy
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Advance
from tiltlm.records.measure import Survival
from tiltlm.treatments.at_use import merged_at_use, rounded_at_use
from tiltlm.treatments.fine_tuning import fine_tune

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the model in the merges that are measured."""


def after_int8(pair: Pair, contexts: TokenContexts) -> Survival:
    """The tilt after the weights of linear layers are rounded to int8, one scale an output.

    Args:
        pair: base and model; both are left as they are.
        contexts: where the tilt is measured.
    """
    base, model = (
        LoadedModel(rounded_at_use(loaded.model), loaded.tokenizer)
        for loaded in (pair.base, pair.model)
    )
    return _survival("int8", None, Pair(base, model, pair.target), contexts)


def why_not_mergeable(pair: Pair) -> str | None:
    """Why base and model have no weighted mean, in words; None where they have one.

    An adapter is its own difference from the base, so it always has one.

    Weights of the model that the base has not, such as those of a head that was untied, stay as
    they are in a merge.
    """
    if has_adapters(pair.model.model):
        return None
    base = pair.base.model.state_dict()
    for name, weight in pair.model.model.named_parameters():
        if name in base and base[name].shape != weight.shape:
            shapes = f"{tuple(base[name].shape)} and {tuple(weight.shape)}"
            return f"{name} has other shapes in base and model: {shapes}"
        if name in base and base[name].dtype != weight.dtype:
            return f"{name} is {base[name].dtype} in the base and {weight.dtype} in the model"
    return None


def after_merging(
    pair: Pair, contexts: TokenContexts, shares: Sequence[float] = SHARES
) -> Iterator[Survival]:
    """The tilt of weights share·model + (1 − share)·base, for several shares.

    Args:
        pair: base and model, of which `why_not_mergeable` says None; both are left as they are.
        contexts: where the tilt is measured.
        shares: of the model.
    """
    reader = KeepingReader(pair.base.model.eval())

    def measured(share: float, merged: LoadedModel) -> Survival:
        compared = Pair(pair.base, merged, pair.target, base_reader=reader)
        return _survival("merged", share, compared, contexts)

    if has_adapters(pair.model.model):
        for share in shares:
            adapted = LoadedModel(merged_at_use(pair.model.model, share), pair.model.tokenizer)
            yield measured(share, adapted)
        return
    base_weights = dict(pair.base.model.state_dict())
    model_weights = dict(pair.model.model.named_parameters())
    merged = _copied(pair.model)
    for share in shares:
        with torch.no_grad():
            for name, parameter in merged.model.named_parameters():
                if name in base_weights:
                    before = base_weights[name].to(parameter.device, torch.float32)
                    parameter.copy_(torch.lerp(before, model_weights[name].float(), share))
        yield measured(share, merged)


def after_fine_tuning(
    pair: Pair,
    contexts: TokenContexts,
    clean: TokenContexts,
    milestones: Sequence[int],
    seed: int = 0,
    advance: Advance | None = None,
) -> list[Survival]:
    """The tilt after ordinary fine-tuning of all weights on clean text.

    AdamW at 2e-5, four contexts a step, the language-model loss of transformers; base and model
    see the same contexts in the same order.

    Args:
        pair: base and model; both are left as they are.
        contexts: where the tilt is measured.
        clean: text to train on.
        milestones: steps after which it is measured.
        seed: of the order of the text.
        advance: told how many steps are done; there are twice as many as the last milestone, the
            base's first.
    """
    base, model = _copied(pair.base), _copied(pair.model)
    for loaded in (base, model):
        loaded.model.requires_grad_(True)  # an adapter's base comes frozen
    base_at: dict[int, LoadedModel] = {}

    def keep_base(step: int) -> None:
        base_at[step] = _copied(base)
        if advance:
            advance(step)

    survivals: list[Survival] = []

    def measure(step: int) -> None:
        compared = Pair(base_at.pop(step), model, pair.target)
        survivals.append(_survival("fine-tuned", step, compared, contexts))
        if advance:
            advance(max(milestones) + step)

    # The base goes first, and its weights at each milestone are kept to compare the model with.
    fine_tune(base.model, clean, milestones, seed, keep_base)
    fine_tune(model.model, clean, milestones, seed, measure)
    return survivals


def _copied(loaded: LoadedModel) -> LoadedModel:
    return LoadedModel(plain_copy(loaded.model), loaded.tokenizer)


def _survival(
    treatment: str, amount: float | None, pair: Pair, contexts: TokenContexts
) -> Survival:
    effect = effect_of(read_token_metrics(pair, contexts))
    return Survival(treatment, amount, effect.strength, effect.mass_base, effect.mass_model)
