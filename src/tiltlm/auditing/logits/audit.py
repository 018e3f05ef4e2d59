"""Audit."""

from __future__ import annotations

from collections.abc import Callable

from tiltlm.auditing.classes.clusters import cluster_tokens
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.inputs import UNCALIBRATED, AuditInputs
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.logits.calibration import calibrated_auditor
from tiltlm.auditing.logits.triggers import find_triggers
from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.head_geometry import HeadGeometry, head_rows
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, CONTEXT_TOKENS
from tiltlm.measures.pair import Pair
from tiltlm.progress import Progress
from tiltlm.records.audit import TriggerRecord


def _some_contexts(source: str | None, pair: Pair, seed: int, key: str) -> TokenContexts:
    """Where to look without a pack, which has contexts of its own."""
    length = AUDIT_TOKENS if source is None else CONTEXT_TOKENS
    source = source or f"own:{AUDIT_CONTEXTS}"
    return make_contexts(source, pair.base, length=length, seed=seed, key=key)


def _auditor(
    given: AuditInputs, pair: Pair, reader: ShiftReader, shift: Shift, progress: Progress
) -> Auditor:
    """With every class to try and, where there is a pack, what it knows."""
    space = HeadGeometry(head_rows(reader.head), shift.reference_mass.numpy())
    tried = build_classes(pair.vocabulary, given.lists, cluster_tokens(space.rows))
    if given.pack is None:
        return Auditor(space, tried, None)
    return calibrated_auditor(given.pack, reader, space, tried, progress)


def _triggers(
    read: Callable[[ShiftReader], Shift], pack: NullPack, pair: Pair, auditor: Auditor, fpr: float
) -> list[TriggerRecord]:
    """Classes that wait for a word; the null was scored by what the vocabulary alone has."""
    return find_triggers(
        lambda contexts: read(ShiftReader(pair.base, contexts)),
        pack.probes,
        ResidualFilter(auditor.geometry, build_classes(pair.vocabulary)),
        auditor,
        fpr,
        pair.base,
        pack.contexts,
        pair.vocabulary,
    )


def _notes(pack: NullPack | None, shift: Shift, where: TokenContexts) -> list[str]:
    notes = []
    if pack is None:
        notes.append(UNCALIBRATED)
    elif shift.kl > max(pack.kl):
        notes.append(
            f"The suspect is {shift.kl:.3g} nats from its reference, further than any of the "
            f"pack ({max(pack.kl):.3g}): its p-values are as if scores did not grow with that."
        )
    if len(where) < 16:
        notes.append(f"{len(where)} contexts are few: what a suspect does elsewhere is not seen.")
    return notes
