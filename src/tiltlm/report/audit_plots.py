"""Plots of an audit, as SVG text. Knows the record and matplotlib, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from tiltlm.records.audit import (
    AuditRecord,
    FindingRecord,
)
from tiltlm.records.audit_logprobs import LogprobsAuditRecord, LogprobsFindingRecord
from tiltlm.records.audit_text import TextAuditRecord
from tiltlm.report.plot_style import AFTER, BEFORE, error_bars, new_figure, styled, svg_of
from tiltlm.report.wording import visible


def null_plot(record: AuditRecord | LogprobsAuditRecord) -> str:
    """The largest score of every benign change, and the suspect's."""
    return styled(_null, record)


def strength_plot(record: AuditRecord | LogprobsAuditRecord) -> str:
    """Strength of each finding with its interval."""
    return styled(_strengths, record)


def token_plot(finding: FindingRecord) -> str:
    """How the tokens of a class were shifted, against all others."""
    return styled(_tokens, finding)


def course_plot(record: TextAuditRecord) -> str:
    """The largest e-value as text came in, and the line above which it decides."""
    return styled(_course, record)


def _null(record: AuditRecord | LogprobsAuditRecord) -> str:
    figure, axes = new_figure(6.0, 2.8)
    axes.hist(record.null_scores, bins=30, color=BEFORE)
    axes.set_xlabel("largest score over all classes")
    axes.set_ylabel("benign changes")
    assert record.score is not None  # a record with the scores of a null has one of its own
    axes.axvline(record.score, color=AFTER, linewidth=2)
    highest = axes.get_ylim()[1]
    if record.score > 3 * max(record.null_scores):
        axes.set_xscale("log")
        # Only ticks at 1, 2 and 5 of each power of ten are labelled, so that labels do not touch.
        for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            set_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
    is_largest = record.score > max(record.null_scores)
    axes.text(
        record.score,
        highest * 0.95,
        "the suspect " if is_largest else " the suspect",
        color=AFTER,
        ha="right" if is_largest else "left",
        va="top",
    )
    return svg_of(figure)


def _strengths(record: AuditRecord | LogprobsAuditRecord) -> str:
    # The first finding is drawn at the top.
    findings: Sequence[FindingRecord | LogprobsFindingRecord] = record.findings[::-1]
    figure, axes = new_figure(6.0, 0.9 + 0.36 * len(findings))
    axes.axvline(0, color=BEFORE, linewidth=0.8)
    for row, finding in enumerate(findings):
        axes.errorbar(
            [finding.strength_nats],
            [row],
            xerr=error_bars(finding.strength_nats, finding.interval),
            color=AFTER,
            marker="o",
            capsize=3,
        )
    axes.set_yticks(range(len(findings)), [_short(finding.shown) for finding in findings])
    axes.set_ylim(-0.6, len(findings) - 0.4)
    axes.set_xlabel("strength, nats")
    return svg_of(figure)


def _tokens(finding: FindingRecord) -> str:
    figure, axes = new_figure(6.0, 2.8)
    shares, name = finding.histogram, _short(finding.shown)
    axes.stairs(
        shares.others, shares.edges, fill=True, color=BEFORE, alpha=0.6, label="all other tokens"
    )
    axes.stairs(shares.inside, shares.edges, color=AFTER, linewidth=1.8, label=name)
    axes.set_xlabel("shift of a token, nats")
    axes.set_ylabel("share of tokens")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return svg_of(figure)


def _course(record: TextAuditRecord) -> str:
    figure, axes = new_figure(6.0, 2.8)
    tokens, evidence = zip(*[(0, 0.0), *record.course], strict=True)
    axes.plot(tokens, evidence, color=AFTER, linewidth=1.8, marker="o", markersize=3)
    axes.axhline(record.decided_at, color=BEFORE, linewidth=1, linestyle="--")
    axes.text(0, record.decided_at, " decided", color=BEFORE, va="bottom")
    axes.set_ylim(min(0.0, *evidence) - 0.2, max(record.decided_at, *evidence) * 1.15)
    axes.set_xlim(left=0)
    axes.set_xlabel("tokens read")
    axes.set_ylabel("evidence, powers of ten")
    return svg_of(figure)


def _short(text: str) -> str:
    """A name that fits beside a plot."""
    text = visible(text)
    return text if len(text) <= 34 else text[:33] + "…"
