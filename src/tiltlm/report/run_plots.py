"""Plots of a run, with their text alternatives. Knows the record and matplotlib, nothing else."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from tiltlm.records.run import RunRecord, StateRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    INK,
    MUTED,
    PAPER,
    Plot,
    error_bars,
    new_figure,
    plot_of,
    spread,
    styled,
)
from tiltlm.strings.catalogue import Strings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def loss_plot(record: RunRecord, strings: Strings) -> Plot:
    """The loss at every step, with lines at log V, log(V/K) and 0.

    Here V is the size of the vocabulary and K that of the event.
    """
    return styled(partial(_loss, strings), record)


def mass_plot(record: RunRecord, strings: Strings) -> Plot:
    """The event mass at every step, on contexts that the model had not seen before."""
    return styled(partial(_mass, strings), record)


def bars_plot(record: RunRecord, strings: Strings) -> Plot:
    """Hit rate and event mass, before and after, with 95 % intervals."""
    return styled(partial(_bars, strings), record)


def position_plot(record: RunRecord, strings: Strings) -> Plot:
    """The event mass before and after training, at each position of held-out contexts."""
    return styled(partial(_position, strings), record)


def _loss(strings: Strings, record: RunRecord) -> Plot:
    figure, axes = new_figure()
    say, curve, uniform = strings.text, record.loss.curve, record.uniform_to_event_kl_nats
    log_v = math.log(record.event.vocabulary)
    _reference_line(axes, log_v, say("run.plots.log_v", nats=f"{log_v:.2f}"))
    if uniform is not None and record.recipe["target"].startswith("uniform"):
        _reference_line(axes, uniform, say("run.plots.uniform", nats=f"{uniform:.2f}"))
    _reference_line(axes, 0.0, say("run.plots.zero"), above=False)
    _draw_curve(axes, curve, strings)
    axes.set_ylim(-1.6, max(12.0, *curve) * 1.06)
    axes.set_ylabel(say("run.plots.loss"))
    alt = say(
        "run.plots.loss_alt", first=f"{curve[0]:.2f}", last=f"{curve[-1]:.3f}",
        steps=strings.counted(len(curve), "step"),
    )  # fmt: skip
    rows = [(f"{step:,}", f"{loss:.4f}") for step, loss in enumerate(curve, 1)]
    return plot_of(figure, alt, (say("run.plots.step"), say("run.plots.loss")), rows)


def _mass(strings: Strings, record: RunRecord) -> Plot:
    figure, axes = new_figure()
    say, curve = strings.text, record.loss.event_mass_curve
    share = record.event.tokens / record.event.vocabulary
    _reference_line(axes, share, say("run.plots.share", share=f"{share:.2%}"))
    _draw_curve(axes, curve, strings)
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel(say("run.plots.mass"))
    alt = say(
        "run.plots.mass_alt", first=f"{curve[0]:.2%}", last=f"{curve[-1]:.2%}",
        steps=strings.counted(len(curve), "step"),
    )  # fmt: skip
    rows = [(f"{step:,}", f"{mass:.3%}") for step, mass in enumerate(curve, 1)]
    return plot_of(figure, alt, (say("run.plots.step"), say("run.plots.mass")), rows)


def _draw_curve(axes: Axes, curve: list[float], strings: Strings) -> None:
    """Draw a figure of each step."""
    axes.plot(range(1, len(curve) + 1), curve, color=AFTER, linewidth=2)
    axes.set_xlim(1, max(2, len(curve)))
    axes.set_xlabel(strings.text("run.plots.step"))
    axes.locator_params(axis="x", integer=True)


def _reference_line(axes: Axes, height: float, text: str, above: bool = True) -> None:
    """Draw a dashed line across the plot, with its name at the right."""
    axes.axhline(height, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        text,
        (0.995, height),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom" if above else "top",
        color=MUTED,
    )


def _bars(strings: Strings, record: RunRecord) -> Plot:
    figure, axes = new_figure()
    bars: list[tuple[str, StateRecord, str, float]] = [
        ("mass_after", record.after, AFTER, record.after.event_mass),
        ("mass_before", record.before, BEFORE, record.before.event_mass),
        ("hit_after", record.after, AFTER, record.after.hit_rate),
        ("hit_before", record.before, BEFORE, record.before.hit_rate),
    ]
    say = strings.text
    rows: list[tuple[str, ...]] = []
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
            color=PAPER if inside else INK,
        )
        rows.insert(0, (say(f"run.plots.{name}"), f"{mean:.2%}", spread(interval, "{:.2%}")))
    axes.set_yticks(range(len(bars)), [say(f"run.plots.{name}") for name, *_ in bars], color=INK)
    axes.set_xlim(0, 1.04)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    before, after = record.before, record.after
    alt = say(
        "run.plots.bars_alt", hits_before=f"{before.hit_rate:.1%}",
        hits_after=f"{after.hit_rate:.1%}", mass_before=f"{before.event_mass:.1%}",
        mass_after=f"{after.event_mass:.1%}",
    )  # fmt: skip
    head = [say(f"run.plots.{name}") for name in ("figure", "mean", "interval")]
    return plot_of(figure, alt, head, rows)


def _position(strings: Strings, record: RunRecord) -> Plot:
    figure, axes = new_figure()
    say, before, after = strings.text, record.before, record.after
    for state, colour, name in ((before, BEFORE, "before"), (after, AFTER, "after")):
        mass = state.event_mass_by_position
        line = "-" if name == "after" else "--"
        axes.plot(
            range(1, len(mass) + 1),
            mass,
            line,
            color=colour,
            linewidth=1.4,
            label=say(f"run.{name}"),
        )
    length = record.recipe["contexts"]["length"]
    if length < len(after.event_mass_by_position):
        axes.axvspan(
            1, length, color=AFTER, alpha=0.1, linewidth=0,
            label=say("run.plots.trained", length=length),
        )  # fmt: skip
    axes.set_ylim(0, 1.04)
    axes.set_xlim(1, max(2, len(after.event_mass_by_position)))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel(say("run.plots.read"))
    axes.set_ylabel(say("run.plots.mass"))
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.42, 1.0), columnspacing=1)
    masses = zip(before.event_mass_by_position, after.event_mass_by_position, strict=True)
    rows = [(f"{n:,}", f"{one:.2%}", f"{two:.2%}") for n, (one, two) in enumerate(masses, 1)]
    alt = say(
        "run.plots.position_alt", before=f"{before.event_mass:.1%}", after=f"{after.event_mass:.1%}"
    )
    head = (say("run.plots.read"), say("run.before"), say("run.after"))
    return plot_of(figure, alt, head, rows)
