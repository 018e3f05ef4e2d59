"""Which tokens a model made likelier or less likely: over the vocabulary, and along one text."""

from __future__ import annotations

import numpy as np
import torch

from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.token_metrics import TokenMetrics
from tiltlm.records.measure import Heat, Moved, MovedToken

SHOWN = 12
"""Tokens to show in each direction."""

HEAT_TOKENS = 160
"""Tokens of the text that is shown token by token."""


def token_changes_of(metrics: TokenMetrics, vocabulary: Vocabulary, shown: int = SHOWN) -> Moved:
    """The tokens whose mean probability over all positions changed most.

    Args:
        metrics: of some contexts.
        vocabulary: of both models.
        shown: tokens in each direction at most.
    """
    change = metrics.mean_model - metrics.mean_base
    by_direction = []
    for sign in (1, -1):
        order = torch.argsort(change * sign, descending=True)[:shown].tolist()
        by_direction.append(
            [
                MovedToken(
                    i,
                    vocabulary.text(i),
                    float(metrics.mean_base[i]),
                    float(metrics.mean_model[i]),
                )
                for i in order
                if float(change[i]) * sign > 0
            ]
        )
    return Moved(*by_direction)


def heat_of(metrics: TokenMetrics, vocabulary: Vocabulary) -> Heat:
    """The log-ratio of each token of one context: the one in which log-ratios are largest.

    A token has none where it was not predicted, as the first, or where the model rules it out.
    """
    log_ratios = [
        model - base
        for model, base in zip(
            metrics.figures["next_model"], metrics.figures["next_base"], strict=True
        )
    ]
    sizes = [np.nansum(np.abs(ratios)[:HEAT_TOKENS]) for ratios in log_ratios]
    context = int(np.argmax(sizes))
    ids = metrics.contexts.sequences[context].tolist()[:HEAT_TOKENS]
    predicted = (metrics.positions[context] + 1).tolist()
    by_place = dict(zip(predicted, log_ratios[context].tolist(), strict=True))
    shown = [by_place.get(place) for place in range(len(ids))]
    return Heat(
        [vocabulary.text(i) for i in ids],
        [None if ratio is None or not np.isfinite(ratio) else ratio for ratio in shown],
    )
