"""What all audits have in common, whatever one has of the suspect.

An access is what one has of a suspect: its logits, the log-probabilities of its likeliest tokens,
or the text that it writes. Each is a subclass of `Access`, which says which options it takes, asks
the suspect, judges what it said and makes a record of that; `auditing.auditing` lists them by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

from tiltlm.auditing.case import AuditCase, AuditOptions
from tiltlm.errors import ConfigError
from tiltlm.records.audit import AuditVerdict
from tiltlm.records.base import Record
from tiltlm.records.claim import ClaimRecord

Reading = TypeVar("Reading")
"""What a suspect was found to do."""

Judgement = TypeVar("Judgement")
"""What that says of it."""

RecordKind = TypeVar("RecordKind", bound=Record)
"""What ``result.json`` holds of it."""

SHARED_OPTIONS = frozenset({"null", "fpr", "lists", "seed", "decodes", "placement"})
"""Options that every access takes."""

_FLAGS = {"events": "--event"}
"""Options whose flag on the command line has another name."""


@dataclass(frozen=True)
class Refusal:
    """Why an access does not take an option.

    Attributes:
        what: the reason, a sentence.
        fix: what the user can do instead.
    """

    what: str
    fix: str


class Access(ABC, Generic[Reading, Judgement, RecordKind]):
    """An audit of one suspect with one access to it.

    Args:
        case: suspect and reference, opened.

    Attributes:
        name: of the access, as users write it.
        takes: names of the options that it takes besides `SHARED_OPTIONS`.
        refusals: why it does not take others; those without a reason of their own get a general
            one.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]] = frozenset()
    refusals: ClassVar[Mapping[str, Refusal]] = {}

    def __init__(self, case: AuditCase) -> None:
        self.case = case

    @classmethod
    def check_options(cls, options: AuditOptions) -> None:
        """Refuse options that say nothing to this access.

        An override adds what cannot go together; it calls this first.

        Args:
            options: of the audit. One that has its default value counts as not given.

        Raises:
            ConfigError: an option that this access does not take was given.
        """
        for option in fields(options):
            if option.name in SHARED_OPTIONS | cls.takes:
                continue
            if getattr(options, option.name) != option.default:
                flag = _FLAGS.get(option.name, f"--{option.name}")
                refusal = cls.refusals.get(
                    option.name,
                    Refusal(f"an audit by {cls.name} has no use for this option", "leave it out"),
                )
                raise ConfigError(refusal.what, where=flag, fix=refusal.fix)

    @classmethod
    def null_rate(cls, fpr: float) -> float:
        """The false-positive rate that a null pack has to vouch for.

        Args:
            fpr: of the whole audit.
        """
        return fpr

    @abstractmethod
    def read(self) -> Reading:
        """Ask the suspect, within the budget; what came before an interrupt is kept.

        Raises:
            TiltError: the suspect failed, or too little came of it to judge by.
        """

    @abstractmethod
    def judge(self, reading: Reading) -> Judgement:
        """Compare what was read with the reference and, where there is one, with the pack.

        Args:
            reading: of the suspect.

        Raises:
            TiltError: nothing could be judged.
        """

    @abstractmethod
    def record(self, reading: Reading, judgement: Judgement) -> RecordKind:
        """What a program reads of this audit.

        Args:
            reading: of the suspect.
            judgement: of the reading.
        """

    def run(self) -> RecordKind:
        """The whole audit, step after step.

        Raises:
            TiltError: any of the tree in `errors`.
        """
        reading = self.read()
        self.case.stopwatch.lap("reading")
        record: Any = self.record(reading, self.judge(reading))
        notes = [*self.case.notes, *record.notes]
        whole: RecordKind = record.model_copy(update={"claim": self._claim(record), "notes": notes})
        return whole

    def _claim(self, record: Any) -> ClaimRecord | None:
        """What the suspect's label says, beside what a record of any access names."""
        case = self.case
        if case.claim is None:
            return None
        found = {
            "found": [*record.findings, *getattr(record, "triggers", ())],
            "changed": record.findings,
            "none": [],
            "uncalibrated": None,
        }[record.verdict]
        return case.claim.compared(found, case.reference.vocabulary, case.sha256)

    def verdict(self, *, planted: bool, changed: bool) -> AuditVerdict:
        """The verdict of an audit that a pack calibrates.

        Args:
            planted: whether anything looks planted: only that accuses.
            changed: whether anything was shifted.
        """
        if self.case.pack is None:
            return "uncalibrated"
        if planted:
            return "found"
        return "changed" if changed else "none"
