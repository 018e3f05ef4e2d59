"""Plots of an audit, as SVG text. Knows the record and matplotlib, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from tiltlm.records.audit import (
    AuditRecord,
    FindingRecord,
    LogprobsAuditRecord,
    LogprobsFindingRecord,
    TextAuditRecord,
)
from tiltlm.report.svg import AFTER, BEFORE, new_figure, reach, styled, svg_of


def null_plot(record: AuditRecord | LogprobsAuditRecord) -> str:
    """The largest score of every benign change, and the suspect's."""
    return styled(_null, record)


def strength_plot(record: AuditRecord | LogprobsAuditRecord) -> str:
    """Strength of each finding with its interval."""
    return styled(_strengths, record)


def token_plot(found: FindingRecord) -> str:
    """How the tokens of a class were shifted, against all others."""
    return styled(_tokens, found)


def course_plot(record: TextAuditRecord) -> str:
    """The largest e-value as text came in, and where it decides."""
    return styled(_course, record)


def _null(record: AuditRecord | LogprobsAuditRecord) -> str:
    figure, axes = new_figure(6.0, 2.8)
    axes.hist(record.null_scores, bins=30, color=BEFORE)
    axes.set_xlabel("largest score over all classes")
    axes.set_ylabel("benign changes")
    assert record.score is not None
    axes.axvline(record.score, color=AFTER, linewidth=2)
    highest = axes.get_ylim()[1]
    if record.score > 3 * max(record.null_scores):
        axes.set_xscale("log")
        for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            axis(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
    right = record.score > max(record.null_scores)
    axes.text(
        record.score,
        highest * 0.95,
        "the suspect " if right else " the suspect",
        color=AFTER,
        ha="right" if right else "left",
        va="top",
    )
    return svg_of(figure)


def _strengths(record: AuditRecord | LogprobsAuditRecord) -> str:
    found: Sequence[FindingRecord | LogprobsFindingRecord] = record.findings[::-1]
    figure, axes = new_figure(6.0, 0.9 + 0.36 * len(found))
    axes.axvline(0, color=BEFORE, linewidth=0.8)
    for place, one in enumerate(found):
        axes.errorbar(
            [one.strength_nats],
            [place],
            xerr=reach(one.strength_nats, one.interval),
            color=AFTER,
            marker="o",
            capsize=3,
        )
    axes.set_yticks(range(len(found)), [_short(one.shown) for one in found])
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.set_xlabel("strength, nats")
    return svg_of(figure)


def _tokens(found: FindingRecord) -> str:
    figure, axes = new_figure(6.0, 2.8)
    shape = found.histogram
    axes.stairs(
        shape.others, shape.edges, fill=True, color=BEFORE, alpha=0.6, label="all other tokens"
    )
    axes.stairs(shape.inside, shape.edges, color=AFTER, linewidth=1.8, label=_short(found.shown))
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
    return text if len(text) <= 34 else text[:33] + "…"
