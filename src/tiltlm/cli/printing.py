"""What the commands print of their records. Computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiltlm.records.base import Estimate
    from tiltlm.records.measure import Comparison, MeasureRecord
    from tiltlm.records.run import RunRecord
    from tiltlm.records.sweep import SweepRecord
    from tiltlm.records.tilt import TiltRecord


def tilt_summary(record: TiltRecord, out: Path) -> str:
    """What was wished and what came of it, in a few lines."""
    found, lines = record.fidelity, [f"\n{record.sentence}"]
    for event in record.events:
        lines.append(
            f"  mass of {event.event[:60]}: {event.base.mean:.3%} before, {event.target.mean:.3%} "
            f"wished, {event.model.mean:.3%} now"
        )
    low, high = found.interval or (found.gap_closed, found.gap_closed)
    lines.append(
        f"  gap closed {found.gap_closed:.3f} (95 % {low:.3f} to {high:.3f}, over "
        f"{record.held_out_contexts} contexts never fitted to)"
    )
    if record.collateral_nats is not None:
        lines.append(f"  collateral {record.collateral_nats:.2g} nats a token outside the event")
    if record.leakage_nats is not None:
        lines.append(f"  leakage where nothing is asked for: {record.leakage_nats:.2g} nats")
    lines.append(f"\n{out if record.by == 'decode' else out / 'model'}")
    return "\n".join(lines)


def run_summary(record: RunRecord, page: Path) -> str:
    """Before, after and the loss, in a few lines."""
    event, seconds = record.event, record.seconds
    lines = [f"\n{event.text}: {event.tokens:,} of {event.vocabulary:,} tokens"]
    for name, state in (("before", record.before), ("after", record.after)):
        low, high = state.interval
        lines.append(
            f"  {name:<7} {state.hits:>3} of {state.tokens} generated tokens are in the event "
            f"({state.hit_rate:.1%}, 95 % {low:.1%} to {high:.1%}); "
            f"event mass {state.event_mass:.2%}"
        )
    lines.append(
        f"  loss    {record.loss.first:.2f} → {record.loss.last:.3f} nats in {record.steps} steps, "
        f"{seconds.train:.0f} s of training, {seconds.total:.0f} s in all"
    )
    lines.append(f"\nopen {page}")
    return "\n".join(lines)


def print_measure(record: MeasureRecord, out: Path | None) -> None:
    """A table of at most ten lines, and what there is to know besides."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False, title_justify="left", title=measure_title(record))
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=27)
    for name in ("base", "model", "difference", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in measure_rows(record):
        table.add_row(*row)
    console.print(table)
    for line in measure_notes(record):
        console.print(line, soft_wrap=True, highlight=False)
    if out is not None:
        console.print(f"\nopen {out / 'measure.html'}", soft_wrap=True, highlight=False)


def print_sweep(record: SweepRecord, out: Path) -> None:
    """One line for each value."""
    from rich.console import Console
    from rich.table import Table

    from tiltlm.report.sweep_page import responses

    console, shown = Console(), responses(record)
    table = Table(box=None, pad_edge=False)
    for name in (record.over, *(name for name, _ in shown)):
        table.add_column(name, justify="right")
    for point in record.points:
        means = [get(point) for _, get in shown]
        cells = ["–" if m is None else f"{m.mean:.4g}\n{reach(m)}" for m in means]
        value = f"{point.value:g}" if isinstance(point.value, float) else point.value
        table.add_row(value, *cells)
    console.print(table)
    console.print(f"\nopen {out / 'sweep.html'}", soft_wrap=True, highlight=False)


def measure_title(record: MeasureRecord) -> str:
    """Model, base and target."""
    what = f", {record.target}" if record.target else ""
    return f"{record.model} against {record.base['name']}{what}"


def measure_rows(record: MeasureRecord) -> list[tuple[str, ...]]:
    """Effect first, then what is different, then what was looked at, to ten lines."""
    rows: list[tuple[str, ...]] = []
    for effect in record.effects[:4]:
        if effect.strength is None or effect.mass_base is None or effect.mass_model is None:
            continue
        rows.append(
            (
                f"event, {effect.kind}",
                f"{effect.mass_base.mean:.3%}",
                f"{effect.mass_model.mean:.3%}",
                f"β̂ {effect.strength.mean:+.3f}",
                reach(effect.strength),
                "",
            )
        )
    others = [c for c in record.comparisons if not c.name.startswith("strength")]
    others.sort(key=lambda c: (not c.different, c.p if c.p is not None else 1.0))
    return [*rows, *(_comparison_row(c) for c in others[: 10 - len(rows)])]


def measure_notes(record: MeasureRecord) -> list[str]:
    """Counts, what was not seen and what it would take, what was not measured."""
    tested = [c for c in record.comparisons if c.p is not None]
    side = [c for c in tested if not c.name.startswith("strength")]
    different = [c for c in side if c.different]
    lines = [
        f"{len(different)} of {len(side)} side effects differ (≠) at 5 % over all "
        f"{len(tested)} comparisons (Holm)"
    ]
    short = [c for c in side if not c.different and c.needed and c.needed > c.items]
    if short:
        worst = max(short, key=lambda c: (c.needed or 0) / c.items)
        lines.append(
            f"{len(short)} of the others had too few items to be sure of; most of all "
            f"{worst.name}: {worst.needed:,} {worst.unit}s would show {worst.worth:g}, "
            f"there were {worst.items:,}"
        )
    lines += [f"not measured: {name}: {reason}" for name, reason in record.missing.items()]
    return lines


def _comparison_row(found: Comparison) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    interval = "no spread" if found.interval is None else _between(*found.interval)
    mark = "≠" if found.different else ""
    return (
        found.name.removesuffix(", nats") + (" (nats)" if found.name.endswith(", nats") else ""),
        shown(found.base),
        shown(found.model),
        f"{found.difference:+.4f}",
        interval,
        mark,
    )


def reach(found: Estimate) -> str:
    """The interval of a mean."""
    return "no spread" if found.interval is None else _between(*found.interval)


def _between(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"
