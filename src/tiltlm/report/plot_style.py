"""What all plots share: one width, one size of type, colours, and a text alternative."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from tiltlm.report.wording import printable, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tiltlm.records.base import Interval

Drawn = TypeVar("Drawn")

WIDTH_INCHES = 4.8
"""Of every figure, so that type is of one size on all of a page, however wide the screen."""

COLOURS = {
    "ink": "#1d2433",
    "muted": "#5c6476",
    "before": "#7b869c",
    "after": "#b84a00",
    "blue": "#0b63a5",
    "green": "#00735a",
    "purple": "#7d4a9c",
    "paper": "#fefefe",
}
"""Colours by the names that they have in the style sheet of the pages, which has others for the
dark. They differ in lightness too, and orange and blue lead, so that people with colour-blindness
can tell them apart."""

INK, MUTED, BEFORE, AFTER = (COLOURS[name] for name in ("ink", "muted", "before", "after"))
"""Colours of words, of what stands back, and of a model before and after it was changed."""

PAPER = COLOURS["paper"]
"""The colour of the page."""

KINDS = (AFTER, *(COLOURS[name] for name in ("blue", "green", "purple", "before", "ink")))
"""One colour for each line."""

MARKERS = ("o", "s", "^", "D", "v", "P")
"""One marker for each line, for those who see no colours, and for print."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "svg.hashsalt": "tiltlm",
}
"""Matplotlib settings. Text stays text, so that it can be copied and enlarged. The salt makes the
same figure the same text each time; names of events may hold dollar signs, no formulas."""


@dataclass(frozen=True)
class Plot:
    """A figure, and what it shows in words and numbers.

    Attributes:
        svg: the figure, from its ``<svg`` on; read out as ``alt``.
        alt: what it shows, a sentence.
        head: names of the columns of its table.
        rows: what is drawn, as text, a row for each mark.
    """

    svg: str
    alt: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def new_figure(height: float = 2.9) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, as wide as all others.

    Args:
        height: inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    return figure, figure.add_subplot()


def plot_of(figure: Figure, alt: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Plot:
    """A figure with its text alternative; its colours follow the page's.

    Args:
        figure: as it was drawn.
        alt: what it shows, a sentence.
        head: names of the columns of its table.
        rows: of the table.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name}, {colour})")
    # The figure is one image with one name; what it shows stands in the table beside it.
    label = escape(visible(printable(alt)))
    text = text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return Plot(text, alt, tuple(head), tuple(map(tuple, rows)))


def styled(draw: Callable[[Drawn], Plot], record: Drawn) -> Plot:
    """Call ``draw(record)`` with matplotlib in our `STYLE`.

    Args:
        draw: returns the figure.
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


def spread(interval: Interval | None, form: str = "{:+.3f}") -> str:
    """An interval as a cell of a table shows it.

    Args:
        interval: None where there is none.
        form: of each end.

    >>> spread((0.5, 1.0))
    '+0.500 to +1.000'
    """
    return "–" if interval is None else " to ".join(form.format(end) for end in interval)


def draw_rows(
    axes: Axes, rows: Sequence[tuple[str, float, Interval | None, str]], label: str
) -> None:
    """Draw means with intervals, one below the other, each under its name.

    Args:
        axes: to draw on; `rows_height` says how high they have to be.
        rows: name, mean, interval and colour of each, the topmost first.
        label: of the x-axis.
    """
    axes.axvline(0, color=MUTED, linewidth=0.6)
    for row, (name, mean, interval, colour) in enumerate(reversed(rows)):
        axes.errorbar(
            mean, row, xerr=error_bars(mean, interval), fmt="o", color=colour, markersize=5,
            capsize=3,
        )  # fmt: skip
        axes.annotate(
            name, (0, row), (0, 5), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="bottom", color=INK, zorder=1,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.5, len(rows) - 0.1)
    axes.margins(x=0.08)
    axes.set_xlabel(label)


def rows_height(count: int) -> float:
    """Inches that so many rows of `draw_rows` take.

    Args:
        count: of the rows.
    """
    return 0.65 + 0.48 * count


def short(text: str, characters: int = 44) -> str:
    """A name that fits into a plot, on one line.

    Args:
        text: the name.
        characters: at most.

    >>> short("a very long name", 8)
    'a very …'
    """
    text = visible(text)
    return text if len(text) <= characters else text[: characters - 1] + "…"
