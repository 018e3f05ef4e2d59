"""What `tiltlm measure` and `tiltlm sweep` print of their records. Computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.report.wording import counted

if TYPE_CHECKING:
    from tiltlm.records.base import Interval
    from tiltlm.records.measure import Comparison, MeasureRecord
    from tiltlm.records.sweep import SweepRecord

ROWS = 10
"""The most rows of the table of a measurement."""

EFFECT_ROWS = 4
"""The most of them that tell of the event itself."""


def print_measure(record: MeasureRecord, out: Path | None) -> None:
    """Print a table of at most `ROWS` lines, and what there is to know besides.

    Args:
        record: of the measurement.
        out: the folder that holds the page; None where none was written.
    """
    from rich.table import Table

    from tiltlm.cli.console import PlainConsole

    console = PlainConsole()
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
    """Print a table with one row for each value.

    Args:
        record: of the sweep.
        out: the folder that holds the page.
    """
    from rich.table import Table

    from tiltlm.cli.console import PlainConsole
    from tiltlm.report.sweep_page import responses

    console, columns = PlainConsole(), responses(record)
    table = Table(box=None, pad_edge=False)
    for name in (record.over, *(name for name, _ in columns)):
        table.add_column(name, justify="right")
    for point in record.points:
        means = [response(point) for _, response in columns]
        cells = ["–" if m is None else f"{m.mean:.4g}\n{_spread(m.interval)}" for m in means]
        value = f"{point.value:g}" if isinstance(point.value, float) else point.value
        table.add_row(value, *cells)
    console.print(table)
    console.print(f"\nopen {out / 'sweep.html'}", soft_wrap=True, highlight=False)


def measure_title(record: MeasureRecord) -> str:
    """Model, base and target."""
    target = f", {record.target}" if record.target else ""
    return f"{record.model} against {record.base['name']}{target}"


def measure_rows(record: MeasureRecord) -> list[tuple[str, ...]]:
    """The rows of the table: name, base, model, difference, interval, and a mark if different.

    The effect comes first, then side effects by how sure their difference is.
    """
    rows: list[tuple[str, ...]] = []
    for effect in record.effects[:EFFECT_ROWS]:
        if effect.strength is None or effect.mass_base is None or effect.mass_model is None:
            continue
        rows.append(
            (
                f"event, {effect.kind}",
                f"{effect.mass_base.mean:.3%}",
                f"{effect.mass_model.mean:.3%}",
                f"β̂ {effect.strength.mean:+.3f}",
                _spread(effect.strength.interval),
                "",
            )
        )
    others = [c for c in record.comparisons if not c.name.startswith("strength")]
    others.sort(key=lambda c: (not c.different, c.p if c.p is not None else 1.0))
    return [*rows, *(_comparison_row(c) for c in others[: ROWS - len(rows)])]


def measure_notes(record: MeasureRecord) -> list[str]:
    """How many side effects differ, where items were too few to tell, what was not measured."""
    tested = [c for c in record.comparisons if c.p is not None]
    side_effects = [c for c in tested if not c.name.startswith("strength")]
    different = [c for c in side_effects if c.different]
    lines = [
        f"{len(different)} of {counted(len(side_effects), 'side effect')} "
        f"{'differs' if len(different) == 1 else 'differ'} (≠) at 5 % over all "
        f"{counted(len(tested), 'comparison')} (Holm)"
    ]
    too_few = [c for c in side_effects if not c.different and c.needed and c.needed > c.items]
    if too_few:
        worst = max(too_few, key=lambda c: (c.needed or 0) / c.items)
        lines.append(
            f"{len(too_few)} of the others had too few items to be sure of; most of all "
            f"{worst.name}: {counted(worst.needed or 0, worst.unit)} would show {worst.worth:g}, "
            f"there {'was' if worst.items == 1 else 'were'} {worst.items:,}"
        )
    lines += [f"not measured: {name}: {reason}" for name, reason in record.missing.items()]
    return lines


def _comparison_row(comparison: Comparison) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    name = comparison.name
    return (
        name.removesuffix(", nats") + (" (nats)" if name.endswith(", nats") else ""),
        number(comparison.base),
        number(comparison.model),
        f"{comparison.difference:+.4f}",
        _spread(comparison.interval),
        "≠" if comparison.different else "",
    )


def _spread(interval: Interval | None) -> str:
    """An interval in words."""
    return "no spread" if interval is None else "{:.3g} to {:.3g}".format(*interval)
