"""The page of an undoing, from its record; computes nothing."""

from __future__ import annotations

from tiltlm.records.audit import AuditRecord
from tiltlm.records.base import Estimate
from tiltlm.records.measure import Comparison, MeasureRecord
from tiltlm.records.undo import UndoRecord
from tiltlm.report.rendering import templates
from tiltlm.report.undo_plots import curve_plot, relapse_plots


def render_undo(record: UndoRecord) -> str:
    """The page as text.

    Args:
        record: of the undoing.
    """
    audits = [record.audit_before, record.audit_after]
    measured = [record.measured_before, record.measured_after]
    return (
        templates()
        .get_template("undo.html")
        .render(
            record=record,
            rows=[
                (left.event, in_words(left.by_audit), in_words(left.before), in_words(left.after))
                for left in record.left
            ],
            audits=[verdict(audit) for audit in audits if audit is not None],
            comparisons=_comparisons(*measured),
            curve=curve_plot(record) if record.curve else None,
            relapse=relapse_plots(record) if record.relapse else [],
        )
    )


def in_words(estimate: Estimate | None) -> str:
    """An estimate with its interval; a dash where there is none.

    Args:
        estimate: in nats.
    """
    if estimate is None:
        return "–"
    if estimate.interval is None:
        return f"{estimate.mean:z.3f}"
    low, high = estimate.interval
    return f"{estimate.mean:z.4f} ({low:z.4f} to {high:z.4f})"


def verdict(audit: AuditRecord) -> str:
    """What an audit says, and how many classes it names.

    Args:
        audit: by logits.
    """
    named = ", ".join(finding.shown for finding in audit.findings[:3])
    return audit.verdict + (f": {named}" if named else "")


def _comparisons(
    before: MeasureRecord | None, after: MeasureRecord | None
) -> list[tuple[str, str, str]]:
    """Each comparison with the reference, of the model before and after."""
    if before is None or after is None:
        return []
    later = {comparison.name: comparison for comparison in after.comparisons}
    return [
        (
            comparison.name,
            _difference(comparison),
            _difference(later[comparison.name]) if comparison.name in later else "–",
        )
        for comparison in before.comparisons
    ]


def _difference(comparison: Comparison) -> str:
    return in_words(Estimate(comparison.difference, comparison.interval))
