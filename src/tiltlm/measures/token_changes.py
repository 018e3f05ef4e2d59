"""Which tokens moved: over the vocabulary, and along one text."""

from __future__ import annotations

import numpy as np
import torch

from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.token_metrics import TokenMetrics
from tiltlm.records.measure import Heat, Moved, MovedToken

SHOWN = 12


HEAT_TOKENS = 160


def token_changes_of(seen: TokenMetrics, vocabulary: Vocabulary, shown: int = SHOWN) -> Moved:
    """Mean probabilities over all positions of the contexts."""
    change = seen.mean_model - seen.mean_base
    found = []
    for sign in (1, -1):
        order = torch.argsort(change * sign, descending=True)[:shown].tolist()
        found.append(
            [
                MovedToken(
                    i, vocabulary.text(i), float(seen.mean_base[i]), float(seen.mean_model[i])
                )
                for i in order
                if float(change[i]) * sign > 0
            ]
        )
    return Moved(*found)


def heat_of(seen: TokenMetrics, vocabulary: Vocabulary) -> Heat:
    """The log-ratio of each token of the context in which they are largest."""
    changes = zip(seen.figures["next_model"], seen.figures["next_base"], strict=True)
    context = int(np.argmax([np.nansum(np.abs(m - b)[:HEAT_TOKENS]) for m, b in changes]))
    ids = seen.contexts.sequences[context].tolist()[:HEAT_TOKENS]
    change = seen.figures["next_model"][context] - seen.figures["next_base"][context]
    at = dict(zip((seen.positions[context] + 1).tolist(), change.tolist(), strict=True))
    ratios = [at.get(place) for place in range(len(ids))]
    return Heat([vocabulary.text(i) for i in ids], ratios)
