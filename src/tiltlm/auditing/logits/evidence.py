"""What shows a finding best: its tokens, its contexts, and where it holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.benign.null_distribution import COLUMN_SPACE
from tiltlm.auditing.classes.naming import display_name
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logits.changed_classes import changed_classes
from tiltlm.auditing.logits.finding import Finding
from tiltlm.auditing.shifts.filters import ColumnSpaceFilter, ResidualFilter
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit import (
    ChangedClassRecord,
    FindingRecord,
    Histogram,
    MassRecord,
    ShiftedContext,
    ShiftedToken,
)

TOKENS, CONTEXTS, TEXT_TOKENS = 10, 3, 48
"""Tokens and contexts that a record shows of a finding, and tokens of each context's text."""


BINS = 48
"""Of a histogram of the tokens' shifts."""


_EVERYWHERE = 0.9
"""Share of contexts with at least half of the shift, from which on it is called everywhere."""


def finding_record(
    finding: Finding,
    outside: ResidualFilter,
    inside: ColumnSpaceFilter | None,
    shift: Shift,
    contexts: TokenContexts,
    reference: LoadedModel,
    fpr: float,
) -> FindingRecord:
    """What a record says of a class that was found, with the evidence for it.

    Args:
        finding: the class.
        outside: the filter outside the column space.
        inside: that inside it; None where there was no pack.
        shift: of the suspect, at C contexts.
        contexts: these.
        reference: for its tokenizer and vocabulary.
        fpr: false-positive rate, up to which a class is called planted.
    """
    by_context, token_shifts = _strengths(finding, outside, inside, shift)
    ids = list(finding.token_ids)
    sign = 1 if finding.strength > 0 else -1
    clearest_ids = sorted(ids, key=lambda i: -sign * token_shifts[i])[:TOKENS]
    clearest_contexts = np.argsort(-sign * by_context)[:CONTEXTS]
    half = len(by_context) // 2
    return FindingRecord(
        event=finding.event,
        shown=display_name(finding.event, clearest_ids, reference.vocabulary),
        tokens=len(ids),
        token_ids=ids,
        seen="inside" if finding.component == COLUMN_SPACE else "outside",
        strength_nats=finding.strength,
        interval=finding.interval,
        halves=(float(by_context[:half].mean()), float(by_context[half:].mean())),
        mass=MassRecord(
            reference=float(shift.reference_mass[ids].sum()),
            suspect=float(shift.suspect_mass[ids].sum()),
        ),
        where=_where(by_context, finding.strength),
        p_shifted=finding.p_shifted,
        p_planted=finding.p_planted,
        planted=None if finding.p_planted is None else finding.is_planted(fpr),
        token_spread=None if finding.likeness is None else finding.likeness.token_spread,
        stratum_spread=None if finding.likeness is None else finding.likeness.stratum_spread,
        evidence=shifted_tokens(clearest_ids, token_shifts, shift, reference.vocabulary),
        contexts=[
            ShiftedContext(
                text=str(reference.tokenizer.decode(contexts.sequences[i][:TEXT_TOKENS])),
                strength_nats=float(by_context[i]),
            )
            for i in clearest_contexts.tolist()
        ],
        histogram=_histogram(token_shifts, ids),
    )


def _strengths(
    finding: Finding, outside: ResidualFilter, inside: ColumnSpaceFilter | None, shift: Shift
) -> tuple[Array, Array]:
    """(C,) strengths of a class in each context, and (V,) shifts of all tokens, nats.

    Both as the filter sees them that found the class: what no body explains, or the whole shift.
    """
    by_context, mean = shift.by_context.double().numpy(), shift.mean.numpy()
    if finding.component == COLUMN_SPACE and inside is not None:
        template = inside.template(finding.index)
        return inside.strengths_by_context(by_context, template), mean
    strengths = outside.strengths(by_context)[:, finding.index]
    return strengths, outside.residual(mean[None])[0]


def _histogram(token_shifts: Array, ids: list[int]) -> Histogram:
    """How the tokens of a class were shifted and how all others, without the farthest few."""
    in_class = np.zeros(len(token_shifts), bool)
    in_class[ids] = True
    low, high = np.quantile(token_shifts[~in_class], [0.001, 0.999])
    ends = np.concatenate([[low, high], np.quantile(token_shifts[in_class], [0.01, 0.99])])
    edges = np.linspace(ends.min(), max(ends.max(), ends.min() + 1e-6), BINS + 1)
    shares = [
        np.histogram(np.clip(token_shifts[mask], edges[0], edges[-1]), edges)[0] / mask.sum()
        for mask in (in_class, ~in_class)
    ]
    return Histogram(edges=edges.tolist(), inside=shares[0].tolist(), others=shares[1].tolist())


def shifted_tokens(
    ids: Sequence[int], strengths: Array, shift: Shift, vocabulary: Vocabulary
) -> list[ShiftedToken]:
    """What a record says of single tokens: by how much they were shifted, and their masses.

    Args:
        ids: of the tokens.
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


def changed_records(
    hypotheses: TokenClasses, shift: Shift, vocabulary: Vocabulary, rate: float
) -> list[ChangedClassRecord]:
    """What a record says of the classes whose probability changed most.

    Args:
        hypotheses: that were tried.
        shift: of the suspect.
        vocabulary: of the reference.
        rate: up to which an adjusted p-value is clear.
    """
    records = []
    for found in changed_classes(hypotheses, shift, rate):
        name, ids = hypotheses.names[found.index], hypotheses.token_ids(found.index)
        likeliest = sorted(ids, key=lambda i: -float(shift.suspect_mass[i]))[:TOKENS]
        records.append(
            ChangedClassRecord(
                event=name,
                shown=display_name(name, likeliest, vocabulary),
                mass=MassRecord(reference=found.reference, suspect=found.suspect),
                factor=found.suspect / found.reference,
                interval=found.interval,
                p=found.p,
            )
        )
    return records


def _where(by_context: Array, strength: float) -> str:
    """In how many contexts at least half of the shift is there.

    >>> _where(np.array([1.0, 0.9, 1.1, 1.0]), 1.0)
    'everywhere'
    """
    share = float((by_context * np.sign(strength) >= abs(strength) / 2).mean())
    return "everywhere" if share >= _EVERYWHERE else f"in {share:.0%} of the contexts"
