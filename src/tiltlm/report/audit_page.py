"""Self-contained HTML pages from what `tiltlm audit` found; compute nothing."""

from __future__ import annotations

from tiltlm.records.audit import AuditRecord, LogprobsAuditRecord, TextAuditRecord
from tiltlm.report import audit_plots as plots
from tiltlm.report.templates import templates


def render_audit(record: AuditRecord) -> str:
    """The page as text."""
    return (
        templates()
        .get_template("audit.html")
        .render(
            record=record,
            null_plot=plots.null_plot(record) if record.null_scores else None,
            strength_plot=plots.strength_plot(record) if record.findings else None,
            token_plots=[plots.token_plot(found) for found in record.findings[:3]],
        )
    )


def render_logprobs_audit(record: LogprobsAuditRecord) -> str:
    """The page of an audit by log-probabilities."""
    return (
        templates()
        .get_template("audit_logprobs.html")
        .render(
            record=record,
            null_plot=plots.null_plot(record) if record.null_scores else None,
            strength_plot=plots.strength_plot(record) if record.findings else None,
        )
    )


def render_text_audit(record: TextAuditRecord) -> str:
    """The page of an audit by text."""
    page = templates().get_template("audit_text.html")
    return page.render(record=record, course_plot=plots.course_plot(record))
