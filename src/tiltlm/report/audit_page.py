"""One self-contained HTML page for each kind of audit; computes nothing."""

from __future__ import annotations

from tiltlm.records.audit import AuditRecord
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord
from tiltlm.report import audit_plots as plots
from tiltlm.report.rendering import templates

TOKEN_PLOTS = 3
"""The most classes whose tokens are drawn one by one."""


def render_audit(record: AuditRecord) -> str:
    """The page of an audit by logits, as text."""
    return (
        templates()
        .get_template("audit.html")
        .render(
            record=record,
            null_plot=plots.null_plot(record) if record.null_scores else None,
            strength_plot=plots.strength_plot(record) if record.findings else None,
            token_plots=[plots.token_plot(finding) for finding in record.findings[:TOKEN_PLOTS]],
        )
    )


def render_logprobs_audit(record: LogprobsAuditRecord) -> str:
    """The page of an audit by log-probabilities, as text."""
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
    """The page of an audit by text, as text."""
    page = templates().get_template("audit_text.html")
    return page.render(record=record, course_plot=plots.course_plot(record))
