"""`tiltlm audit`, the Python function behind the command: read, compare with the null, record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tiltlm.auditing.inputs import read_inputs
from tiltlm.auditing.logits.audit import (
    _auditor,
    _notes,
    _some_contexts,
    _triggers,
)
from tiltlm.auditing.logits.equivalence import certify_events
from tiltlm.auditing.logits.evidence import finding_of, shifted_tokens
from tiltlm.auditing.logits.single_tokens import largest_token_shifts
from tiltlm.auditing.shifts.log_ratios import Shift, ShiftReader
from tiltlm.commands.output import keep_record
from tiltlm.defaults import CERTIFICATE_ERROR, CERTIFIED_WITHIN_NATS, FALSE_POSITIVE_RATE
from tiltlm.errors import ConfigError
from tiltlm.measures.opening import open_pair
from tiltlm.models.fingerprints import fingerprint
from tiltlm.progress import NoProgress, Progress
from tiltlm.records.audit import AuditRecord, MovedTokensRecord
from tiltlm.versions import versions


def run_audit(
    suspect: str,
    reference: str,
    out: Path | None = None,
    *,
    null: Path | None = None,
    fpr: float = FALSE_POSITIVE_RATE,
    contexts: str | None = None,
    lists: Path | None = None,
    events: Sequence[str] = (),
    within: float = CERTIFIED_WITHIN_NATS,
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditRecord:
    """Tell whether a model was tilted, and towards what.

    Args:
        suspect: a name for `load`, or a folder that ``tiltlm tilt`` wrote.
        reference: what it should be like.
        out: a new folder for ``result.json`` and ``audit.html``; None to write nothing.
        null: a pack of benign changes of the reference; without one nothing is called found.
        fpr: the chance with which a benign change is accused.
        contexts: without a pack, where to look, as for `make_contexts`; a pack has its own.
        lists: a JSON file of word lists, ``{"name": ["word", …]}``, to try as well.
        events: to certify: that no tilt of them is stronger than ``within``.
        within: nats.
        seed: of contexts.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin, progress = time.monotonic(), progress or NoProgress()
    given = read_inputs(fpr, out, lists, null)
    given.check_rate(fpr)
    if null is not None and contexts is not None:
        raise ConfigError(
            "a null pack was read at contexts of its own, and only there are suspects "
            "comparable with it",
            where="--contexts",
            fix="leave it out, or --null",
        )
    pair, _, _ = open_pair(suspect, reference)
    key = fingerprint(pair.base.model)
    given.check_reference(key, pair.vocabulary)
    loading = time.monotonic() - begin

    def read(reader: ShiftReader) -> Shift:
        progress.begin(f"reading {reader.contexts.kind}", len(reader.contexts))
        decodes = pair.target if pair.decodes else None
        return reader.read(None if pair.decodes else pair.model, decodes, progress.advance)

    pack = given.pack
    where = _some_contexts(contexts, pair, seed, key) if pack is None else pack.contexts
    reader = ShiftReader(pair.base, where, None if pack is None else pack.strata)
    shift = read(reader)
    reading = time.monotonic() - begin - loading
    auditor = _auditor(given, pair, reader, shift, progress)
    change = shift.change(auditor.space)
    if pack is None:
        named, triggers, best = auditor.ranked(change.mean), [], None
    else:
        named = auditor.named(change, fpr)
        triggers = _triggers(read, pack, pair, auditor, fpr)
        best = max([auditor.best(change).score, *(t.score for t in triggers)])
    moved = largest_token_shifts(
        auditor.outside, change.mean, None if pack is None else pack.shifts.double().numpy()
    )
    clear = auditor.outside.residual(change.mean[None])[0]
    record = AuditRecord(
        verdict="uncalibrated" if pack is None else "found" if named or triggers else "none",
        suspect=suspect,
        reference={"name": reference, "sha256": key},
        fpr=fpr,
        null=given.null_record,
        kl_nats=shift.kl,
        score=best,
        null_scores=auditor.null_maxima.tolist(),
        findings=[finding_of(n, auditor, shift, where, pair.base, pair.vocabulary) for n in named],
        moved=MovedTokensRecord(
            p=moved.p, tokens=shifted_tokens(moved.ids, clear, shift, pair.vocabulary)
        ),
        triggers=triggers,
        certificates=certify_events(pair, where, events, within, CERTIFICATE_ERROR)
        if events
        else [],
        words=0 if pack is None else len(pack.probes.words),
        hypotheses=len(auditor.outside.hypotheses),
        contexts=where.kind,
        positions=where.tokens,
        notes=_notes(pack, shift, where),
        versions=versions(),
        seconds={
            "loading": loading,
            "reading": reading,
            "looking": time.monotonic() - begin - loading - reading,
            "total": time.monotonic() - begin,
        },
    )
    if out is not None:
        from tiltlm.report.audit_page import render_audit

        keep_record(out, record, {"audit.html": render_audit(record)})
    return record
