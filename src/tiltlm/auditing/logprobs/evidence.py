"""What shows a finding best where only the likeliest tokens are seen: its tokens, its contexts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.logits.evidence import CONTEXTS, TEXT_TOKENS, TOKENS
from tiltlm.auditing.logprobs.auditor import TopKAuditor, TopKFinding
from tiltlm.auditing.logprobs.regression import TopKLogRatios
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit import SeenToken, ShiftedContext


def token_evidence(
    seen: TopKLogRatios, ids: Sequence[int], vocabulary: Vocabulary
) -> list[SeenToken]:
    """The tokens of a class that show most of its shift, those shown often before others.

    Args:
        seen: what the suspect shows.
        ids: of the class.
        vocabulary: for texts.
    """
    inside = np.isin(seen.tokens, ids)
    others = (seen.tokens >= 0) & ~inside
    count = others.sum(1)
    level = np.where(others, seen.ratios, 0).sum(1) / np.maximum(count, 1)
    known = inside & (count > 0)[:, None]
    tokens, above = seen.tokens[known], (seen.ratios - level[:, None])[known]
    size = len(vocabulary)
    places = np.bincount(tokens, minlength=size)
    sums = np.bincount(tokens, above, minlength=size)
    most = [int(i) for i in np.argsort(-np.abs(sums))[:TOKENS] if places[i]]
    return [
        SeenToken(
            id=i,
            text=vocabulary.text(i),
            strength_nats=float(sums[i] / places[i]),
            places=int(places[i]),
        )
        for i in most
    ]


def context_evidence(
    auditor: TopKAuditor,
    seen: TopKLogRatios,
    named: TopKFinding,
    numbers: Array,
    contexts: TokenContexts,
    reference: LoadedModel,
) -> list[ShiftedContext]:
    """The contexts that speak most for a class.

    Args:
        auditor: of the suspect.
        seen: of the suspect, or what is left of it.
        named: the class.
        numbers: (A,) of the auditor's contexts, among all.
        contexts: all.
        reference: for its tokenizer.
    """
    strengths, information = auditor.strengths_by_context(seen, named.index)
    sign = 1 if named.strength > 0 else -1
    order = np.argsort(-sign * strengths * information)[:CONTEXTS].tolist()
    texts = [contexts.sequences[int(numbers[i])][:TEXT_TOKENS] for i in order]
    return [
        ShiftedContext(
            text=str(reference.tokenizer.decode(text)), strength_nats=float(strengths[i])
        )
        for i, text in zip(order, texts, strict=True)
    ]
