"""`tiltlm audit`, the Python function behind the command: read, compare with the null, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tiltlm.audit.auditor import Auditor
from tiltlm.audit.calibrated import calibrated
from tiltlm.audit.certificate import certificates
from tiltlm.audit.clusters import clusters
from tiltlm.audit.evidence import finding_of, shifted_tokens
from tiltlm.audit.filters import Outside, Space, rows_of
from tiltlm.audit.hypotheses import hypotheses
from tiltlm.audit.nulls import NullPack
from tiltlm.audit.shift import Shift, ShiftReader
from tiltlm.audit.tokens import moved_tokens
from tiltlm.audit.triggers import triggers_of
from tiltlm.audit_given import UNCALIBRATED, Given, keep_record, read_given
from tiltlm.audit_records import AuditRecord, MovedTokensRecord, TriggerRecord
from tiltlm.context_sources import make_contexts
from tiltlm.contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.measure_command import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.saving import fingerprint
from tiltlm.versions import versions
from tiltlm.watching import Silent, Watcher

CONTEXTS, LENGTH = 96, 64
CERTIFICATE_ERROR = 0.05


def run_audit(
    suspect: str,
    reference: str,
    out: Path | None = None,
    *,
    null: Path | None = None,
    fpr: float = 0.01,
    contexts: str | None = None,
    lists: Path | None = None,
    events: Sequence[str] = (),
    within: float = 0.1,
    seed: int = 0,
    watcher: Watcher | None = None,
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
        watcher: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin, watcher = time.monotonic(), watcher or Silent()
    given = read_given(fpr, out, lists, null)
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
        watcher.begin(f"reading {reader.contexts.kind}", len(reader.contexts))
        decodes = pair.target if pair.decodes else None
        return reader.read(None if pair.decodes else pair.model, decodes, watcher.advance)

    pack = given.pack
    where = _some_contexts(contexts, pair, seed, key) if pack is None else pack.contexts
    reader = ShiftReader(pair.base, where, None if pack is None else pack.strata)
    shift = read(reader)
    reading = time.monotonic() - begin - loading
    auditor = _auditor(given, pair, reader, shift, watcher)
    change = shift.change(auditor.space)
    if pack is None:
        named, triggers, best = auditor.ranked(change.mean), [], None
    else:
        named = auditor.named(change, fpr)
        triggers = _triggers(read, pack, pair, auditor, fpr)
        best = max([auditor.best(change).score, *(t.score for t in triggers)])
    moved = moved_tokens(
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
        certificates=certificates(pair, where, events, within, CERTIFICATE_ERROR) if events else [],
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


def _some_contexts(source: str | None, pair: Pair, seed: int, key: str) -> TokenContexts:
    """Where to look without a pack, which has contexts of its own."""
    length = LENGTH if source is None else 128
    source = source or f"own:{CONTEXTS}"
    return make_contexts(source, pair.base, length=length, seed=seed, key=key)


def _auditor(
    given: Given, pair: Pair, reader: ShiftReader, shift: Shift, watcher: Watcher
) -> Auditor:
    """With every class to try and, where there is a pack, what it knows."""
    space = Space(rows_of(reader.head), shift.reference_mass.numpy())
    tried = hypotheses(pair.vocabulary, given.lists, clusters(space.rows))
    if given.pack is None:
        return Auditor(space, tried, None)
    return calibrated(given.pack, reader, space, tried, watcher)


def _triggers(
    read: Callable[[ShiftReader], Shift], pack: NullPack, pair: Pair, auditor: Auditor, fpr: float
) -> list[TriggerRecord]:
    """Classes that wait for a word; the null was scored by what the vocabulary alone has."""
    return triggers_of(
        lambda contexts: read(ShiftReader(pair.base, contexts)),
        pack.probes,
        Outside(auditor.space, hypotheses(pair.vocabulary)),
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
