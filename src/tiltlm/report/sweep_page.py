"""Dose and response as one figure and one page; computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tiltlm.records.base import Estimate
from tiltlm.records.sweep import SweepPoint, SweepRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    MUTED,
    Plot,
    error_bars,
    new_figure,
    plot_of,
    short,
    spread,
    styled,
)
from tiltlm.report.rendering import templates
from tiltlm.report.wording import visible

SIDE_EFFECTS = ("bits per byte of text", "BLiMP, all", "BLiMP, all, nats")
"""The comparisons that are shown beside the effect, where they were made."""

Response = Callable[[SweepPoint], Estimate | None]
"""Reads one figure off a point."""


def render_sweep(record: SweepRecord) -> str:
    """The page as text.

    Args:
        record: of the sweep.
    """
    shown = responses(record)
    return (
        templates()
        .get_template("sweep.html")
        .render(
            record=record,
            recipe=record.points[0].recipe,
            plots=sweep_plots(record),
            names=(record.over, *(name for name, _ in shown)),
            rows=[(_value(p), [response(p) for _, response in shown]) for p in record.points],
        )
    )


def responses(record: SweepRecord) -> list[tuple[str, Response]]:
    """What is shown of each point, by name: strength, mass, collateral, measured side effects."""
    effect: list[tuple[str, Response]] = [
        ("strength found, nats", lambda point: point.measure.effects[0].strength),
        ("event mass", lambda point: point.measure.effects[0].mass_model),
        ("collateral, nats", lambda point: point.measure.effects[0].collateral),
    ]
    measured = {comparison.name for comparison in record.points[0].measure.comparisons}
    side = [(f"{n}, difference", _difference(n)) for n in SIDE_EFFECTS if n in measured]
    return effect + side


def _difference(name: str) -> Response:
    """Reads the difference of a comparison off a point."""

    def response(point: SweepPoint) -> Estimate | None:
        for comparison in point.measure.comparisons:
            if comparison.name == name:
                return Estimate(comparison.difference, comparison.interval)
        return None

    return response


def sweep_plots(record: SweepRecord) -> list[Plot]:
    """A plot for each response."""
    return [styled(partial(_plot, *named), record) for named in responses(record)]


def _plot(name: str, response: Response, record: SweepRecord) -> Plot:
    figure, axes = new_figure(3.0)
    numeric = all(isinstance(p.value, float) for p in record.points)
    values = [float(p.value) if numeric else n for n, p in enumerate(record.points)]
    means = zip(values, map(response, record.points), strict=True)
    measured = [(x, mean) for x, mean in means if mean is not None]
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.plot([x for x, _ in measured], [m.mean for _, m in measured], color=AFTER, lw=1.3)
    for x, mean in measured:
        axes.errorbar(
            x, mean.mean, yerr=error_bars(mean.mean, mean.interval), fmt="o", color=AFTER,
            capsize=3, markersize=4,
        )  # fmt: skip
    if name.startswith("strength") and record.over == "strength":
        # Where the strength found is the one asked for.
        axes.plot(values, values, color=BEFORE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.set_title(short(name))
    axes.set_xlabel(visible(record.over))
    if not numeric:
        axes.set_xticks(values, [short(str(p.value), 12) for p in record.points])
    cells = [(_value(p), response(p)) for p in record.points]
    rows = [
        (value, *(("–", "–") if m is None else (f"{m.mean:.4g}", spread(m.interval, "{:.4g}"))))
        for value, m in cells
    ]
    alt = f"{name} at {len(values)} values of {record.over}, with intervals."
    return plot_of(figure, alt, (record.over, name, "95 %"), rows)


def _value(point: SweepPoint) -> str:
    return f"{point.value:g}" if isinstance(point.value, float) else point.value
