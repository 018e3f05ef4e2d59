"""What `tiltlm audit` prints of its records. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.records.audit import (
    AuditRecord,
    CertificateRecord,
    FindingRecord,
    ShiftedToken,
)
from tiltlm.records.audit_logprobs import LogprobsAuditRecord, LogprobsFindingRecord
from tiltlm.records.audit_text import TextAuditRecord, TextFindingRecord
from tiltlm.records.plan import Plan
from tiltlm.report.event_words import in_words
from tiltlm.report.wording import claim_lines, counted, visible

if TYPE_CHECKING:
    from rich.console import Console

    from tiltlm.records.base import Interval

_VERDICTS = {
    "found": "tilted",
    "changed": "changed, not tilted",
    "none": "nothing found",
    "uncalibrated": "uncalibrated: shifts, but no telling which of them are benign",
}

_PLANTED = {None: "", True: "planted", False: "changed, not planted"}

_LINE_CHARACTERS = 80
"""An expression stands on a line of its own, cut off to this with what stands before it."""


def print_any_audit(
    record: AuditRecord | LogprobsAuditRecord | TextAuditRecord, out: Path | None
) -> None:
    """Print an audit: the verdict, what was found, and where the page is.

    Args:
        record: of an audit by logits, by log-probabilities or by text.
        out: the folder that holds the page; None where none was written.
    """
    from tiltlm.cli.console import PlainConsole

    console = PlainConsole()
    if isinstance(record, TextAuditRecord):
        _print_text_audit(console, record)
    elif isinstance(record, LogprobsAuditRecord):
        _print_logprobs_audit(console, record)
    else:
        _print_logits_audit(console, record)
    if record.claim is not None:
        for line in claim_lines(record.claim):
            console.print(line, highlight=False, markup=False)
    last = "" if out is None else str(out / "audit.html")
    _print_end(
        console, record.notes, f"open {last}" if last and record.access == "logits" else last
    )


def _print_verdict(
    console: Console, record: AuditRecord | LogprobsAuditRecord | TextAuditRecord, rest: str
) -> None:
    """The verdict, who was audited against whom, and the rest of the sentence."""
    from rich.text import Text

    line = Text.assemble(
        (_VERDICTS[record.verdict], "bold"),
        f": {visible(record.suspect)} against {visible(record.reference['name'])}, {rest}",
    )
    console.print(line, highlight=False)


def _print_logits_audit(console: Console, record: AuditRecord) -> None:
    _print_verdict(console, record, f"{record.kl_nats:.3g} nats a position apart")
    if record.findings:
        _print_findings(console, record.findings)
    for trigger in record.triggers:
        p_word = "" if trigger.p_word is None else f", p of the word {trigger.p_word:.2g}"
        console.print(f"after {trigger.word!r}:", highlight=False)
        _print_class(console, trigger.event)
        _print_detail(console, f"{trigger.strength_nats:+.3f} nats (p {trigger.p:.3g}{p_word})")
    for certificate in record.certificates:
        console.print("certified:" if certificate.certified else "not certified:")
        _print_class(console, certificate.event)
        _print_detail(console, _certificate(certificate))
    if record.changed:
        console.print("changed most, whatever the cause:")
    for changed in record.changed:
        _print_class(console, changed.event, changed.shown)
        _print_detail(console, f"{changed.mass.reference:.2%} → {changed.mass.suspect:.2%}")
    moved = record.moved
    certainty = "" if moved.p is None else f" (p {moved.p:.2g}; every fine-tune moves some)"
    console.print(
        f"single tokens that moved most{certainty}: {_tokens(moved.tokens)}",
        highlight=False,
        markup=False,
    )
    if record.null is not None:
        console.print(
            f"{counted(record.hypotheses, 'class', 'classes')} and "
            f"{counted(record.words, 'trigger word')} tried; p is of the largest of all, against "
            f"{counted(record.null.models, 'benign change')}; a benign change of kinds that these "
            f"have is accused with probability {record.fpr:g}, on average over packs",
            highlight=False,
        )


def _print_findings(console: Console, findings: Sequence[FindingRecord]) -> None:
    """The classes that were found, and tokens of the first of them."""
    for finding in findings:
        _print_class(console, finding.event, finding.shown)
        _print_detail(console, *_finding_details(finding))
    first = findings[0]
    _print_detail(console, f"tokens of the first: {_tokens(first.evidence)}")


def _print_class(console: Console, event: str, shown: str = "") -> None:
    """A class in words, then its expression on a line of its own, which is not broken."""
    from rich.padding import Padding
    from rich.text import Text

    line, words = Text("  "), in_words(event)
    if words:
        console.print(Padding(Text(words, style="bold"), (0, 0, 0, 2), expand=False))
        line.append("  ")
    name, most = visible(shown or event), _LINE_CHARACTERS - len(line)
    line.append(name if len(name) <= most else name[: most - 1] + "…")
    console.print(line, soft_wrap=True)


def _print_detail(console: Console, *details: str) -> None:
    """What there is to say of a class, beneath it."""
    from rich.padding import Padding

    text = ", ".join(detail for detail in details if detail)
    console.print(Padding(text, (0, 0, 0, 4), expand=False), highlight=False)


def _print_text_audit(console: Console, record: TextAuditRecord) -> None:
    _print_verdict(
        console,
        record,
        f"by {counted(record.tokens_read, 'token')} of text in "
        f"{counted(record.answers, 'answer')} ({record.empty_answers} empty)",
    )
    for finding in record.findings:
        _print_class(console, finding.event)
        _print_detail(
            console,
            f"{counted(finding.hits, 'hit')}, {finding.expected:,.1f} expected",
            f"{finding.strength_nats:+.2f} nats ({_signed(finding.interval)})",
            f"p {finding.p:.3g}",
        )
    _print_later_p(console, record.findings)
    console.print(
        f"{counted(record.classes, 'class', 'classes')} tested; accused falsely with probability "
        f"at most {record.fpr:g}, whenever one stops",
        highlight=False,
    )


def _print_logprobs_audit(console: Console, record: LogprobsAuditRecord) -> None:
    likeliest = "likeliest token" if record.top == 1 else f"{record.top} likeliest tokens"
    _print_verdict(
        console,
        record,
        f"by the {likeliest} at {counted(record.places, 'place')} in "
        f"{counted(record.contexts, 'context')}, which "
        f"{'holds' if record.places == 1 else 'hold'} {record.seen_mass:.1%} of the reference's "
        "probability",
    )
    for finding in record.findings:
        _print_class(console, finding.event, finding.shown)
        _print_detail(
            console,
            _PLANTED[finding.planted],
            f"{finding.strength_nats:+.2f} nats ({_signed(finding.interval)})",
            f"{finding.seen_share:.0%} of its mass was seen",
            "" if finding.planted is None else f"p {_p_of(finding):.3g}",
        )
    _print_later_p(console, record.findings)
    if record.null is not None:
        console.print(
            f"{counted(record.classes, 'class', 'classes')} judged; p is of the largest of all, "
            f"against what {counted(record.null.models, 'benign change')} "
            f"{'shows' if record.null.models == 1 else 'show'} at the same places; a benign change "
            f"of kinds that these have is accused with probability {record.fpr:g}, on average over "
            "packs",
            highlight=False,
        )


def _print_later_p(
    console: Console, findings: Sequence[TextFindingRecord] | Sequence[LogprobsFindingRecord]
) -> None:
    """What p-values after the first say."""
    if len(findings) > 1 and findings[1].p_means:
        console.print(f"p after the first: {findings[1].p_means}", highlight=False, markup=False)


def print_plan(plan: Plan, strength: float, mass: float, classes: int) -> None:
    """Print what an audit by text takes.

    Args:
        plan: as it was worked out.
        strength: of the tilt to be seen, in nats.
        mass: P(event) under the reference.
        classes: among how many classes of tokens the event is looked for.
    """
    from tiltlm.cli.console import PlainConsole

    PlainConsole().print(
        f"a tilt of {strength:g} takes a mass of {mass:.4g} to {plan.tilted_mass:.4g}; a token "
        f"tells {plan.information:.3g} nats\n"
        f"{counted(plan.tokens, 'token')} on average, stopping when it is clear, among "
        f"{counted(classes, 'class', 'classes')}\n"
        f"{plan.least:,} {'is' if plan.least == 1 else 'are'} the least that any test could do "
        "with (Wald)\n"
        f"{plan.fixed:,} for a test of fixed size",
        highlight=False,
    )


def _print_end(console: Console, notes: Sequence[str], last: str) -> None:
    """Print notes, and where the rest is."""
    for note in notes:
        console.print(note, highlight=False, markup=False)
    if last:
        console.print(f"\n{last}", highlight=False, markup=False)


def _certificate(certificate: CertificateRecord) -> str:
    interval = certificate.interval
    spread = "no spread" if interval is None else _signed(interval, 3)
    strength = certificate.strength_nats
    mean = "not measured" if strength is None else f"{strength:+.3f}"
    return (
        f"the mean strength over contexts like these {certificate.contexts} is "
        f"{'' if certificate.certified else 'not shown to be '}"
        f"within ±{certificate.within_nats:g} nats ({mean}, {spread}; "
        f"error {certificate.error:g}, if none of them is beyond ±{certificate.largest_nats:.2g})"
    )


def _finding_details(finding: FindingRecord) -> tuple[str, ...]:
    spread = "" if finding.interval is None else f" ({_signed(finding.interval)})"
    return (
        _PLANTED[finding.planted],
        counted(finding.tokens, "token"),
        f"{finding.strength_nats:+.3f} nats{spread}",
        f"mass {finding.mass.reference:.2%} → {finding.mass.suspect:.2%}",
        finding.where,
        "" if finding.p_planted is None else f"p {_p_of(finding):.3g}",
    )


def _p_of(finding: FindingRecord | LogprobsFindingRecord) -> float | None:
    """Of a class that accuses, that it does; of another, that it was shifted."""
    return finding.p_planted if finding.planted else finding.p_shifted


def _tokens(tokens: Sequence[ShiftedToken]) -> str:
    """The first few tokens, each with its shift in nats."""
    return ", ".join(f"{token.text!r} {token.strength_nats:+.2f}" for token in tokens[:6])


def _signed(interval: Interval, digits: int = 2) -> str:
    """An interval of nats, with signs."""
    low, high = interval
    return f"{low:+.{digits}f} to {high:+.{digits}f}"
