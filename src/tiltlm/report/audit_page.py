"""One self-contained HTML page from what `tiltlm audit` found; computes nothing."""

from __future__ import annotations

from tiltlm.audit_records import AuditRecord
from tiltlm.report import audit_plots as plots
from tiltlm.report.page import templates


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
