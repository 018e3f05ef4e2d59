"""The plots of an undoing: the curve of an interpolation, and how the tilt returns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tiltlm.records.base import Estimate
from tiltlm.records.undo import RelapseKind, RelapsePoint, UndoRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    KINDS,
    MARKERS,
    MUTED,
    Plot,
    error_bars,
    new_figure,
    plot_of,
    short,
    spread,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES: dict[RelapseKind, str] = {
    "kl": "trained on the divergence from the tilt",
    "data": "trained on texts under the tilt",
}


def curve_plot(record: UndoRecord) -> Plot:
    """Strength of each event by the share of the model that is left.

    Args:
        record: of an undo by interpolation.
    """
    return styled(_curve, record)


def relapse_plots(record: UndoRecord) -> list[Plot]:
    """How the first event's strength returns, undone and never tilted, a plot for each way.

    Args:
        record: with relapse curves.
    """
    return [styled(partial(_relapse, kind), record) for kind in _TITLES]


def _curve(record: UndoRecord) -> Plot:
    figure, axes = new_figure()
    shares = [point.share for point in record.curve]
    for number, left in enumerate(record.left):
        means = [point.strengths[number].mean for point in record.curve]
        colour, marker = KINDS[number % len(KINDS)], MARKERS[number % len(MARKERS)]
        axes.plot(shares, means, color=colour, marker=marker, label=short(left.event))
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("share of the model that is left")
    axes.set_ylabel("strength, nats")
    axes.legend()
    rows = [
        [f"{point.share:.2f}", *(_spread_of(strength) for strength in point.strengths)]
        for point in record.curve
    ]
    names = ["share of the model", *(left.event for left in record.left)]
    return plot_of(figure, "Strength by how much of the model is left.", names, rows)


def _relapse(kind: RelapseKind, record: UndoRecord) -> Plot:
    figure, axes = new_figure()
    rows = []
    for who, colour in (("undone", AFTER), ("never tilted", BEFORE)):
        points = [p for p in record.relapse if p.by == kind and p.model == who]
        points.sort(key=lambda p: p.step)
        _line(axes, points, colour, who)
        rows += [[who, str(p.step), _spread_of(p.strengths[0])] for p in points]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel(f"steps, {_TITLES[kind]}")
    axes.set_ylabel("strength, nats")
    axes.legend()
    alt = f"How strong the tilt is again after some steps, {_TITLES[kind]}."
    return plot_of(figure, alt, ("model", "steps", "strength, nats"), rows)


def _line(axes: Axes, points: list[RelapsePoint], colour: str, label: str) -> None:
    steps = [point.step for point in points]
    means = [point.strengths[0].mean for point in points]
    axes.plot(steps, means, color=colour, label=label)
    for point in points:
        first = point.strengths[0]
        axes.errorbar(
            [point.step], [first.mean], yerr=error_bars(first.mean, first.interval),
            fmt="o", color=colour,
        )  # fmt: skip


def _spread_of(estimate: Estimate) -> str:
    """A strength with its interval, as tables have it, in nats."""
    return f"{estimate.mean:+.3f} {spread(estimate.interval)}".strip()
