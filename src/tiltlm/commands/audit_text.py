"""`tiltlm audit --access text`, the Python function behind it: read until it is clear."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.auditing.inputs import open_reference, read_inputs
from tiltlm.auditing.shifts.log_ratios import ShiftReader
from tiltlm.auditing.text.class_probabilities import hits_and_probabilities
from tiltlm.auditing.text.findings import event_classes, finding_records, least_tokens
from tiltlm.auditing.text.sequential_test import TiltEvidence
from tiltlm.auditing.text.suspects import Answer, EndpointTextSuspect, LocalTextSuspect, TextSuspect
from tiltlm.auditing.text.tolerance import tolerances
from tiltlm.commands.output import keep_record
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.defaults import ANSWER_TOKENS, ANSWERS_AT_ONCE, FALSE_POSITIVE_RATE, TEXT_BUDGET
from tiltlm.errors import ModelError
from tiltlm.measures.pair import Pair
from tiltlm.models.fingerprints import fingerprint
from tiltlm.progress import NoProgress, Progress
from tiltlm.records.audit import TextAuditRecord
from tiltlm.versions import versions


def run_text_audit(
    suspect: str,
    reference: str,
    out: Path | None = None,
    *,
    endpoint: str | None = None,
    events: Sequence[str] = (),
    null: Path | None = None,
    fpr: float = FALSE_POSITIVE_RATE,
    budget: int = TEXT_BUDGET,
    lists: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
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
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin, progress = time.monotonic(), progress or NoProgress()
    given = read_inputs(fpr, out, lists, null)
    pack = given.pack
    base, pair = open_reference(suspect, reference, endpoint)
    key = fingerprint(base.model)
    vocabulary = base.vocabulary
    writer: TextSuspect
    server = None if endpoint is None else Endpoint(endpoint, suspect)
    if server is not None:
        writer = EndpointTextSuspect(server, base.tokenizer)
    else:
        assert pair is not None
        writer = _writer(pair)
    classes = (
        event_classes(vocabulary, events) if events else build_classes(vocabulary, given.lists)
    )
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
    reader = LogitReader(base.model)
    clear = np.log(len(classes) / luck)
    progress.begin("reading the suspect's text", budget)
    while evidence.tokens < budget and not bool((evidence.log_e >= clear).any()):
        try:
            batch = writer.write(ANSWERS_AT_ONCE, ANSWER_TOKENS, seed + len(answers))
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
            progress.advance(min(evidence.tokens, budget))
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
    findings = finding_records(evidence, classes, answers, reader, fpr / luck)
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
        least_tokens=least_tokens(found, evidence.tokens, fpr) if found else None,
        notes=notes,
        versions=versions(),
        seconds={"total": time.monotonic() - begin},
    )
    if out is not None:
        from tiltlm.report.audit_page import render_text_audit

        keep_record(out, record, {"audit.html": render_text_audit(record)})
    return record


def _writer(pair: Pair) -> TextSuspect:
    return LocalTextSuspect(pair.base if pair.decodes else pair.model, pair.processor)
