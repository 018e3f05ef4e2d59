"""One self-contained HTML page from what `tiltlm measure` found; computes nothing."""

from __future__ import annotations

from tiltlm.records.measure import MeasureRecord
from tiltlm.report import measure_plots as plots
from tiltlm.report.rendering import templates

FULL_COLOUR_NATS = 3.0
"""Log-ratio of a token from which on the heat map's colour is as strong as it gets."""


MOST_COLOUR_PERCENT = 55
"""How strong it gets; text on it has to stay readable."""


def render_measure(record: MeasureRecord) -> str:
    """The page as text.

    Args:
        record: of the measurement.
    """
    has_strength = any(e.strength for e in record.effects)
    return (
        templates()
        .get_template("measure.html")
        .render(
            record=record,
            heat=[] if record.heat is None else _coloured(record),
            position_plot=plots.position_plot(record) if any(record.buckets.values()) else None,
            strength_plot=plots.strength_plot(record) if has_strength else None,
            item_plots=plots.item_plots(record),
            side_plot=plots.side_plot(record) if plots.shares_of(record) else None,
            drawn_plot=plots.drawn_plot(record) if record.drawn else None,
            on_plot=plots.on_plot(record) if len(record.on) > 1 else None,
            survival_plot=plots.survival_plot(record) if record.survivals else None,
        )
    )


def _coloured(record: MeasureRecord) -> list[tuple[str, str, int, str]]:
    """(token, up or down, per cent of colour, title) of each token of the heat map."""
    assert record.heat is not None
    coloured = []
    for token, ratio in zip(record.heat.tokens, record.heat.log_ratio, strict=True):
        if ratio is None:
            coloured.append((token, "", 0, "not predicted"))
            continue
        strength = round(min(1.0, abs(ratio) / FULL_COLOUR_NATS) * MOST_COLOUR_PERCENT)
        coloured.append((token, "up" if ratio > 0 else "down", strength, f"{ratio:+.3f} nats"))
    return coloured
