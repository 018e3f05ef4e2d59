"""The audit by log-probabilities of a suspect's likeliest tokens, here or behind an endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from tiltlm.auditing.access import Access, Refusal
from tiltlm.auditing.asking import BatchCollector
from tiltlm.auditing.case import AuditCase
from tiltlm.auditing.classes.clusters import cluster_tokens
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.inputs import uncalibrated_note
from tiltlm.auditing.logprobs.auditor import TopKAuditor, TopKFinding
from tiltlm.auditing.logprobs.findings import find_classes, finding_records
from tiltlm.auditing.logprobs.log_ratios import ShownShift, log_ratios_at, null_at
from tiltlm.auditing.logprobs.positions import Position
from tiltlm.auditing.logprobs.suspects import (
    EndpointSuspect,
    LocalSuspect,
    LogprobSuspect,
    TopLogProbs,
)
from tiltlm.auditing.shifts.place_covariance import MIN_SCALE_NATS, PlaceCovariance
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, LOGPROBS_BUDGET, LOGPROBS_FEWEST
from tiltlm.errors import ModelError
from tiltlm.records.audit_logprobs import LogprobsAuditRecord

_BLOCK = 64
"""Positions that are asked for at once; what came before an interrupt is kept by the block."""


@dataclass(frozen=True)
class LogprobsReading:
    """What a suspect showed.

    Attributes:
        contexts: that the positions are in.
        shown: the likeliest tokens at each position where the suspect answered.
        noise_nats: standard deviation of a log-probability when the same is asked again; None
            where that could not be seen.
        cut_off: why there are fewer positions than the budget allows; None if nothing cut it off.
    """

    contexts: TokenContexts
    shown: Sequence[TopLogProbs]
    noise_nats: float | None
    cut_off: str | None


@dataclass(frozen=True)
class LogprobsJudgement:
    """What that says.

    Attributes:
        shift: of the suspect, at the tokens that it showed.
        auditor: of the shift.
        findings: classes that stand out, the clearest first.
        best: the class that stands out most, whether or not it is clear; None if there is none.
    """

    shift: ShownShift
    auditor: TopKAuditor
    findings: list[TopKFinding]
    best: TopKFinding | None


class LogprobsAccess(Access[LogprobsReading, LogprobsJudgement, LogprobsAuditRecord]):
    """An audit of the log-probabilities that a suspect shows of its likeliest tokens.

    A suspect that is loaded here is looked at as if it were behind a server that shows as many.
    """

    name: ClassVar[str] = "logprobs"
    takes: ClassVar[frozenset[str]] = frozenset({"endpoint", "budget"})
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "events": Refusal(
            "with log-probabilities all classes are tried at once",
            "leave it out, or name a list with --lists",
        )
    }

    def __init__(self, case: AuditCase) -> None:
        super().__init__(case)
        reference = case.reference
        self._suspect = _open_suspect(case)
        self._reader = LogitReader(reference.model)
        self._head_rows = HeadRows.of(self._reader.head)
        clusters = cluster_tokens(self._head_rows, case.sha256)
        self._classes = build_classes(reference.vocabulary, case.inputs.lists, clusters)
        self._budget = LOGPROBS_BUDGET if case.options.budget is None else case.options.budget

    def read(self) -> LogprobsReading:
        """Ask the suspect at positions drawn at random, one block after another.

        Raises:
            ModelError: it failed, or answered at fewer than `LOGPROBS_FEWEST` positions.
        """
        contexts = self._contexts()
        if not isinstance(self.case.suspect, Endpoint):
            self.case.check_reads(contexts)
        positions = self._suspect.positions(contexts, self._budget, self.case.options.seed)
        noise = self._suspect.noise(positions[0]) if positions else None
        collector = self._ask(positions)
        if len(collector.items) < LOGPROBS_FEWEST:
            raise ModelError(
                f"log-probabilities came at {len(collector.items)} places, which is too few to "
                f"judge by; it takes {LOGPROBS_FEWEST}",
                where=self.case.suspect_name,
                fix="ask for more with --budget, or see what it answers",
            )
        return LogprobsReading(contexts, collector.items, noise, collector.cut_off)

    def judge(self, reading: LogprobsReading) -> LogprobsJudgement:
        """Regress the log-ratios on classes, and compare with what the pack's members show.

        Raises:
            ModelError: no class is shown often enough to be judged.
        """
        shift = log_ratios_at(self._reader, reading.shown)
        pack, noise = self.case.pack, reading.noise_nats
        covariance = PlaceCovariance.of(
            self._head_rows, pack.place_covariance.double().numpy() if pack else None
        )
        if noise:
            covariance = covariance.with_noise(noise / max(shift.log_ratios.scale, MIN_SCALE_NATS))
        null = None
        if pack is not None:
            null = null_at(
                pack,
                [top.position.row for top in reading.shown],
                self._suspect.top,
                self._classes,
                covariance,
                self.case.reference,
                self.case.progress,
            )
        auditor = TopKAuditor(shift.log_ratios, self._classes, covariance, null, noise=noise or 0.0)
        if not auditor.classes_tested:
            raise ModelError(
                "what the suspect shows holds no class in eight contexts, so none could be judged",
                where=self.case.suspect_name,
                fix="ask for more with --budget",
            )
        findings = find_classes(auditor, self.case.options.fpr)
        return LogprobsJudgement(shift, auditor, findings, auditor.best(shift.log_ratios))

    def record(self, reading: LogprobsReading, judgement: LogprobsJudgement) -> LogprobsAuditRecord:
        """As `Access.record`."""
        shift, auditor, best = judgement.shift, judgement.auditor, judgement.best
        context_numbers = np.unique([top.position.context for top in reading.shown])
        findings = finding_records(
            judgement.findings,
            auditor,
            shift,
            context_numbers,
            reading.contexts,
            self.case.reference,
            self.case.options.fpr,
        )
        return LogprobsAuditRecord(
            **self.case.record_fields(),
            verdict=self.verdict(planted=any(f.planted for f in findings), changed=bool(findings)),
            partial=reading.cut_off is not None,
            score=None if self.case.pack is None or best is None else best.score,
            null_scores=auditor.null_maxima.scores.tolist(),
            findings=findings,
            classes=auditor.classes_tested,
            top=self._suspect.top,
            noise_nats=reading.noise_nats,
            places=len(reading.shown),
            contexts=len(context_numbers),
            budget=self._budget,
            seen_mass=float(shift.shown_mass.sum() / shift.mass.sum()),
            notes=self._notes(reading),
            seconds={"total": self.case.stopwatch.total},
        )

    def _contexts(self) -> TokenContexts:
        """Those of the pack; without one, the reference's own samples."""
        case = self.case
        if case.pack is not None:
            return case.pack.contexts
        return make_contexts(
            f"own:{AUDIT_CONTEXTS}",
            case.reference,
            length=AUDIT_TOKENS,
            seed=case.options.seed,
            key=case.sha256,
        )

    def _ask(self, positions: Sequence[Position]) -> BatchCollector[TopLogProbs]:
        collector = BatchCollector[TopLogProbs]()
        self.case.progress.begin("reading the suspect's log-probabilities", len(positions))
        for begin in range(0, len(positions), _BLOCK):
            block = positions[begin : begin + _BLOCK]
            collector.collect(partial(self._suspect.read, block))
            if collector.cut_off is not None:
                break
            self.case.progress.advance(begin + len(block))
        return collector

    def _notes(self, reading: LogprobsReading) -> list[str]:
        notes = []
        if reading.cut_off is not None:
            notes.append(f"This audit is partial: {reading.cut_off}.")
        if self.case.pack is None:
            notes.append(uncalibrated_note(self.case.reference))
        if reading.noise_nats is None:
            notes.append("Whether the server answers alike when asked again could not be seen.")
        elif reading.noise_nats > 0:
            notes.append(
                f"Asked the same again, the server's log-probabilities differ by "
                f"{reading.noise_nats:.2g} nats (standard deviation); intervals and p-values have "
                "it in them."
            )
        return [*notes, *self._suspect.notes]


def _open_suspect(case: AuditCase) -> LogprobSuspect:
    if isinstance(case.suspect, Endpoint):
        reference = case.reference
        return EndpointSuspect(case.suspect, reference.tokenizer, reference.vocabulary)
    return LocalSuspect(case.suspect)
