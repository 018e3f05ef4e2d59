"""What shows a finding best: its tokens, its contexts, and where it holds."""

from __future__ import annotations

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.naming import display_name
from tiltlm.auditing.logits.auditor import Auditor, Finding
from tiltlm.auditing.logits.null_distribution import COLUMN_SPACE
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit import FindingRecord, Histogram, MassRecord, ShiftedContext, ShiftedToken

TOKENS, CONTEXTS, TEXT_TOKENS = 10, 3, 48


BINS = 48


def finding_of(
    named: Finding,
    auditor: Auditor,
    shift: Shift,
    contexts: TokenContexts,
    reference: LoadedModel,
    vocabulary: Vocabulary,
) -> FindingRecord:
    """A named class with its evidence."""
    shifts = shift.by_context.double().numpy()
    if named.component == COLUMN_SPACE:
        by_context = auditor.column_space_filter.strengths_by_context(shifts, named.index)
    else:
        by_context = auditor.residual_filter.strengths(shifts)[:, named.index]
    ids = list(named.token_ids)
    clear = shift.mean.numpy()
    if named.component != COLUMN_SPACE:
        clear = auditor.residual_filter.residual(clear[None])[0]
    sign = 1 if named.strength > 0 else -1
    order = sorted(ids, key=lambda i: -sign * clear[i])[:TOKENS]
    places = np.argsort(-sign * by_context)[:CONTEXTS]
    half = len(by_context) // 2
    return FindingRecord(
        event=named.event,
        shown=display_name(named.event, order, vocabulary),
        tokens=len(ids),
        token_ids=ids,
        seen="inside" if named.component == COLUMN_SPACE else "outside",
        strength_nats=named.strength,
        interval=named.interval,
        halves=(float(by_context[:half].mean()), float(by_context[half:].mean())),
        mass=MassRecord(
            reference=float(shift.reference_mass[ids].sum()),
            suspect=float(shift.suspect_mass[ids].sum()),
        ),
        where=_where(by_context, named.strength),
        p=named.p,
        evidence=shifted_tokens(order, clear, shift, vocabulary),
        contexts=[
            ShiftedContext(
                text=str(reference.tokenizer.decode(contexts.sequences[i][:TEXT_TOKENS])),
                strength_nats=float(by_context[i]),
            )
            for i in places.tolist()
        ],
        histogram=_histogram(clear, ids),
    )


def _histogram(strengths: Array, ids: list[int]) -> Histogram:
    mask = np.zeros(len(strengths), bool)
    mask[ids] = True
    low, high = np.quantile(strengths[~mask], [0.001, 0.999])
    span = np.concatenate([[low, high], np.quantile(strengths[mask], [0.01, 0.99])])
    edges = np.linspace(span.min(), max(span.max(), span.min() + 1e-6), BINS + 1)
    shares = [
        np.histogram(np.clip(strengths[m], edges[0], edges[-1]), edges)[0] / m.sum()
        for m in (mask, ~mask)
    ]
    return Histogram(edges=edges.tolist(), inside=shares[0].tolist(), others=shares[1].tolist())


def shifted_tokens(
    ids: list[int], strengths: Array, shift: Shift, vocabulary: Vocabulary
) -> list[ShiftedToken]:
    """Tokens with what they were and are.

    Args:
        ids: which.
        strengths: (V,) nats.
        shift: for the masses.
        vocabulary: for the texts.
    """
    return [
        ShiftedToken(
            id=i,
            text=vocabulary.text(i),
            strength_nats=float(strengths[i]),
            reference=float(shift.reference_mass[i]),
            suspect=float(shift.suspect_mass[i]),
        )
        for i in ids
    ]


def _where(by_context: Array, strength: float) -> str:
    """In how many contexts at least half of the shift is there.

    >>> _where(np.array([1.0, 0.9, 1.1, 1.0]), 1.0)
    'everywhere'
    """
    share = float((by_context * np.sign(strength) >= abs(strength) / 2).mean())
    return "everywhere" if share >= 0.9 else f"in {share:.0%} of the contexts"
