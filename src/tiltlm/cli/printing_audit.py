"""What `tiltlm audit` and `tiltlm null build` print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.records.audit import (
    AuditRecord,
    CertificateRecord,
    FindingRecord,
    LogprobsAuditRecord,
    NullBuilt,
    Plan,
    TextAuditRecord,
)

if TYPE_CHECKING:
    from rich.console import Console


_VERDICTS = {
    "found": "tilted",
    "none": "nothing found",
    "uncalibrated": "uncalibrated: shifts, but no telling which of them are benign",
}


def print_audit(record: AuditRecord, out: Path | None) -> None:
    """Verdict, findings, tokens that moved."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"[bold]{_VERDICTS[record.verdict]}[/bold]: {record.suspect} against "
        f"{record.reference['name']}, {record.kl_nats:.3g} nats a position apart",
        highlight=False,
    )
    if record.findings:
        table = Table(box=None, pad_edge=False)
        for name in ("event", "tokens", "nats", "95 %", "mass", "where", "p"):
            table.add_column(name, justify="left" if name in ("event", "where") else "right")
        for found in record.findings:
            table.add_row(*_row(found))
        console.print(table, highlight=False)
        first = record.findings[0]
        shown = ", ".join(f"{t.text!r} {t.strength_nats:+.2f}" for t in first.evidence[:6])
        console.print(f"{first.shown}: {shown}", highlight=False, markup=False)
    for trigger in record.triggers:
        sure = "" if trigger.p_word is None else f", p of the word {trigger.p_word:.2g}"
        console.print(
            f"after {trigger.word!r}: {trigger.event} {trigger.strength_nats:+.3f} nats "
            f"(p {trigger.p:.3g}{sure})",
            highlight=False,
            markup=False,
        )
    for certificate in record.certificates:
        console.print(_certificate(certificate), highlight=False, markup=False)
    moved = record.moved
    certain = "" if moved.p is None else f" (p {moved.p:.2g}; every fine-tune moves some)"
    shown = ", ".join(f"{t.text!r} {t.strength_nats:+.2f}" for t in moved.tokens[:6])
    console.print(f"single tokens that moved most{certain}: {shown}", highlight=False, markup=False)
    null = record.null
    if null is not None:
        console.print(
            f"{record.hypotheses:,} classes and {record.words} trigger words tried; p is of the "
            f"largest score among all, against {null.models} benign changes; a benign model is "
            f"accused with probability {record.fpr:g}",
            highlight=False,
        )
    _end(console, record.notes, "" if out is None else f"open {out / 'audit.html'}")


def print_text_audit(record: TextAuditRecord, out: Path | None) -> None:
    """Verdict, and the classes with the most evidence."""
    from rich.console import Console

    console = Console()
    verdict = "nothing found" if record.verdict == "none" else "tilted"
    console.print(
        f"[bold]{verdict}[/bold]: {record.suspect} against {record.reference['name']}, by "
        f"{record.tokens_read:,} tokens of text in {record.answers} answers "
        f"({record.empty_answers} empty)",
        highlight=False,
    )
    for found in record.findings:
        console.print(
            f"{found.event}: {found.hits:,} hits, {found.expected:,.1f} expected; "
            f"{found.strength_nats:+.2f} nats ({found.interval[0]:+.2f} to "
            f"{found.interval[1]:+.2f}), p {found.p:.3g}",
            highlight=False,
            markup=False,
        )
    console.print(
        f"{record.classes:,} classes tested; accused falsely with probability at most "
        f"{record.fpr:g}, whenever one stops",
        highlight=False,
    )
    _end(console, record.notes, "" if out is None else str(out / "audit.html"))


def print_logprobs_audit(record: LogprobsAuditRecord, out: Path | None) -> None:
    """Verdict, and the classes that were named."""
    from rich.console import Console

    console = Console()
    console.print(
        f"[bold]{_VERDICTS[record.verdict]}[/bold]: {record.suspect} against "
        f"{record.reference['name']}, by the {record.top} likeliest tokens at "
        f"{record.places:,} places in {record.contexts} contexts, which hold "
        f"{record.seen_mass:.1%} of the reference's probability",
        highlight=False,
    )
    for found in record.findings:
        certain = "" if found.p is None else f", p {found.p:.3g}"
        console.print(
            f"{found.event}: {found.strength_nats:+.2f} nats ({found.interval[0]:+.2f} to "
            f"{found.interval[1]:+.2f}){certain}; {found.seen_share:.0%} of its mass was seen",
            highlight=False,
            markup=False,
        )
    if record.null is not None:
        console.print(
            f"{record.classes:,} classes judged; p is of the largest score among all, against what "
            f"{record.null.models} benign changes show where the reference's likeliest tokens are",
            highlight=False,
        )
    _end(console, record.notes, "" if out is None else str(out / "audit.html"))


def _end(console: Console, notes: Sequence[str], last: str) -> None:
    """Notes, and where the rest is."""
    for note in notes:
        console.print(note, highlight=False, markup=False)
    if last:
        console.print(f"\n{last}", highlight=False, markup=False)


def print_plan(plan: Plan, strength: float, mass: float, classes: int) -> None:
    """What an audit by text takes."""
    from rich.console import Console

    Console().print(
        f"a tilt of {strength:g} takes a mass of {mass:.4g} to {plan.tilted_mass:.4g}; a token "
        f"tells {plan.information:.3g} nats\n"
        f"{plan.tokens:,} tokens on average, stopping when it is clear, among {classes:,} classes\n"
        f"{plan.least:,} are the least that any test could do with (Wald)\n"
        f"{plan.fixed:,} for a test of fixed size",
        highlight=False,
    )


def _certificate(found: CertificateRecord) -> str:
    interval = (
        "no spread" if found.interval is None else "{:+.3f} to {:+.3f}".format(*found.interval)
    )
    word = "certified" if found.certified else "not certified"
    return (
        f"{word}: no tilt of {found.event} stronger than {found.within_nats:g} nats "
        f"({found.strength_nats:+.3f}, {interval}; error {found.error:g})"
    )


def print_null(built: NullBuilt) -> None:
    """What is in the pack."""
    from rich.console import Console

    console = Console()
    kl = built.kl_nats
    console.print(
        f"{built.models} benign changes of {built.reference['name']} in {built.seconds:.0f} s; "
        f"KL from {kl['least']:.2g} over {kl['50 %']:.2g} (median) to {kl['largest']:.2g} nats",
        highlight=False,
    )
    shown = ", ".join(f"{count} {name}" for name, count in sorted(built.kinds.items()))
    console.print(shown, highlight=False, markup=False)
    if built.redrawn:
        console.print(
            f"{len(built.redrawn)} were drawn again: they broke the model", highlight=False
        )
    console.print(f"\n{built.pack}/null.json", highlight=False, markup=False)


def _row(found: FindingRecord) -> tuple[str, ...]:
    interval = "" if found.interval is None else "{:+.2f} to {:+.2f}".format(*found.interval)
    return (
        found.shown if len(found.shown) <= 44 else found.shown[:43] + "…",
        f"{found.tokens:,}",
        f"{found.strength_nats:+.3f}",
        interval,
        f"{found.mass.reference:.2%}→{found.mass.suspect:.2%}",
        found.where,
        "" if found.p is None else f"{found.p:.3g}",
    )
