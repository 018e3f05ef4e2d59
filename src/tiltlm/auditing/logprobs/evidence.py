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
from tiltlm.records.audit import ShiftedContext
from tiltlm.records.audit_logprobs import SeenToken


def token_evidence(
    log_ratios: TopKLogRatios, token_ids: Sequence[int], vocabulary: Vocabulary
) -> list[SeenToken]:
    """The tokens of a class that show most of its shift, those shown often before others.

    A token's strength is its mean log-ratio less that of the other classes' tokens which were
    shown at the same positions.

    Args:
        log_ratios: that the suspect shows.
        token_ids: of the class.
        vocabulary: for texts.

    Returns:
        at most `TOKENS` tokens.
    """
    in_class = np.isin(log_ratios.tokens, token_ids)
    others = (log_ratios.tokens >= 0) & ~in_class
    other_counts = others.sum(1)
    level = np.where(others, log_ratios.ratios, 0).sum(1) / np.maximum(other_counts, 1)
    comparable = in_class & (other_counts > 0)[:, None]
    tokens = log_ratios.tokens[comparable]
    above_level = (log_ratios.ratios - level[:, None])[comparable]
    counts = np.bincount(tokens, minlength=len(vocabulary))
    sums = np.bincount(tokens, above_level, minlength=len(vocabulary))
    clearest = [int(i) for i in np.argsort(-np.abs(sums))[:TOKENS] if counts[i]]
    return [
        SeenToken(
            id=i,
            text=vocabulary.text(i),
            strength_nats=float(sums[i] / counts[i]),
            places=int(counts[i]),
        )
        for i in clearest
    ]


def context_evidence(
    auditor: TopKAuditor,
    log_ratios: TopKLogRatios,
    finding: TopKFinding,
    context_numbers: Array,
    contexts: TokenContexts,
    reference: LoadedModel,
) -> list[ShiftedContext]:
    """The contexts that speak most for a class.

    Args:
        auditor: of the suspect.
        log_ratios: of the suspect, or what is left of them.
        finding: the class.
        context_numbers: (A,) of the auditor's contexts, among all.
        contexts: all.
        reference: for its tokenizer.

    Returns:
        at most `CONTEXTS` contexts, the clearest first.
    """
    strengths, information = auditor.strengths_by_context(log_ratios, finding.index)
    sign = 1 if finding.strength > 0 else -1
    order = np.argsort(-sign * strengths * information)[:CONTEXTS].tolist()
    sequences = [contexts.sequences[int(context_numbers[i])][:TEXT_TOKENS] for i in order]
    return [
        ShiftedContext(text=str(reference.tokenizer.decode(ids)), strength_nats=float(strengths[i]))
        for i, ids in zip(order, sequences, strict=True)
    ]
