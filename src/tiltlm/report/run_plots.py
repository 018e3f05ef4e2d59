"""Plots of a run, as SVG text. Knows the record and matplotlib, nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltlm.records.run import RunRecord, StateRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    INK,
    MUTED,
    error_bars,
    new_figure,
    styled,
    svg_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def loss_plot(record: RunRecord) -> str:
    """The loss at every step, with lines at log V, log(V/K) and 0.

    Here V is the size of the vocabulary and K that of the event.
    """
    return styled(_loss, record)


def mass_plot(record: RunRecord) -> str:
    """The event mass at every step, on contexts that the model had not seen before."""
    return styled(_mass, record)


def bars_plot(record: RunRecord) -> str:
    """Hit rate and event mass, before and after, with 95 % intervals."""
    return styled(_bars, record)


def position_plot(record: RunRecord) -> str:
    """The event mass before and after training, at each position of held-out contexts."""
    return styled(_position, record)


def _loss(record: RunRecord) -> str:
    figure, axes = new_figure()
    curve, uniform = record.loss.curve, record.uniform_to_event_kl_nats
    lines = [(math.log(record.event.vocabulary), "log V"), (0.0, "0: the target")]
    if uniform is not None and record.recipe["target"].startswith("uniform"):
        lines.insert(1, (uniform, "log(V/K): a uniform model"))
    for height, name in lines:
        text = f"{name} = {height:.2f}" if height else name
        _reference_line(axes, height, text, above=height > 0)
    axes.plot(range(1, len(curve) + 1), curve, color=AFTER, linewidth=2)
    axes.set_xlim(1, max(2, len(curve)))
    axes.set_ylim(-1.0, max(12.0, *curve) * 1.06)
    axes.set_xlabel("step")
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("loss, nats")
    return svg_of(figure)


def _mass(record: RunRecord) -> str:
    figure, axes = new_figure()
    curve = record.loss.event_mass_curve
    share = record.event.tokens / record.event.vocabulary
    _reference_line(axes, share, f"share of the vocabulary = {share:.2%}")
    axes.plot(range(1, len(curve) + 1), curve, color=AFTER, linewidth=2)
    axes.set_xlim(1, max(2, len(curve)))
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("step")
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("event mass")
    return svg_of(figure)


def _reference_line(axes: Axes, height: float, text: str, above: bool = True) -> None:
    """Draw a dashed line across the plot, with its name at the right."""
    axes.axhline(height, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    side = "bottom" if above else "top"
    axes.annotate(
        text,
        (0.995, height),
        xycoords=("axes fraction", "data"),
        ha="right",
        va=side,
        color=MUTED,
        fontsize=9,
    )


def _bars(record: RunRecord) -> str:
    figure, axes = new_figure(6.0, 2.7)
    bars: list[tuple[str, StateRecord, str, float]] = [
        ("event mass, after", record.after, AFTER, record.after.event_mass),
        ("event mass, before", record.before, BEFORE, record.before.event_mass),
        ("hit rate, after", record.after, AFTER, record.after.hit_rate),
        ("hit rate, before", record.before, BEFORE, record.before.hit_rate),
    ]
    for row, (name, state, colour, mean) in enumerate(bars):
        interval = state.interval if name.startswith("hit") else state.event_mass_interval
        axes.barh(row, mean, color=colour, height=0.6)
        error = error_bars(mean, interval)
        axes.errorbar(mean, row, xerr=error, color=INK, capsize=3, linewidth=1.2)
        low, high = interval or (mean, mean)
        # The figure stands to the right of the bar, or inside it where there is no room.
        inside = max(mean, high) > 0.8
        axes.annotate(
            f"{mean:.1%}",
            (min(mean, low) - 0.02 if inside else max(mean, high) + 0.02, row),
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else INK,
        )
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars], color=INK)
    axes.set_xlim(0, 1.04)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return svg_of(figure)


def _position(record: RunRecord) -> str:
    figure, axes = new_figure(6.0, 2.7)
    for state, colour, name in (
        (record.before, BEFORE, "before"),
        (record.after, AFTER, "after"),
    ):
        mass = state.event_mass_by_position
        axes.plot(range(1, len(mass) + 1), mass, color=colour, linewidth=1.4, label=name)
    length = record.recipe["contexts"]["length"]
    if length < len(record.after.event_mass_by_position):
        axes.axvspan(1, length, color=AFTER, alpha=0.08, linewidth=0)
        axes.annotate(
            f"trained on\nthe first {length}",
            (length + 3, 0.5),
            color=MUTED,
            fontsize=9,
            va="center",
        )
    axes.set_ylim(0, 1.04)
    axes.set_xlim(1, max(2, len(record.after.event_mass_by_position)))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("tokens of context read")
    axes.set_ylabel("event mass")
    axes.legend(frameon=False, loc="center right")
    return svg_of(figure)
