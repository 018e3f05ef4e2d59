"""What all plots share: colours, style, SVG as text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Drawn = TypeVar("Drawn")


INK, MUTED, BEFORE, AFTER = "#1d2433", "#6b7386", "#8a94a8", "#d1495b"


KINDS = ("#d1495b", "#2f6690", "#3a7d44", "#b7791f", "#6a4c93", "#1d2433")
"""One colour for each line, told apart by eyes that see colours otherwise too."""


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
    "svg.hashsalt": "tiltlm",
}


def new_figure(width: float = 6.0, height: float = 3.4) -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def svg_of(figure: Figure) -> str:
    """The figure as SVG text."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def styled(draw: Callable[[Drawn], str], what: Drawn) -> str:
    """Draw in our style."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        return draw(what)


def reach(mean: float, interval: tuple[float, float] | None) -> list[list[float]]:
    """Error bars of a mean, as matplotlib wants them."""
    low, high = interval or (mean, mean)
    return [[max(0.0, mean - low)], [max(0.0, high - mean)]]
