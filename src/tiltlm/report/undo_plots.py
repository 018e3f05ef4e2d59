"""The plots of an undoing: the curve of an interpolation, and how the tilt returns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tiltlm.records.undo import RelapseKind, RelapsePoint, UndoRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    KINDS,
    MUTED,
    error_bars,
    new_figure,
    styled,
    svg_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES: dict[RelapseKind, str] = {
    "kl": "trained on the divergence from the tilt",
    "data": "trained on texts under the tilt",
}


def curve_plot(record: UndoRecord) -> str:
    """Strength of each event by the share of the model that is left, as SVG.

    Args:
        record: of an undo by interpolation.
    """
    return styled(_curve, record)


def relapse_plots(record: UndoRecord) -> list[str]:
    """How the first event's strength returns, undone and never tilted, a plot for each way.

    Args:
        record: with relapse curves.
    """
    return [styled(partial(_relapse, kind), record) for kind in _TITLES]


def _curve(record: UndoRecord) -> str:
    figure, axes = new_figure()
    for number, left in enumerate(record.left):
        shares = [point.share for point in record.curve]
        means = [point.strengths[number].mean for point in record.curve]
        colour = KINDS[number % len(KINDS)]
        axes.plot(shares, means, "o-", color=colour, label=left.event[:40])
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("share of the model that is left")
    axes.set_ylabel("strength, nats")
    axes.legend(frameon=False)
    return svg_of(figure)


def _relapse(kind: RelapseKind, record: UndoRecord) -> str:
    figure, axes = new_figure()
    for who, colour in (("undone", AFTER), ("never tilted", BEFORE)):
        points = [p for p in record.relapse if p.by == kind and p.model == who]
        _line(axes, sorted(points, key=lambda p: p.step), colour, who)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_title(_TITLES[kind], fontsize=10)
    axes.set_xlabel("steps")
    axes.set_ylabel("strength, nats")
    axes.legend(frameon=False)
    return svg_of(figure)


def _line(axes: Axes, points: list[RelapsePoint], colour: str, label: str) -> None:
    steps = [point.step for point in points]
    means = [point.strengths[0].mean for point in points]
    axes.plot(steps, means, "-", color=colour, label=label)
    for point in points:
        first = point.strengths[0]
        axes.errorbar(
            [point.step], [first.mean], yerr=error_bars(first.mean, first.interval),
            fmt="o", color=colour,
        )  # fmt: skip
