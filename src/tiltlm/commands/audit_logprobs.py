"""`tiltlm audit --access logprobs`, the Python function behind it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tiltlm.auditing.classes.clusters import cluster_tokens
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.auditing.inputs import UNCALIBRATED, open_reference, read_inputs
from tiltlm.auditing.logprobs.auditor import TopKAuditor
from tiltlm.auditing.logprobs.evidence import context_evidence
from tiltlm.auditing.logprobs.findings import ask_suspect, find_classes, finding_record
from tiltlm.auditing.logprobs.log_ratios import log_ratios_at, null_at
from tiltlm.auditing.logprobs.suspects import (
    EndpointSuspect,
    LocalSuspect,
    LogProbSuspect,
)
from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.filters import head_rows
from tiltlm.auditing.shifts.place_covariance import SMALLEST_SCALE as SMALLEST_SCALE
from tiltlm.auditing.shifts.place_covariance import PlaceCovariance
from tiltlm.commands.output import keep_record
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.sources import make_contexts
from tiltlm.defaults import (
    AUDIT_CONTEXTS,
    AUDIT_TOKENS,
    FALSE_POSITIVE_RATE,
    LOGPROBS_BUDGET,
    LOGPROBS_FEWEST,
)
from tiltlm.errors import ModelError
from tiltlm.models.fingerprints import fingerprint
from tiltlm.progress import NoProgress, Progress
from tiltlm.records.audit import LogprobsAuditRecord
from tiltlm.versions import versions


def run_logprobs_audit(
    suspect: str,
    reference: str,
    out: Path | None = None,
    *,
    endpoint: str | None = None,
    null: Path | None = None,
    fpr: float = FALSE_POSITIVE_RATE,
    budget: int = LOGPROBS_BUDGET,
    lists: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> LogprobsAuditRecord:
    """Tell whether a model was tilted from the log-probabilities of its likeliest tokens.

    Args:
        suspect: a model, or, with ``endpoint``, its name there.
        reference: what it should be like; all of it is known.
        out: a new folder for ``result.json`` and ``audit.html``; None to write nothing.
        endpoint: of an OpenAI-compatible server; without one the suspect is loaded here and 20
            log-probabilities a place are looked at.
        null: a pack of benign changes of the reference; without one nothing is called found.
        fpr: the chance with which a benign change is accused.
        budget: places to look at; of an endpoint, requests.
        lists: as for `run_audit`.
        seed: of contexts, where there is no pack, and of which places are looked at.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin, progress = time.monotonic(), progress or NoProgress()
    given = read_inputs(fpr, out, lists, null)
    given.check_rate(fpr)
    pack = given.pack
    base, pair = open_reference(suspect, reference, endpoint)
    key = fingerprint(base.model)
    vocabulary = base.vocabulary
    given.check_reference(key, vocabulary)
    observer: LogProbSuspect
    if endpoint is not None:
        observer = EndpointSuspect(Endpoint(endpoint, suspect), base.tokenizer, vocabulary)
    else:
        assert pair is not None
        observer = LocalSuspect(pair)
    reader = LogitReader(base.model)
    rows = head_rows(reader.head)
    tried = build_classes(vocabulary, given.lists, cluster_tokens(rows))
    where = (
        pack.contexts
        if pack
        else make_contexts(f"own:{AUDIT_CONTEXTS}", base, length=AUDIT_TOKENS, seed=seed, key=key)
    )
    places = observer.places(where, budget, seed)
    noise = observer.noise(places[0]) if places else None
    progress.begin("reading the suspect's log-probabilities", len(places))
    observed, notes = ask_suspect(observer, places, progress)
    partial = bool(notes)
    if len(observed) < LOGPROBS_FEWEST:
        raise ModelError(
            f"log-probabilities came at {len(observed)} places, which is too few to judge by; it "
            f"takes {LOGPROBS_FEWEST}",
            where=suspect,
            fix="ask for more with --budget, or see what it answers",
        )
    seen, mass, inside = log_ratios_at(reader, observed)
    moves = PlaceCovariance.of(rows, pack.moves.double().numpy() if pack else None)
    if noise:
        moves = moves.noisier(noise / max(seen.scale, SMALLEST_SCALE))
    null_shown = None
    if pack is not None:
        asked = [one.place.row for one in observed]
        null_shown = null_at(pack, asked, observer.top, tried, moves, base, progress)
    auditor = TopKAuditor(seen, tried, moves, null_shown, noise=noise or 0.0)
    if not auditor.judged:
        raise ModelError(
            "what the suspect shows holds no class in eight contexts, so none could be judged",
            where=suspect,
            fix="ask for more with --budget",
        )
    named, best = find_classes(auditor, fpr), auditor.best(seen)
    numbers = np.unique([one.place.context for one in observed])

    findings, rest = [], seen
    for one in named:
        shown_in = context_evidence(auditor, rest, one, numbers, where, base)
        findings.append(finding_record(one, rest, tried, mass, inside, vocabulary, shown_in))
        rest = auditor.without(rest, one)
    notes += [*_notes(pack, noise), *observer.notes]
    verdict = "uncalibrated" if pack is None else "found" if named else "none"
    record = LogprobsAuditRecord(
        verdict=verdict,  # type: ignore[arg-type]
        partial=partial,
        suspect=suspect,
        reference={"name": reference, "sha256": key},
        fpr=fpr,
        null=given.null_record,
        score=None if pack is None or best is None else best.score,
        null_scores=auditor.null_maxima.tolist(),
        findings=findings,
        classes=auditor.judged,
        top=observer.top,
        noise_nats=noise,
        places=len(observed),
        contexts=int(seen.contexts.max()) + 1,
        budget=budget,
        seen_mass=float(inside.sum() / mass.sum()),
        notes=notes,
        versions=versions(),
        seconds={"total": time.monotonic() - begin},
    )
    if out is not None:
        from tiltlm.report.audit_page import render_logprobs_audit

        keep_record(out, record, {"audit.html": render_logprobs_audit(record)})
    return record


def _notes(pack: NullPack | None, noise: float | None) -> list[str]:
    notes = []
    if pack is None:
        notes.append(UNCALIBRATED)
    if noise is None:
        notes.append("Whether the server answers alike when asked again could not be seen.")
    elif noise > 0:
        notes.append(
            f"Asked the same again, the server's log-probabilities differ by {noise:.2g} nats "
            "(standard deviation); intervals and p-values have it in them."
        )
    return notes
