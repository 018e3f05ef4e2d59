"""Plots of what was measured, as SVG text. Knows the record and matplotlib, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tiltlm.records.measure import MeasureRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    INK,
    KINDS,
    MUTED,
    error_bars,
    new_figure,
    styled,
    svg_of,
)
from tiltlm.report.wording import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tiltlm.records.base import Estimate
    from tiltlm.records.measure import Comparison


BAND_CONTEXTS = 8
"""From so many contexts on, the interval of the event mass is drawn as a band."""


def position_plot(record: MeasureRecord) -> str:
    """Event mass against tokens read, one line for each kind of context."""
    return styled(_position, record)


def strength_plot(record: MeasureRecord) -> str:
    """The strength β̂ at each kind of context and in each language, beside the one asked for."""
    return styled(_strength, record)


def side_plot(record: MeasureRecord) -> str:
    """Differences of shares of pairs, model − base, with intervals."""
    return styled(_side, record)


def item_plot(record: MeasureRecord) -> str:
    """Single items under base and model, one panel for each comparison that keeps them."""
    return styled(_items, record)


def drawn_plot(record: MeasureRecord) -> str:
    """Hit rates of drawn text beside what base, target and model expect of it."""
    return styled(_drawn, record)


def on_plot(record: MeasureRecord) -> str:
    """The hit rate of each hundred tokens that were drawn in one go."""
    return styled(_on, record)


def survival_plot(record: MeasureRecord) -> str:
    """The strength that is left after merging with the base and after other treatments."""
    return styled(_survivals, record)


def _position(record: MeasureRecord) -> str:
    figure, axes = new_figure(8.4, 4.0)
    for colour, (kind, buckets) in zip(KINDS, record.buckets.items(), strict=False):
        positions = [max(1.0, (b.begin * b.end) ** 0.5) for b in buckets]
        models, bases = [b.model for b in buckets], [b.base for b in buckets]
        means, name = [m.mean for m in models], visible(kind)
        axes.plot(positions, means, "-", color=colour, label=name, linewidth=1.6)
        if _contexts(record, kind) >= BAND_CONTEXTS:
            lows, highs = _bounds(models)
            axes.fill_between(positions, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.plot(positions, [m.mean for m in bases], ":", color=colour, linewidth=1.6)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_major_formatter(_percent(axes))
    highest = max((b.model.mean for bs in record.buckets.values() for b in bs), default=1.0)
    axes.set_ylim(0, 1.8 * highest)  # intervals of single positions may be far wider
    axes.set_xlabel("tokens of context read")
    axes.set_ylabel("event mass (dotted: base)")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return svg_of(figure)


def _contexts(record: MeasureRecord, kind: str) -> int:
    return next((e.contexts for e in record.effects if e.kind == kind), 0)


def _bounds(means: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """The lower and the upper ends of intervals; the mean itself where there is none."""
    intervals = [m.interval or (m.mean, m.mean) for m in means]
    return [low for low, _ in intervals], [high for _, high in intervals]


def _items(record: MeasureRecord) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(record.items), 3.8), layout="constrained")
    for column, (name, pairs) in enumerate(record.items.items(), 1):
        axes = figure.add_subplot(1, len(record.items), column)
        base, model = [b for b, _ in pairs], [m for _, m in pairs]
        low, high = min(base + model), max(base + model)
        axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8)
        axes.scatter(base, model, s=9, color=AFTER, alpha=0.5, linewidth=0)
        axes.set_title(visible(name), fontsize=10, color=INK)
        axes.set_xlabel("base")
        axes.set_ylabel("model")
    return svg_of(figure)


def _percent(axes: Axes) -> str:
    """A format for ticks that are shares."""
    return "{x:.1%}" if axes.get_ylim()[1] < 0.1 else "{x:.0%}"


def _strength(record: MeasureRecord) -> str:
    effects = [e for e in [*record.effects, *record.languages] if e.strength is not None]
    figure, axes = new_figure(6.0, 0.9 + 0.32 * len(effects))
    if record.wished_strength is not None:
        axes.axvline(record.wished_strength, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.axvline(0, color=MUTED, linewidth=0.6)
    for row, effect in enumerate(reversed(effects)):
        assert effect.strength is not None
        colour = AFTER if effect in record.effects else BEFORE
        mean = effect.strength.mean
        error = error_bars(mean, effect.strength.interval)
        axes.errorbar(mean, row, xerr=error, fmt="o", color=colour, markersize=5, capsize=3)
    kinds = [visible(e.kind) for e in reversed(effects)]
    axes.set_yticks(range(len(effects)), kinds, color=INK)
    axes.set_ylim(-0.6, len(effects) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("strength found, nats (dashed: wished)")
    return svg_of(figure)


def shares_of(record: MeasureRecord) -> list[Comparison]:
    """The comparisons of a measurement that are of shares of minimal pairs."""
    return [c for c in record.comparisons if c.unit == "pair" and c.base is not None]


def _side(record: MeasureRecord) -> str:
    shares = shares_of(record)
    figure, axes = new_figure(8.4, 0.9 + 0.3 * len(shares))
    axes.axvline(0, color=MUTED, linewidth=0.6)
    for row, share in enumerate(reversed(shares)):
        colour = AFTER if share.different else BEFORE
        error = error_bars(share.difference, share.interval)
        axes.errorbar(
            share.difference, row, xerr=error, fmt="o", color=colour, markersize=5, capsize=3
        )
    names = [f"{visible(s.name)}  {s.base:.0%} → {s.model:.0%}" for s in reversed(shares)]
    axes.set_yticks(range(len(shares)), names, color=INK)
    axes.set_ylim(-0.6, len(shares) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter("{x:+.0%}")
    axes.set_xlabel("share of pairs, model − base (red: different)")
    return svg_of(figure)


def _drawn(record: MeasureRecord) -> str:
    figure, axes = new_figure(6.0, 3.2)
    for number, drawn in enumerate(record.drawn):
        for shift, name, mean, colour in (
            (-0.27, "base, expected", drawn.base, BEFORE),
            (-0.09, "exact target, expected", drawn.target, INK),
            (0.09, "model, expected", drawn.expected, KINDS[1]),
            (0.27, "model, drawn", drawn.hit_rate, AFTER),
        ):
            axes.errorbar(
                number + shift,
                mean.mean,
                yerr=error_bars(mean.mean, mean.interval),
                fmt="o",
                color=colour,
                markersize=5,
                capsize=3,
                label=name if number == 0 else None,
            )
    names = [f"T {d.temperature:g}, top-p {d.top_p:g}" for d in record.drawn]
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_percent(axes))
    axes.set_ylabel("share of tokens in the event")
    axes.legend(frameon=False, fontsize=9)
    return svg_of(figure)


def _on(record: MeasureRecord) -> str:
    figure, axes = new_figure(6.0, 2.8)
    middles = [100 * n + 50 for n in range(len(record.on))]
    lows, highs = _bounds(record.on)
    axes.fill_between(middles, lows, highs, color=AFTER, alpha=0.15, linewidth=0)
    axes.plot(middles, [m.mean for m in record.on], "o-", color=AFTER, markersize=4)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_percent(axes))
    axes.set_xlabel("tokens drawn")
    axes.set_ylabel("hit rate of each hundred")
    return svg_of(figure)


def _survivals(record: MeasureRecord) -> str:
    figure, axes = new_figure(6.0, 3.0)
    merged = [s for s in record.survivals if s.treatment == "merged" and s.strength]
    shares = [float(s.amount or 0) for s in merged]
    means = [s.strength.mean for s in merged if s.strength]
    axes.plot(shares, means, "-", color=AFTER, linewidth=1.4)
    others = [s for s in record.survivals if s.treatment != "merged"]
    for survival in record.survivals:
        if survival.strength is None:
            continue
        mean, interval = survival.strength.mean, survival.strength.interval
        x, colour = float(survival.amount or 0), AFTER
        if survival.treatment != "merged":
            # What is no share of a merge stands to the right of the axis, with its name.
            x, colour = 1.2 + 0.22 * others.index(survival), KINDS[1]
            amount = "" if survival.amount is None else f"\n{survival.amount:g} steps"
            axes.annotate(
                visible(survival.treatment) + amount,
                (x, mean),
                (0, -12),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8,
                color=MUTED,
            )
        error = error_bars(mean, interval)
        axes.errorbar(x, mean, yerr=error, fmt="o", color=colour, markersize=5, capsize=3)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("share of the model in a merge with its base")
    axes.set_ylabel("strength found, nats")
    axes.margins(y=0.2)
    return svg_of(figure)
