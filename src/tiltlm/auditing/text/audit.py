"""The audit by text alone: the suspect writes until the matter is clear or the budget is spent.

Half of the false-positive rate goes to benign changes that move a class beyond its tolerance and
half to the luck of the draw; without a pack all of it goes to luck.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from tiltlm.auditing.access import Access
from tiltlm.auditing.arrays import Array
from tiltlm.auditing.asking import BatchCollector
from tiltlm.auditing.case import AuditCase
from tiltlm.auditing.classes.token_classes import TokenClasses, build_classes
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.auditing.text.class_probabilities import hits_and_probabilities, tilted_masses
from tiltlm.auditing.text.findings import event_classes, finding_records, least_tokens
from tiltlm.auditing.text.sequential_test import TiltEvidence
from tiltlm.auditing.text.suspects import Answer, EndpointTextSuspect, LocalTextSuspect, TextSuspect
from tiltlm.auditing.text.temperature import sharpness
from tiltlm.auditing.text.tolerance import tolerances
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.defaults import ANSWER_TOKENS, ANSWERS_AT_ONCE, TEXT_BUDGET
from tiltlm.errors import ModelError
from tiltlm.models.chat import first_token
from tiltlm.models.structure import context_length
from tiltlm.records.audit_text import TextAuditRecord, TextFindingRecord


@dataclass(frozen=True)
class TextReading:
    """What a suspect wrote, and what it is evidence for.

    Attributes:
        evidence: for a tilt of each class.
        answers: all that came until it was clear or the budget was spent, empty ones too.
        fresh: answers that came once it was clear. When to stop was decided by the others, so
            strengths are estimated from these.
        course: tokens read, and log10 of the largest e-value then, answer after answer.
        cut_off: why the reading ended before it was clear or the budget was spent; None if it did
            not.
    """

    evidence: TiltEvidence
    answers: Sequence[Answer]
    fresh: Sequence[Answer]
    course: Sequence[tuple[int, float]]
    cut_off: str | None

    @property
    def fresh_tokens(self) -> int:
        """Tokens of the fresh answers."""
        return sum(len(answer.ids) for answer in self.fresh)


@dataclass(frozen=True)
class TextJudgement:
    """What the text says.

    Attributes:
        found: classes that are decided at the false-positive rate.
        shown: those, or else the one with the most evidence.
    """

    found: Sequence[TextFindingRecord]
    shown: Sequence[TextFindingRecord]


class TextAccess(Access[TextReading, TextJudgement, TextAuditRecord]):
    """An audit of what a suspect writes, here or behind an endpoint."""

    name: ClassVar[str] = "text"
    takes: ClassVar[frozenset[str]] = frozenset({"endpoint", "events", "budget"})

    def __init__(self, case: AuditCase) -> None:
        super().__init__(case)
        self._suspect = _open_suspect(case)
        vocabulary, events = case.reference.vocabulary, case.options.events
        self._classes: TokenClasses = (
            event_classes(vocabulary, events)
            if events
            else build_classes(vocabulary, case.inputs.lists)
        )
        self._answer_tokens = self._readable_tokens()
        self._reader = LogitReader(case.reference.model.eval())
        calibrated = case.pack is not None
        self._luck = self.null_rate(case.options.fpr) if calibrated else case.options.fpr
        self._tolerance = self._tolerances()
        self._decided_at = float(np.log(len(self._classes) / self._luck))
        self._budget = TEXT_BUDGET if case.options.budget is None else case.options.budget

    @classmethod
    def null_rate(cls, fpr: float) -> float:
        """Half of the audit's; the other half is for the luck of the draw."""
        return fpr / 2

    def read(self) -> TextReading:
        """Let the suspect write until a class is decided, in batches of answers, then on.

        Raises:
            ModelError: no answer came, or all are empty.
        """
        evidence = TiltEvidence(self._tolerance)
        collector = BatchCollector[Answer]()
        course: list[tuple[int, float]] = []
        self.case.progress.begin("reading the suspect's text", self._budget)
        while self._goes_on(collector, evidence):
            batch = self._write(collector, self._next_answers(collector, evidence))
            if collector.cut_off is not None:
                break
            for hits, probabilities in hits_and_probabilities(self._reader, batch, self._classes):
                evidence.update(hits, probabilities)
                course.append((evidence.tokens, float(evidence.log_e.max() / np.log(10))))
            self.case.progress.advance(min(evidence.tokens, self._budget))
            if not any(answer.ids for answer in batch):
                collector.cut_off = f"the last {len(batch)} answers were empty"
        if not evidence.tokens:
            raise ModelError(
                f"all {len(collector.items)} answers of the suspect are empty, so nothing was "
                "measured",
                where=self.case.suspect_name,
                fix="see what it answers to an empty prompt",
            )
        count = len(collector.items)
        self._read_on(collector, evidence)
        answers, fresh = collector.items[:count], collector.items[count:]
        return TextReading(evidence, answers, fresh, course, collector.cut_off)

    def judge(self, reading: TextReading) -> TextJudgement:
        """The classes with the most evidence, and which of them are decided."""
        fpr = self.case.options.fpr
        answers = reading.fresh if reading.fresh_tokens else reading.answers
        findings = finding_records(
            reading.evidence, self._classes, answers, self._reader, self._decided_at, fpr
        )
        found = [finding for finding in findings if finding.p <= fpr]
        return TextJudgement(found, found or findings[:1])

    def record(self, reading: TextReading, judgement: TextJudgement) -> TextAuditRecord:
        """As `Access.record`; without a pack the reference is the null, so there is a verdict."""
        evidence, found = reading.evidence, judgement.found
        answers = [*reading.answers, *reading.fresh]
        fpr = self.case.options.fpr
        return TextAuditRecord(
            **self.case.record_fields(),
            verdict="found" if found else "none",
            partial=reading.cut_off is not None,
            findings=list(judgement.shown),
            course=list(reading.course),
            decided_at=float(self._decided_at / np.log(10)),
            classes=len(self._classes),
            tokens_read=evidence.tokens + reading.fresh_tokens,
            fresh_tokens=reading.fresh_tokens,
            answers=len(answers),
            empty_answers=sum(not answer.ids for answer in answers),
            budget=self._budget,
            least_tokens=least_tokens(found, evidence.tokens, fpr) if found else None,
            notes=self._notes(reading),
            seconds={"total": self.case.stopwatch.total},
        )

    def _readable_tokens(self) -> int:
        """Tokens of an answer at most: the reference reads each with the prompt before it."""
        limit, before = context_length(self.case.reference.model), self._suspect.prompt_tokens
        readable = ANSWER_TOKENS if limit is None else min(ANSWER_TOKENS, limit - before)
        if readable < 1:
            raise ModelError(
                f"the reference reads {limit} tokens at once, and the prompt alone has {before}",
                where=self.case.reference_name,
                fix="use a reference that reads more",
            )
        return readable

    def _tolerances(self) -> Array:
        """(K,) nats up to which no class is accused; 0 without a pack."""
        pack = self.case.pack
        if pack is None:
            return np.zeros(len(self._classes))
        tilted = tilted_masses(self._reader, pack.contexts, self._classes)
        return tolerances(pack, self._classes, tilted, self._luck)

    def _goes_on(self, collector: BatchCollector[Answer], evidence: TiltEvidence) -> bool:
        """Whether more text may come, is needed, and is within the budget."""
        may_come = collector.cut_off is None and evidence.tokens < self._budget
        return may_come and not self._is_decided(evidence)

    def _is_decided(self, evidence: TiltEvidence) -> bool:
        return bool((evidence.largest_log_e >= self._decided_at).any())

    def _next_answers(self, collector: BatchCollector[Answer], evidence: TiltEvidence) -> int:
        """How many to ask for next: as many as there are, within the budget and other limits."""
        left = math.ceil((self._budget - evidence.tokens) / self._answer_tokens)
        most = min(self._suspect.most_at_once, left)
        return min(most, max(ANSWERS_AT_ONCE, len(collector.items)))

    def _write(self, collector: BatchCollector[Answer], count: int) -> list[Answer]:
        """The next answers; none where something cut the suspect off."""
        seed = self.case.options.seed + len(collector.items)
        return collector.collect(partial(self._suspect.write, count, self._answer_tokens, seed))

    def _read_on(self, collector: BatchCollector[Answer], evidence: TiltEvidence) -> None:
        """Once it is decided, collect as many tokens again, or what the budget has left.

        Nothing is collected where that is less than half as many, which would say little.
        """
        missing = min(evidence.tokens, self._budget - evidence.tokens)
        if missing < evidence.tokens / 2:
            return
        while self._is_decided(evidence) and missing > 0 and collector.cut_off is None:
            answers = min(self._suspect.most_at_once, math.ceil(missing / self._answer_tokens))
            written = sum(len(answer.ids) for answer in self._write(collector, answers))
            missing = missing - written if written else 0

    def _notes(self, reading: TextReading) -> list[str]:
        notes = []
        if reading.cut_off is not None:
            notes.append(f"This audit is partial: {reading.cut_off}. What it found holds.")
        if self.case.pack is None:
            notes.append(
                "The null is the reference itself; any fine-tune differs from it. With a pack "
                "(--null) what benign changes do is not accused."
            )
        elif self._is_decided(reading.evidence):
            notes.append(
                "What is tolerated is a tilt that is alike in all answers. A benign change that "
                "differs from answer to answer by more than the tolerance may be accused though "
                "its mean is within it."
            )
        if self._is_decided(reading.evidence) and not reading.fresh_tokens:
            notes.append(
                "Strengths are estimated from the text that decided, and are too large: no more "
                "could be read. With a larger --budget fresh text is read for them."
            )
        notes += self._suspect.notes
        if self._suspect.is_served:
            written = [answer for answer in reading.answers if answer.ids]
            drawn = sharpness(self._reader, written[:ANSWERS_AT_ONCE])
            notes += [drawn.note] if drawn.note else []
        return notes


def _open_suspect(case: AuditCase) -> TextSuspect:
    if isinstance(case.suspect, Endpoint):
        return EndpointTextSuspect(case.suspect, case.reference.tokenizer)
    pair = case.suspect
    # Both begin where the reference's texts begin; what the suspect says there is not asked.
    first = first_token(case.reference.tokenizer)
    return LocalTextSuspect(pair.base if pair.decodes else pair.model, pair.processor, first)
