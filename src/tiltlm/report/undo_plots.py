"""The plots of an undoing: the curve of an interpolation, and how the tilt returns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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
    rows = []
    for number, left in enumerate(record.left):
        shares = [point.share for point in record.curve]
        strengths = [point.strengths[number] for point in record.curve]
        line = MARKERS[number % len(MARKERS)] + "-"
        colour, means = KINDS[number % len(KINDS)], [s.mean for s in strengths]
        axes.plot(shares, means, line, color=colour, label=short(left.event, 24))
        rows += [
            (left.event, f"{share:.2f}", f"{strength.mean:+.3f}", spread(strength.interval))
            for share, strength in zip(shares, strengths, strict=True)
        ]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("share of the model that is left")
    axes.set_ylabel("strength, nats")
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.45, 1.0))
    alt = f"Strength by the share of the model that is left, at {len(record.curve)} mixtures."
    return plot_of(figure, alt, ("event", "share", "strength, nats", "95 %"), rows)


def _relapse(kind: RelapseKind, record: UndoRecord) -> Plot:
    figure, axes = new_figure()
    rows = []
    for who, colour, line in (("undone", AFTER, "-"), ("never tilted", BEFORE, "--")):
        found = [p for p in record.relapse if p.by == kind and p.model == who]
        points = sorted(found, key=lambda p: p.step)
        _line(axes, points, colour, line, who)
        rows += [
            (who, f"{p.step}", f"{p.strengths[0].mean:+.3f}", spread(p.strengths[0].interval))
            for p in points
        ]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_title(_TITLES[kind], pad=22)
    axes.set_xlabel("steps")
    axes.set_ylabel("strength, nats")
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.45, 1.0))
    alt = f"How the strength returns in a model {_TITLES[kind]}, undone and never tilted."
    return plot_of(figure, alt, ("model", "steps", "strength, nats", "95 %"), rows)


def _line(axes: Axes, points: list[RelapsePoint], colour: str, line: str, label: str) -> None:
    steps = [point.step for point in points]
    means = [point.strengths[0].mean for point in points]
    axes.plot(steps, means, line, color=colour, label=label)
    for point in points:
        first = point.strengths[0]
        axes.errorbar(
            [point.step], [first.mean], yerr=error_bars(first.mean, first.interval),
            fmt="o", color=colour,
        )  # fmt: skip
