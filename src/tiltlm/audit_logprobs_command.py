"""`tiltlm audit --access logprobs`, the Python function behind it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tiltlm.audit.auditor import MOST, NOISE, SMALLEST
from tiltlm.audit.clusters import clusters
from tiltlm.audit.endpoint import Endpoint
from tiltlm.audit.evidence import shown_name
from tiltlm.audit.filters import Array, rows_of
from tiltlm.audit.hypotheses import Hypotheses, hypotheses
from tiltlm.audit.moves import SMALLEST as SMALLEST_SCALE
from tiltlm.audit.moves import Moves
from tiltlm.audit.nulls import NullPack
from tiltlm.audit.observers import (
    EndpointObserver,
    ModelObserver,
    Observed,
    Observer,
    Place,
)
from tiltlm.audit.seeing import null_of, seen_in
from tiltlm.audit.top_auditor import TopAuditor, TopNamed
from tiltlm.audit.top_evidence import seen_contexts, seen_tokens
from tiltlm.audit.top_shift import Seen
from tiltlm.audit_command import CONTEXTS, LENGTH
from tiltlm.audit_given import UNCALIBRATED, keep_record, open_reference, read_given
from tiltlm.audit_records import LogprobsAuditRecord, LogprobsFindingRecord, ShiftedContext
from tiltlm.context_sources import make_contexts
from tiltlm.errors import ModelError
from tiltlm.measures.pair import Reader
from tiltlm.models import vocabulary_size
from tiltlm.saving import fingerprint
from tiltlm.versions import versions
from tiltlm.vocabulary import Vocabulary
from tiltlm.watching import Silent, Watcher

BUDGET = 1_024
FEWEST = 32
"""Places without which nothing is judged."""

_BLOCK = 64


def run_logprobs_audit(
    suspect: str,
    reference: str,
    out: Path | None = None,
    *,
    endpoint: str | None = None,
    null: Path | None = None,
    fpr: float = 0.01,
    budget: int = BUDGET,
    lists: Path | None = None,
    seed: int = 0,
    watcher: Watcher | None = None,
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
        watcher: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin, watcher = time.monotonic(), watcher or Silent()
    given = read_given(fpr, out, lists, null)
    given.check_rate(fpr)
    pack = given.pack
    base, pair = open_reference(suspect, reference, endpoint)
    key = fingerprint(base.model)
    vocabulary = Vocabulary.from_tokenizer(base.tokenizer, vocabulary_size(base.model))
    given.check_reference(key, vocabulary)
    observer: Observer
    if endpoint is not None:
        observer = EndpointObserver(Endpoint(endpoint, suspect), base.tokenizer, vocabulary)
    else:
        assert pair is not None
        observer = ModelObserver(pair)
    reader = Reader(base.model)
    rows = rows_of(reader.head)
    tried = hypotheses(vocabulary, given.lists, clusters(rows))
    where = (
        pack.contexts
        if pack
        else make_contexts(f"own:{CONTEXTS}", base, length=LENGTH, seed=seed, key=key)
    )
    places = observer.places(where, budget, seed)
    noise = observer.noise(places[0]) if places else None
    watcher.begin("reading the suspect's log-probabilities", len(places))
    observed, notes = _observe(observer, places, watcher)
    partial = bool(notes)
    if len(observed) < FEWEST:
        raise ModelError(
            f"log-probabilities came at {len(observed)} places, which is too few to judge by; it "
            f"takes {FEWEST}",
            where=suspect,
            fix="ask for more with --budget, or see what it answers",
        )
    seen, mass, inside = seen_in(reader, observed)
    moves = Moves.of(rows, pack.moves.double().numpy() if pack else None)
    if noise:
        moves = moves.noisier(noise / max(seen.scale, SMALLEST_SCALE))
    null_shown = None
    if pack is not None:
        asked = [one.place.row for one in observed]
        null_shown = null_of(pack, asked, observer.top, tried, moves, base, watcher)
    auditor = TopAuditor(seen, tried, moves, null_shown, noise=noise or 0.0)
    if not auditor.judged:
        raise ModelError(
            "what the suspect shows holds no class in eight contexts, so none could be judged",
            where=suspect,
            fix="ask for more with --budget",
        )
    named, best = named_by(auditor, fpr), auditor.best(seen)
    numbers = np.unique([one.place.context for one in observed])

    findings, rest = [], seen
    for one in named:
        shown_in = seen_contexts(auditor, rest, one, numbers, where, base)
        findings.append(_finding(one, rest, tried, mass, inside, vocabulary, shown_in))
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


def named_by(auditor: TopAuditor, rate: float) -> list[TopNamed]:
    """Classes one after another; without a null, those that stand out most.

    Args:
        auditor: of a suspect.
        rate: of false positives.
    """
    found: list[TopNamed] = []
    rest = auditor.seen
    for _ in range(MOST):
        best = auditor.best(rest)
        if best is None or abs(best.strength) < SMALLEST or (best.p is not None and best.p > rate):
            break
        if best.interval[0] <= 0 <= best.interval[1]:
            break
        if best.p is None and best.score < NOISE:
            break
        rest = auditor.without(rest, best)
        ours = set(auditor.hypotheses.token_ids(best.index))
        if not any(_alike(ours, set(auditor.hypotheses.token_ids(f.index))) for f in found):
            found.append(best)
    return found


def _alike(first: set[int], second: set[int]) -> bool:
    return len(first & second) >= 0.5 * min(len(first), len(second))


def _observe(
    observer: Observer, places: Sequence[Place], watcher: Watcher
) -> tuple[list[Observed], list[str]]:
    """What is shown, and why it is at fewer places than was asked for."""
    found: list[Observed] = []
    for begin in range(0, len(places), _BLOCK):
        try:
            some = observer.observe(places[begin : begin + _BLOCK])
        except KeyboardInterrupt:
            return found, ["This audit is partial: it was interrupted."]
        except ModelError as error:
            if not found:
                raise
            return found, [f"This audit is partial: {error.what}."]
        found += some
        watcher.advance(min(begin + _BLOCK, len(places)))
    return found, []


def _finding(
    named: TopNamed,
    seen: Seen,
    tried: Hypotheses,
    mass: Array,
    inside: Array,
    vocabulary: Vocabulary,
    contexts: list[ShiftedContext],
) -> LogprobsFindingRecord:
    ids = tried.token_ids(named.index)
    evidence = seen_tokens(seen, ids, vocabulary)
    return LogprobsFindingRecord(
        event=tried.names[named.index],
        shown=shown_name(tried.names[named.index], [t.id for t in evidence], vocabulary),
        tokens=len(ids),
        token_ids=ids,
        strength_nats=named.strength,
        interval=named.interval,
        mass_reference=float(mass[ids].sum()),
        seen_share=float(inside[ids].sum() / max(mass[ids].sum(), 1e-300)),
        p=named.p,
        evidence=evidence,
        contexts=contexts,
    )


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
