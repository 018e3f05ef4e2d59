"""The audit by all of a suspect's logits: read its shift, compare it with benign ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tiltlm.auditing.access import Access, Refusal
from tiltlm.auditing.arrays import Array
from tiltlm.auditing.case import AuditOptions
from tiltlm.auditing.classes.clusters import cluster_tokens
from tiltlm.auditing.classes.token_classes import TokenClasses, build_classes
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.inputs import uncalibrated_note
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.logits.calibration import calibrated_auditor
from tiltlm.auditing.logits.equivalence import certify_events, check_certifiable
from tiltlm.auditing.logits.evidence import changed_records, finding_record, shifted_tokens
from tiltlm.auditing.logits.finding import Finding
from tiltlm.auditing.logits.reach import within_reach
from tiltlm.auditing.logits.single_tokens import TokenShifts, largest_token_shifts
from tiltlm.auditing.logits.triggers import find_triggers
from tiltlm.auditing.logits.uncalibrated import find_uncalibrated
from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, CERTIFICATE_ERROR, CONTEXT_TOKENS
from tiltlm.errors import ConfigError
from tiltlm.records.audit import AuditRecord, MovedTokensRecord, TriggerRecord

_FEW_CONTEXTS = 16
"""From fewer contexts than this a reader of the audit is told that they are few."""


@dataclass(frozen=True)
class LogitsReading:
    """How a suspect differs from its reference.

    Attributes:
        contexts: where it was read.
        reader: of the reference, at these contexts.
        shift: of the suspect.
    """

    contexts: TokenContexts
    reader: ShiftReader
    shift: Shift


@dataclass(frozen=True)
class LogitsJudgement:
    """What that says.

    Attributes:
        geometry: of the reference's head.
        residual_filter: of the classes that were tried.
        auditor: of the shift; None without a pack.
        findings: classes that were shifted.
        triggers: classes that are shifted where a word came before.
        score: of what stands out most, clear or not; None without a pack.
        token_shifts: single tokens that moved most.
        residual: (V,) what no moved body explains of the shift, nats.
    """

    geometry: HeadGeometry
    residual_filter: ResidualFilter
    auditor: Auditor | None
    findings: Sequence[Finding]
    triggers: list[TriggerRecord]
    score: float | None
    token_shifts: TokenShifts
    residual: Array


class LogitsAccess(Access[LogitsReading, LogitsJudgement, AuditRecord]):
    """An audit of all logits of a suspect that is loaded here."""

    name: ClassVar[str] = "logits"
    takes: ClassVar[frozenset[str]] = frozenset({"contexts", "events", "within"})
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "endpoint": Refusal(
            "an endpoint gives text, and some give log-probabilities",
            "add --access logprobs, or --access text",
        )
    }

    @classmethod
    def check_options(cls, options: AuditOptions) -> None:
        """As `Access.check_options`; contexts and a pack do not go together either."""
        super().check_options(options)
        if options.null is not None and options.contexts is not None:
            raise ConfigError(
                "a null pack was read at contexts of its own, and only there are suspects "
                "comparable with it",
                where="--contexts",
                fix="leave it out, or --null",
            )

    def read(self) -> LogitsReading:
        """Read the suspect's shift at the pack's contexts, or at others without a pack.

        Raises:
            ConfigError, ExpressionError, EventError: an event that cannot be certified, or is none.
            MeasurementError: logits that are not numbers.
        """
        pack = self.case.pack
        contexts = self._contexts() if pack is None else pack.contexts
        strata = None if pack is None else pack.strata
        options = self.case.options
        check_certifiable(
            self.case.pair, contexts, options.events, options.within, CERTIFICATE_ERROR
        )
        reader = ShiftReader(self.case.reference, contexts, strata, self.case.sha256)
        return LogitsReading(contexts, reader, self._shift(reader))

    def judge(self, reading: LogitsReading) -> LogitsJudgement:
        """Name the classes that were shifted, everywhere or after a word.

        Raises:
            ModelError: the reference's logits are no product of a head.
        """
        case, fpr, mean = self.case, self.case.options.fpr, reading.shift.mean.numpy()
        mass = reading.shift.reference_mass.numpy()
        geometry = HeadGeometry(HeadRows.of(reading.reader.head), mass)
        if case.pack is None:
            residual_filter = ResidualFilter(geometry, self._all_classes(geometry))
            residual = residual_filter.residual(mean[None])[0]
            return LogitsJudgement(
                geometry=geometry,
                residual_filter=residual_filter,
                auditor=None,
                findings=find_uncalibrated(residual_filter, mean),
                triggers=[],
                score=None,
                token_shifts=largest_token_shifts(residual_filter, residual, None),
                residual=residual,
            )
        vocabulary, lists = case.reference.vocabulary, case.inputs.lists
        auditor = calibrated_auditor(
            case.pack, reading.reader, geometry, vocabulary, lists, case.progress
        )
        change = reading.shift.change(geometry)
        triggers = self._triggers(auditor, case.pack)
        filter_ = auditor.residual_filter
        residual = filter_.residual(mean[None])[0]
        return LogitsJudgement(
            geometry=geometry,
            residual_filter=filter_,
            auditor=auditor,
            findings=within_reach(auditor.find(change, fpr), reading.shift, max(case.pack.kl)),
            triggers=triggers,
            score=max([auditor.best(change).score, *(t.score for t in triggers)]),
            token_shifts=largest_token_shifts(filter_, residual, case.pack.shifts.double().numpy()),
            residual=residual,
        )

    def record(self, reading: LogitsReading, judgement: LogitsJudgement) -> AuditRecord:
        """As `Access.record`; events that were named are certified here."""
        case, pack = self.case, self.case.pack
        shift, contexts, auditor = reading.shift, reading.contexts, judgement.auditor
        findings = [
            finding_record(
                finding,
                judgement.residual_filter,
                None if auditor is None else auditor.column_space_filter,
                shift,
                contexts,
                case.reference,
                case.options.fpr,
            )
            for finding in judgement.findings
        ]
        token_ids, vocabulary = judgement.token_shifts.ids, case.reference.vocabulary
        moved = MovedTokensRecord(
            p=judgement.token_shifts.p,
            tokens=shifted_tokens(token_ids, judgement.residual, shift, vocabulary),
        )
        changed = changed_records(
            judgement.residual_filter.hypotheses, shift, case.reference.vocabulary, case.options.fpr
        )
        options, certificates = case.options, []
        if options.events:
            certificates = certify_events(
                case.pair, contexts, options.events, options.within, CERTIFICATE_ERROR
            )
        notes = self._notes(reading)
        case.stopwatch.lap("looking")
        return AuditRecord(
            **case.record_fields(),
            verdict=self.verdict(
                planted=bool(judgement.triggers) or any(f.planted for f in findings),
                changed=bool(findings or changed),
            ),
            kl_nats=shift.kl,
            score=judgement.score,
            null_scores=[] if auditor is None else auditor.null.shift_maxima.tolist(),
            findings=findings,
            changed=changed,
            moved=moved,
            triggers=judgement.triggers,
            certificates=certificates,
            words=0 if pack is None else len(pack.probes.words),
            hypotheses=len(judgement.residual_filter.hypotheses),
            contexts=contexts.kind,
            positions=contexts.tokens,
            notes=notes,
            seconds={**case.stopwatch.seconds, "total": case.stopwatch.total},
        )

    def _contexts(self) -> TokenContexts:
        """Where to look without a pack, which has contexts of its own."""
        source, case = self.case.options.contexts, self.case
        length = AUDIT_TOKENS if source is None else CONTEXT_TOKENS
        return make_contexts(
            source or f"own:{AUDIT_CONTEXTS}",
            case.reference,
            length=length,
            seed=case.options.seed,
            key=case.sha256,
        )

    def _shift(self, reader: ShiftReader) -> Shift:
        """How the suspect differs from the reference at a reader's contexts."""
        pair, progress = self.case.pair, self.case.progress
        self.case.check_reads(reader.contexts)
        progress.begin(f"reading {reader.contexts.kind}", len(reader.contexts))
        if pair.decodes:
            return reader.read(None, pair.target, progress.advance)
        return reader.read(pair.model, None, progress.advance)

    def _all_classes(self, geometry: HeadGeometry) -> TokenClasses:
        """Every class to try where there is no pack that has them."""
        case = self.case
        clusters = cluster_tokens(geometry.rows, case.sha256)
        return build_classes(case.reference.vocabulary, case.inputs.lists, clusters)

    def _triggers(self, auditor: Auditor, pack: NullPack) -> list[TriggerRecord]:
        """Classes that wait for a word."""
        reference, stopwatch = self.case.reference, self.case.stopwatch

        def read(contexts: TokenContexts) -> Shift:
            stopwatch.lap("looking")
            shift = self._shift(ShiftReader(reference, contexts))
            stopwatch.lap("reading")
            return shift

        return find_triggers(
            read,
            pack.probes,
            # The members of the pack were scored by the classes that it holds.
            auditor.residual_filter.first(len(pack.hypotheses)),
            auditor,
            self.case.options.fpr,
            reference,
            pack.contexts,
        )

    def _notes(self, reading: LogitsReading) -> list[str]:
        notes = []
        pack, kl = self.case.pack, reading.shift.kl
        if pack is None:
            notes.append(uncalibrated_note(self.case.reference))
        elif kl > max(pack.kl):
            notes.append(
                f"The suspect is {kl:.3g} nats from its reference, further than any of the "
                f"pack ({max(pack.kl):.3g}): its p-values are as if scores did not grow with that, "
                "and a class accuses only if the suspect is within that once it is taken back."
            )
        if pack is not None and self.case.options.fpr * (int(pack.probed.sum()) + 1) < 1 - 1e-9:
            notes.append(
                f"Words were tried at {int(pack.probed.sum())} of the pack's benign changes, too "
                "few to name a trigger at this rate; a larger pack, or one made with "
                "--words-every 1, has more."
            )
        count = len(reading.contexts)
        if count < _FEW_CONTEXTS:
            notes.append(
                f"Few contexts were read, {count}: what a suspect does elsewhere is not seen."
            )
        return notes
