"""A console on which text is text: no markup, no emoji codes, no escape sequences in it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from tiltlm.report.wording import printable


class PlainConsole(Console):
    """Prints what strangers wrote, such as tokens, names and labels, as it is.

    Styles come from `rich.text.Text` and tables alone; characters that a terminal would obey are
    shown by their code.

    Args:
        stderr: print to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The pieces that are printed, those that are no control of rich's own made printable."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
