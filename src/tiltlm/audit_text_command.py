"""`tiltlm audit --access text`, the Python function behind it: read until it is clear."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from tiltlm.audit.endpoint import Endpoint
from tiltlm.audit.filters import Array
from tiltlm.audit.hypotheses import Hypotheses, hypotheses
from tiltlm.audit.nulls import NullPack, families
from tiltlm.audit.plan import plan_text
from tiltlm.audit.reading_text import hits_and_probabilities
from tiltlm.audit.sequential import TiltEvidence, confidence_sequence
from tiltlm.audit.shift import ShiftReader
from tiltlm.audit.writers import Answer, EndpointWriter, ModelWriter, Writer
from tiltlm.audit_given import keep_record, open_reference, read_given
from tiltlm.audit_records import TextAuditRecord, TextFindingRecord
from tiltlm.errors import ModelError
from tiltlm.events import parse_event
from tiltlm.measures.pair import Pair, Reader
from tiltlm.models import vocabulary_size
from tiltlm.saving import fingerprint
from tiltlm.versions import versions
from tiltlm.vocabulary import Vocabulary
from tiltlm.watching import Silent, Watcher

BUDGET, LENGTH, ANSWERS = 20_000, 64, 16
MOST = 8
_HARDLY = 3.0
"""Nats of evidence, a factor of 20, that do not decide between two classes."""


def run_text_audit(
    suspect: str,
    reference: str,
    out: Path | None = None,
    *,
    endpoint: str | None = None,
    events: Sequence[str] = (),
    null: Path | None = None,
    fpr: float = 0.01,
    budget: int = BUDGET,
    lists: Path | None = None,
    seed: int = 0,
    watcher: Watcher | None = None,
) -> TextAuditRecord:
    """Tell from text alone whether a suspect writes a class of tokens more or less often.

    Args:
        suspect: a model, or, with ``endpoint``, its name there.
        reference: what it should be like; its probabilities are known.
        out: a new folder for ``result.json`` and ``audit.html``; None to write nothing.
        endpoint: of an OpenAI-compatible server.
        events: to test; by default all classes that the vocabulary has, which takes more text.
        null: a pack; what its members do of themselves is then not accused.
        fpr: α of the whole audit, at whatever moment it stops.
        budget: tokens to read at most.
        lists: as for `run_audit`.
        seed: of draws.
        watcher: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin, watcher = time.monotonic(), watcher or Silent()
    given = read_given(fpr, out, lists, null)
    pack = given.pack
    base, pair = open_reference(suspect, reference, endpoint)
    key = fingerprint(base.model)
    vocabulary = Vocabulary.from_tokenizer(base.tokenizer, vocabulary_size(base.model))
    writer: Writer
    server = None if endpoint is None else Endpoint(endpoint, suspect)
    if server is not None:
        writer = EndpointWriter(server, base.tokenizer)
    else:
        assert pair is not None
        writer = _writer(pair)
    classes = _of_events(vocabulary, events) if events else hypotheses(vocabulary, given.lists)
    tolerance, luck = np.zeros(len(classes)), fpr
    if pack is not None:
        given.check_reference(key, vocabulary)
        mass = ShiftReader(base, pack.contexts).read(base).reference_mass.numpy()
        # Half of the rate for benign changes beyond the tolerance, half for the luck of the draw.
        luck = fpr / 2
        given.check_rate(luck)
        tolerance = tolerances(pack, classes, mass, luck)
    evidence = TiltEvidence(tolerance)
    answers: list[Answer] = []
    course: list[tuple[int, float]] = []
    partial, notes = False, []
    reader = Reader(base.model)
    clear = np.log(len(classes) / luck)
    watcher.begin("reading the suspect's text", budget)
    while evidence.tokens < budget and not bool((evidence.log_e >= clear).any()):
        try:
            batch = writer.write(ANSWERS, LENGTH, seed + len(answers))
        except KeyboardInterrupt:
            partial, why = True, "it was interrupted"
        except ModelError as error:
            if not answers:
                raise
            partial, why = True, error.what
        else:
            answers += batch
            for hits, likely in hits_and_probabilities(reader, batch, classes):
                evidence.update(hits, likely)
                course.append((evidence.tokens, float(evidence.log_e.max() / np.log(10))))
            watcher.advance(min(evidence.tokens, budget))
            if any(a.ids for a in batch):
                continue
            partial, why = True, f"the last {len(batch)} answers were empty"
        notes.append(f"This audit is partial: {why}. What it found holds.")
        break
    if pack is None:
        notes.append(
            "The null is the reference itself; any fine-tune differs from it. With a pack "
            "(--null) what benign changes do is not accused."
        )
    if server is not None:
        notes += server.notes
    if not evidence.tokens:
        raise ModelError(
            f"all {len(answers)} answers of the suspect are empty, so nothing was measured",
            where=suspect,
            fix="see what it answers to an empty prompt",
        )
    findings = _findings(evidence, classes, answers, reader, fpr / luck)
    found = [f for f in findings if f.p <= fpr]
    record = TextAuditRecord(
        verdict="found" if found else "none",
        partial=partial,
        suspect=suspect,
        reference={"name": reference, "sha256": key},
        fpr=fpr,
        null=given.null_record,
        findings=found or findings[:1],
        course=course,
        decided_at=float(clear / np.log(10)),
        classes=len(classes),
        tokens_read=evidence.tokens,
        answers=len(answers),
        empty_answers=sum(not a.ids for a in answers),
        budget=budget,
        least_tokens=_least(found, evidence.tokens, fpr) if found else None,
        notes=notes,
        versions=versions(),
        seconds={"total": time.monotonic() - begin},
    )
    if out is not None:
        from tiltlm.report.audit_page import render_text_audit

        keep_record(out, record, {"audit.html": render_text_audit(record)})
    return record


def tolerances(pack: NullPack, classes: Hypotheses, mass: Array, fpr: float) -> Array:
    """(K,) how far benign changes move each class's log-odds, but for a share of them.

    Args:
        pack: of benign changes.
        classes: K of them.
        mass: (V,) of the reference.
        fpr: share of members that may move any class further; of each member, the farthest class
            counts, by the spread among members of other families.
    """
    before = np.asarray(classes.members @ mass).clip(1e-12, 1 - 1e-12)
    masses = pack.masses.double().numpy()
    after = np.asarray((classes.members @ masses.T).T).clip(1e-12, 1 - 1e-12)
    change = np.log(after / (1 - after)) - np.log(before / (1 - before))
    kinds = np.array(families(pack))
    farthest = np.zeros(len(change))
    for kind in set(kinds.tolist()):
        own = kinds == kind
        others = change if own.all() else change[~own]
        farthest[own] = (np.abs(change[own]) / _spread(others).clip(1e-12)).max(1)
    return np.asarray(np.quantile(farthest, 1 - fpr, method="higher") * _spread(change))


def _spread(change: Array) -> Array:
    """(K,) how far benign changes move each class, and none by less than half the median class."""
    spread = np.sqrt((change**2).mean(0))
    some = spread[spread > 0]
    return np.asarray(np.hypot(spread, 0.5 * (np.median(some) if len(some) else 0.0)))


def _writer(pair: Pair) -> Writer:
    return ModelWriter(pair.base if pair.decodes else pair.model, pair.processor)


def _of_events(vocabulary: Vocabulary, events: Sequence[str]) -> Hypotheses:
    """The events that were asked for, as classes."""
    parsed = [parse_event(text, where="--event") for text in events]
    rows = [event.mask(vocabulary).numpy().astype(float) for event in parsed]
    names = tuple(str(event) for event in parsed)
    return Hypotheses(names, ("event",) * len(names), sparse.csr_matrix(np.stack(rows)))


def _findings(
    evidence: TiltEvidence,
    classes: Hypotheses,
    answers: Sequence[Answer],
    reader: Reader,
    times: float,
) -> list[TextFindingRecord]:
    """The classes with the most evidence, none of which is mostly another; p times ``times``."""
    chosen: list[int] = []
    for index in np.argsort(-evidence.log_e):
        ids = set(classes.token_ids(int(index)))
        others = [set(classes.token_ids(c)) for c in chosen]
        if all(len(ids & o) < 0.5 * min(len(ids), len(o)) for o in others):
            near = evidence.log_e >= evidence.log_e[index] - _HARDLY
            chosen.append(classes.simplest(int(index), near, 0.5))
        if len(chosen) == MOST:
            break
    few = Hypotheses(
        tuple(classes.names[c] for c in chosen),
        tuple(classes.kinds[c] for c in chosen),
        classes.members[chosen],
    )
    pairs = list(hits_and_probabilities(reader, answers, few))
    hits, likely = (np.concatenate([p[side] for p in pairs]) for side in (0, 1))
    found = []
    for place, index in enumerate(chosen):
        strength, interval = confidence_sequence(hits[:, place], likely[:, place])
        found.append(
            TextFindingRecord(
                event=classes.names[index],
                tokens=len(classes.token_ids(index)),
                token_ids=classes.token_ids(index),
                hits=int(evidence.hits[index]),
                expected=float(evidence.expected[index]),
                strength_nats=strength,
                interval=interval,
                tolerance_nats=float(evidence.tolerance[index]),
                e_value=float(np.exp(min(700.0, evidence.log_e[index]))),
                p=min(1.0, float(evidence.p[index]) * len(classes) * times),
            )
        )
    return found


def _least(found: Sequence[TextFindingRecord], tokens: int, fpr: float) -> int:
    first = found[0]
    mass = min(max(first.expected / max(tokens, 1), 1e-9), 1 - 1e-9)
    return plan_text(first.strength_nats, mass, fpr).least if first.strength_nats else tokens
