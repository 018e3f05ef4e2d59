"""Plots of a run's record, as SVG text. Knows the record and matplotlib, nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltlm.losses.divergences import uniform_to_event_kl_nats
from tiltlm.records.run import RunRecord, StateRecord
from tiltlm.report.svg import AFTER, BEFORE, INK, MUTED, new_figure, reach, styled, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def loss_plot(record: RunRecord) -> str:
    """The loss at every step, with lines at log V, log(V/K) and 0."""
    return styled(_loss, record)


def mass_plot(record: RunRecord) -> str:
    """The event mass at every step, on contexts that the model had not seen."""
    return styled(_mass, record)


def bars_plot(record: RunRecord) -> str:
    """Hit rate and event mass, before and after, with 95 % intervals."""
    return styled(_bars, record)


def position_plot(record: RunRecord) -> str:
    """The event mass after training at each position of held-out contexts."""
    return styled(_position, record)


def _loss(record: RunRecord) -> str:
    figure, axes = new_figure()
    curve = record.loss.curve
    event = record.event
    lines = [(math.log(event.vocabulary), "log V"), (0.0, "0: the target")]
    if record.recipe["target"].startswith("uniform"):
        start = uniform_to_event_kl_nats(event.tokens, event.vocabulary)
        lines.insert(1, (start, "log(V/K): a uniform model"))
    for height, name in lines:
        _reference(axes, height, f"{name} = {height:.2f}" if height else name, above=height > 0)
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
    _reference(axes, share, f"share of the vocabulary = {share:.2%}")
    axes.plot(range(1, len(curve) + 1), curve, color=AFTER, linewidth=2)
    axes.set_xlim(1, max(2, len(curve)))
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("step")
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("event mass")
    return svg_of(figure)


def _reference(axes: Axes, height: float, text: str, above: bool = True) -> None:
    """A dashed line across the plot with its name at the right."""
    axes.axhline(height, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    place, frame = (0.995, height), ("axes fraction", "data")
    side = "bottom" if above else "top"
    axes.annotate(text, place, xycoords=frame, ha="right", va=side, color=MUTED, fontsize=9)


def _bars(record: RunRecord) -> str:
    figure, axes = new_figure(6.0, 2.7)
    rows: list[tuple[str, StateRecord, str, float]] = [
        ("event mass, after", record.after, AFTER, record.after.event_mass),
        ("event mass, before", record.before, BEFORE, record.before.event_mass),
        ("hit rate, after", record.after, AFTER, record.after.hit_rate),
        ("hit rate, before", record.before, BEFORE, record.before.hit_rate),
    ]
    for place, (name, state, colour, mean) in enumerate(rows):
        interval = state.interval if name.startswith("hit") else state.event_mass_interval
        axes.barh(place, mean, color=colour, height=0.6)
        axes.errorbar(mean, place, xerr=reach(mean, interval), color=INK, capsize=3, linewidth=1.2)
        end = max(mean, interval[1] if interval else mean)
        inside = end > 0.8
        low = interval[0] if interval else mean
        axes.annotate(
            f"{mean:.1%}",
            (min(mean, low) - 0.02 if inside else end + 0.02, place),
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else INK,
        )
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], color=INK)
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
