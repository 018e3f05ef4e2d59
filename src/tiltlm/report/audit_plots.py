"""Plots of an audit, with their text alternatives. Knows the record and matplotlib."""

from __future__ import annotations

from tiltlm.records.audit import (
    AuditRecord,
    FindingRecord,
)
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord
from tiltlm.report.event_words import in_words
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    Plot,
    draw_rows,
    new_figure,
    plot_of,
    rows_height,
    short,
    spread,
    styled,
)
from tiltlm.report.wording import counted


def null_plot(record: AuditRecord | LogprobsAuditRecord) -> Plot:
    """The largest score of every benign change, and the suspect's."""
    return styled(_null, record)


def strength_plot(record: AuditRecord | LogprobsAuditRecord) -> Plot:
    """Strength of each finding with its interval."""
    return styled(_strengths, record)


def token_plot(finding: FindingRecord) -> Plot:
    """How the tokens of a class were shifted, against all others."""
    return styled(_tokens, finding)


def course_plot(record: TextAuditRecord) -> Plot:
    """The largest e-value as text came in, and the line above which it decides."""
    return styled(_course, record)


def _null(record: AuditRecord | LogprobsAuditRecord) -> Plot:
    figure, axes = new_figure()
    axes.hist(record.null_scores, bins=30, color=BEFORE)
    axes.set_xlabel("largest score over all classes")
    axes.set_ylabel("benign changes")
    axes.locator_params(axis="y", integer=True)
    assert record.score is not None  # a record with the scores of a null has one of its own
    axes.axvline(record.score, color=AFTER, linewidth=2)
    largest = max(record.null_scores)
    if record.score > 3 * largest:
        axes.set_xscale("log")
        # Only ticks at 1, 2 and 5 of each power of ten are labelled, so that labels do not touch.
        for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            set_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
    is_largest = record.score > largest
    axes.annotate(
        "the suspect",
        (record.score, 1.0),
        (-5 if is_largest else 5, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=AFTER,
        ha="right" if is_largest else "left",
        va="top",
    )
    below = sum(score < record.score for score in record.null_scores)
    many = counted(len(record.null_scores), "benign change")
    alt = (
        f"The suspect scores {record.score:.3g}; {below} of {many} score less, "
        f"the largest {largest:.3g}."
    )
    ordered = sorted(record.null_scores, reverse=True)
    rows = [("the suspect", f"{record.score:.4g}")]
    rows += [(f"benign change {n}", f"{score:.4g}") for n, score in enumerate(ordered, 1)]
    return plot_of(figure, alt, ("whose", "largest score"), rows)


def _strengths(record: AuditRecord | LogprobsAuditRecord) -> Plot:
    findings = record.findings
    figure, axes = new_figure(rows_height(len(findings)))
    drawn = [(short(_name(f.event, f.shown)), f.strength_nats, f.interval, AFTER) for f in findings]
    draw_rows(axes, drawn, "strength, nats")
    rows = [(f.shown, f"{f.strength_nats:+.3f}", spread(f.interval)) for f in findings]
    alt = f"Strength of {counted(len(findings), 'class', 'classes')}, with intervals."
    return plot_of(figure, alt, ("class", "strength, nats", "95 %"), rows)


def _tokens(finding: FindingRecord) -> Plot:
    figure, axes = new_figure()
    shares, name = finding.histogram, _name(finding.event, finding.shown)
    axes.stairs(
        shares.others, shares.edges, fill=True, color=BEFORE, alpha=0.6, label="all other tokens"
    )
    axes.stairs(shares.inside, shares.edges, color=AFTER, linewidth=1.8, label=short(name, 26))
    axes.set_xlabel("shift of a token, nats")
    axes.set_ylabel("share of tokens")
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.45, 1.0))
    bins = zip(shares.edges, shares.edges[1:], shares.inside, shares.others, strict=False)
    rows = [
        (f"{low:+.3f} to {high:+.3f}", f"{inside:.1%}", f"{others:.1%}")
        for low, high, inside, others in bins
        if inside or others
    ]
    alt = f"Shifts of the tokens of {name}, and of all others."
    return plot_of(figure, alt, ("shift, nats", "of the class", "of all others"), rows)


def _course(record: TextAuditRecord) -> Plot:
    figure, axes = new_figure()
    tokens, evidence = zip(*[(0, 0.0), *record.course], strict=True)
    axes.plot(tokens, evidence, color=AFTER, linewidth=1.8, marker="o", markersize=3)
    axes.axhline(record.decided_at, color=BEFORE, linewidth=1, linestyle="--")
    axes.text(tokens[-1], record.decided_at, "decided", ha="right", va="bottom")
    axes.set_ylim(min(0.0, *evidence) - 0.2, max(record.decided_at, *evidence) * 1.15)
    axes.set_xlim(left=0)
    axes.set_xlabel("tokens read")
    axes.set_ylabel("evidence, powers of ten")
    alt = (
        f"Evidence after {tokens[-1]:,} tokens is {evidence[-1]:.2f} powers of ten; "
        f"{record.decided_at:.2f} decide."
    )
    rows = [(f"{read:,}", f"{power:.2f}") for read, power in zip(tokens, evidence, strict=True)]
    return plot_of(figure, alt, ("tokens read", "evidence, powers of ten"), rows)


def _name(event: str, shown: str) -> str:
    """A class as a plot names it: in words where there are any."""
    return in_words(event) or shown
