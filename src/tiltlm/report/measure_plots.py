"""Plots of what was measured, with their text alternatives. Knows the record and matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tiltlm.records.measure import MeasureRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    INK,
    KINDS,
    MARKERS,
    MUTED,
    Plot,
    draw_rows,
    error_bars,
    new_figure,
    plot_of,
    rows_height,
    short,
    spread,
    styled,
)
from tiltlm.report.wording import counted, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tiltlm.records.base import Estimate
    from tiltlm.records.measure import Comparison


BAND_CONTEXTS = 8
"""From so many contexts on, the interval of the event mass is drawn as a band."""


def position_plot(record: MeasureRecord) -> Plot:
    """Event mass against tokens read, one line for each kind of context."""
    return styled(_position, record)


def strength_plot(record: MeasureRecord) -> Plot:
    """The strength β̂ at each kind of context and in each language, beside the one asked for."""
    return styled(_strength, record)


def side_plot(record: MeasureRecord) -> Plot:
    """Differences of shares of pairs, model − base, with intervals."""
    return styled(_side, record)


def item_plots(record: MeasureRecord) -> list[Plot]:
    """Single items under base and model, a plot for each comparison that keeps them."""
    return [styled(_items, named) for named in record.items.items()]


def drawn_plot(record: MeasureRecord) -> Plot:
    """Hit rates of drawn text beside what base, target and model expect of it."""
    return styled(_drawn, record)


def on_plot(record: MeasureRecord) -> Plot:
    """The hit rate of each hundred tokens that were drawn in one go."""
    return styled(_on, record)


def survival_plot(record: MeasureRecord) -> Plot:
    """The strength that is left after merging with the base and after other treatments."""
    return styled(_survivals, record)


def _position(record: MeasureRecord) -> Plot:
    figure, axes = new_figure(3.3)
    rows = []
    lines = zip(KINDS, MARKERS, record.buckets.items(), strict=False)
    for colour, marker, (kind, buckets) in lines:
        positions = [max(1.0, (b.begin * b.end) ** 0.5) for b in buckets]
        models, bases = [b.model for b in buckets], [b.base for b in buckets]
        means, name = [m.mean for m in models], short(kind, 20)
        axes.plot(
            positions, means, "-", marker=marker, markersize=3, color=colour, label=name, lw=1.6
        )
        if _contexts(record, kind) >= BAND_CONTEXTS:
            lows, highs = _bounds(models)
            axes.fill_between(positions, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.plot(positions, [m.mean for m in bases], ":", color=colour, linewidth=1.6)
        rows += [
            (kind, f"{b.begin:,} to {b.end - 1:,}", f"{b.base.mean:.2%}", f"{b.model.mean:.2%}")
            for b in buckets
        ]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_major_formatter(_percent(axes))
    highest = max((b.model.mean for bs in record.buckets.values() for b in bs), default=1.0)
    axes.set_ylim(0, 1.8 * highest)  # intervals of single positions may be far wider
    axes.set_xlabel("tokens of context read")
    axes.set_ylabel("event mass (dotted: base)")
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.45, 1.0))
    alt = f"Event mass by tokens read, at {counted(len(record.buckets), 'kind')} of contexts."
    return plot_of(figure, alt, ("contexts", "tokens read", "base", "model"), rows)


def _contexts(record: MeasureRecord, kind: str) -> int:
    return next((e.contexts for e in record.effects if e.kind == kind), 0)


def _bounds(means: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """The lower and the upper ends of intervals; the mean itself where there is none."""
    intervals = [m.interval or (m.mean, m.mean) for m in means]
    return [low for low, _ in intervals], [high for _, high in intervals]


def _items(named: tuple[str, list[tuple[float, float]]]) -> Plot:
    figure, axes = new_figure()
    name, pairs = named
    base, model = [b for b, _ in pairs], [m for _, m in pairs]
    low, high = min(base + model), max(base + model)
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8)
    axes.scatter(base, model, s=9, color=AFTER, alpha=0.5, linewidth=0)
    axes.set_title(short(name))
    axes.set_xlabel("base")
    axes.set_ylabel("model")
    alt = f"{counted(len(pairs), 'item')} of {visible(name)} under base and model."
    rows = [(f"{b:.4g}", f"{m:.4g}") for b, m in pairs]
    return plot_of(figure, alt, ("base", "model"), rows)


def _percent(axes: Axes) -> str:
    """A format for ticks that are shares."""
    return "{x:.1%}" if axes.get_ylim()[1] < 0.1 else "{x:.0%}"


def _strength(record: MeasureRecord) -> Plot:
    effects = [e for e in [*record.effects, *record.languages] if e.strength is not None]
    figure, axes = new_figure(rows_height(len(effects)))
    if record.wished_strength is not None:
        axes.axvline(record.wished_strength, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    drawn, rows = [], []
    for effect in effects:
        assert effect.strength is not None
        mean, interval = effect.strength.mean, effect.strength.interval
        colour = AFTER if effect in record.effects else BEFORE
        drawn.append((short(effect.kind), mean, interval, colour))
        rows.append((effect.kind, f"{mean:+.3f}", spread(interval)))
    draw_rows(axes, drawn, "strength found, nats (dashed: wished)")
    alt = f"Strength at {counted(len(effects), 'kind')} of contexts, with intervals."
    return plot_of(figure, alt, ("contexts", "strength, nats", "95 %"), rows)


def shares_of(record: MeasureRecord) -> list[Comparison]:
    """The comparisons of a measurement that are of shares of minimal pairs."""
    return [c for c in record.comparisons if c.unit == "pair" and c.base is not None]


def _side(record: MeasureRecord) -> Plot:
    shares = shares_of(record)
    figure, axes = new_figure(rows_height(len(shares)))
    drawn, rows = [], []
    for share in shares:
        masses = f"{share.base:.0%} → {share.model:.0%}"
        name = f"{short(share.name, 32)}  {masses}"
        colour = AFTER if share.different else BEFORE
        drawn.append((name, share.difference, share.interval, colour))
        rows.append((share.name, masses, f"{share.difference:+.1%}", spread(share.interval)))
    draw_rows(axes, drawn, "difference of shares, model − base")
    axes.xaxis.set_major_formatter("{x:+.0%}")
    alt = f"Differences of {counted(len(shares), 'share')} of minimal pairs, with intervals."
    return plot_of(figure, alt, ("pairs", "base → model", "difference", "95 %"), rows)


def _drawn(record: MeasureRecord) -> Plot:
    figure, axes = new_figure(3.3)
    rows = []
    for number, drawn in enumerate(record.drawn):
        way = f"T {drawn.temperature:g}, top-p {drawn.top_p:g}"
        for shift, name, mean, colour, marker in (
            (-0.27, "base, expected", drawn.base, BEFORE, "s"),
            (-0.09, "exact target, expected", drawn.target, INK, "D"),
            (0.09, "model, expected", drawn.expected, KINDS[1], "^"),
            (0.27, "model, drawn", drawn.hit_rate, AFTER, "o"),
        ):
            axes.errorbar(
                number + shift,
                mean.mean,
                yerr=error_bars(mean.mean, mean.interval),
                fmt=marker,
                color=colour,
                markersize=5,
                capsize=3,
                label=name if number == 0 else None,
            )
            rows.append((way, name, f"{mean.mean:.2%}", spread(mean.interval, "{:.2%}")))
    names = [f"T {d.temperature:g}\ntop-p {d.top_p:g}" for d in record.drawn]
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_percent(axes))
    axes.set_ylabel("share of tokens in the event")
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.42, 1.0), columnspacing=1)
    ways = counted(len(names), "way")
    alt = f"Hit rates of drawn text beside their expectation, {ways} of drawing."
    return plot_of(figure, alt, ("drawn at", "whose", "share", "95 %"), rows)


def _on(record: MeasureRecord) -> Plot:
    figure, axes = new_figure()
    middles = [100 * n + 50 for n in range(len(record.on))]
    lows, highs = _bounds(record.on)
    axes.fill_between(middles, lows, highs, color=AFTER, alpha=0.15, linewidth=0)
    axes.plot(middles, [m.mean for m in record.on], "o-", color=AFTER, markersize=4)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_percent(axes))
    axes.set_xlabel("tokens drawn")
    axes.set_ylabel("hit rate of each hundred")
    rows = [
        (f"{100 * n + 1:,} to {100 * n + 100:,}", f"{m.mean:.2%}", spread(m.interval, "{:.2%}"))
        for n, m in enumerate(record.on)
    ]
    alt = f"Hit rate of each of {len(rows)} hundred drawn tokens, with intervals."
    return plot_of(figure, alt, ("tokens", "hit rate", "95 %"), rows)


def _survivals(record: MeasureRecord) -> Plot:
    measured = [s for s in record.survivals if s.strength is not None]
    figure, axes = new_figure(rows_height(len(measured)))
    drawn, rows = [], []
    for survival in measured:
        assert survival.strength is not None
        name = visible(survival.treatment)
        if survival.treatment == "merged":
            name = f"merged, {float(survival.amount or 0):.0%} of the model"
        elif survival.amount is not None:
            name += f", {survival.amount:g} steps"
        mean, interval = survival.strength.mean, survival.strength.interval
        colour = AFTER if survival.treatment == "merged" else KINDS[1]
        drawn.append((short(name), mean, interval, colour))
        rows.append((name, f"{mean:+.3f}", spread(interval)))
    draw_rows(axes, drawn, "strength found, nats")
    alt = f"Strength that is left after {counted(len(rows), 'treatment')}, with intervals."
    return plot_of(figure, alt, ("treatment", "strength, nats", "95 %"), rows)
