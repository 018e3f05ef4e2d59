"""What all plots share: colours, style, a figure as SVG text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Drawn = TypeVar("Drawn")

INK, MUTED, BEFORE, AFTER = "#1d2433", "#6b7386", "#8a94a8", "#d1495b"
"""Colours of words, of what stands back, and of a model before and after it was changed."""

KINDS = ("#d1495b", "#2f6690", "#3a7d44", "#b7791f", "#6a4c93", "#1d2433")
"""One colour for each line, which people with colour-blindness can tell apart too."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "path",
    "text.parse_math": False,
    "text.usetex": False,
    "svg.hashsalt": "tiltlm",
}
"""Matplotlib settings. The salt makes the same figure the same text each time; names of events may
hold dollar signs, which are no formulas."""


def new_figure(width: float = 6.0, height: float = 3.4) -> tuple[Figure, Axes]:
    """A figure with one pair of axes.

    Args:
        width: inches.
        height: inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def svg_of(figure: Figure) -> str:
    """A figure as SVG text, from its ``<svg`` on."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def styled(draw: Callable[[Drawn], str], record: Drawn) -> str:
    """Call ``draw(record)`` with matplotlib in our `STYLE`.

    Args:
        draw: returns SVG text.
        record: what it draws.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        return draw(record)


def error_bars(mean: float, interval: tuple[float, float] | None) -> list[list[float]]:
    """The error bars of one mean as matplotlib takes them, [[below], [above]].

    Args:
        mean: where the marker stands.
        interval: around it; None for no bars.

    >>> error_bars(2.0, (1.5, 3.0))
    [[0.5], [1.0]]
    """
    low, high = interval or (mean, mean)
    return [[max(0.0, mean - low)], [max(0.0, high - mean)]]
