"""Dose and response as one figure and one page."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from tiltlm.records.base import Estimate
from tiltlm.records.sweep import SweepPoint, SweepRecord
from tiltlm.report.svg import AFTER, BEFORE, INK, MUTED, reach, styled, svg_of

SHOWN = ("bits per byte of text", "BLiMP, all", "BLiMP, all, nats")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Dose and response</title>
<style>body {{ font-family: system-ui, "DejaVu Sans", sans-serif; color: #1d2433; margin: 2rem auto;
max-width: 70rem; padding: 0 1rem; }} svg {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; }} td, th {{ border-top: 1px solid #dfe3ea; text-align: right;
padding: .3rem .8rem; font-size: .9rem; }} .muted {{ color: #6b7386; }}</style></head><body>
<h1>Dose and response</h1><p>Target and realisation as in the first point: <code>{target}</code>,
by {by}; {over} varies. Intervals are 95 %.</p>
{figure}<table><tr>{head}</tr>{rows}</table></body></html>
"""


Row = tuple[str, Callable[[SweepPoint], Estimate | None]]


def render_sweep(record: SweepRecord) -> str:
    """The page as text."""
    rows = []
    for point in record.points:
        cells = [_value(point), *(_cell(get(point)) for _, get in responses(record))]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    recipe = record.points[0].recipe
    return _PAGE.format(
        target=escape(recipe["target"]),
        by=escape(recipe["by"]),
        over=escape(record.over),
        figure=sweep_figure(record),
        head="".join(f"<th>{escape(n)}</th>" for n in (record.over, *dict(responses(record)))),
        rows="".join(rows),
    )


def responses(record: SweepRecord) -> list[Row]:
    """What is shown: strength, mass, collateral, and side effects that were measured."""
    found: list[Row] = [
        ("strength found, nats", lambda p: p.measure.effects[0].strength),
        ("event mass", lambda p: p.measure.effects[0].mass_model),
        ("collateral, nats", lambda p: p.measure.effects[0].collateral),
    ]
    names = {c.name for c in record.points[0].measure.comparisons}
    return found + [(f"{n}, difference", _side(n)) for n in SHOWN if n in names]


def _side(name: str) -> Callable[[SweepPoint], Estimate | None]:
    def get(point: SweepPoint) -> Estimate | None:
        for c in point.measure.comparisons:
            if c.name == name:
                return Estimate(c.difference, c.interval)
        return None

    return get


def sweep_figure(record: SweepRecord) -> str:
    """One panel for each response, as SVG text."""
    return styled(_figure, record)


def _figure(record: SweepRecord) -> str:
    from matplotlib.figure import Figure

    shown = responses(record)
    columns = 3
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(10.5, 3.1 * lines), layout="constrained")
    numbers = all(isinstance(p.value, float) for p in record.points)
    places = [float(p.value) if numbers else n for n, p in enumerate(record.points)]
    for place, (name, get) in enumerate(shown):
        axes = figure.add_subplot(lines, columns, place + 1)
        means = [get(point) for point in record.points]
        here = [(x, m) for x, m in zip(places, means, strict=True) if m is not None]
        axes.axhline(0, color=MUTED, linewidth=0.6)
        axes.plot([x for x, _ in here], [m.mean for _, m in here], color=AFTER, linewidth=1.3)
        for x, m in here:
            axes.errorbar(
                x,
                m.mean,
                yerr=reach(m.mean, m.interval),
                fmt="o",
                color=AFTER,
                capsize=3,
                markersize=4,
            )
        if name.startswith("strength") and record.over == "strength":
            axes.plot(places, places, color=BEFORE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        axes.set_title(name, fontsize=10, color=INK)
        axes.set_xlabel(record.over)
        if not numbers:
            axes.set_xticks(places, [str(p.value) for p in record.points])
    return svg_of(figure)


def _value(point: SweepPoint) -> str:
    return f"{point.value:g}" if isinstance(point.value, float) else escape(point.value)


def _cell(found: Estimate | None) -> str:
    if found is None:
        return "–"
    text = f"{found.mean:.4g}"
    if found.interval:
        low, high = found.interval
        text += f'<br><span class="muted">{low:.4g} to {high:.4g}</span>'
    return text
