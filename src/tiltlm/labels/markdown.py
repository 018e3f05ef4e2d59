"""Text of strangers in Markdown: shown as it is, whatever it holds. Knows no labels."""

from __future__ import annotations

import re

_STRUCTURE = re.compile(r"[^\w '(),.+=;%?/-]|_|(?<=www)\.|(?<=ftp)\.", re.ASCII)
"""What could be more than itself in Markdown or HTML, or a link or a mention in plain text.
Letters of other scripts are among it here, and are let through below."""


def plain(text: object, most: int = 1000) -> str:
    r"""Text that a renderer of Markdown shows as it is, on one line, in a table too.

    What could be structure is written as an HTML entity: these are never structure (CommonMark
    2.5), not even in the cell of a table. What cannot be printed is shown by a dot.

    Args:
        text: anything.
        most: characters; what is longer is cut off.

    >>> plain("tilt(contains('x'), 1)")
    "tilt(contains('x'), 1)"
    >>> plain("a | b\n---"), plain("<b>[x](y)")
    ('a &#124; b ---', '&#60;b&#62;&#91;x&#93;(y)')
    """
    line = " ".join(str(text).split())
    line = line if len(line) <= most else line[: most - 1] + "…"
    return _STRUCTURE.sub(_entity, line)


def code(text: object, most: int = 1000) -> str:
    """The same as `plain`, in the font of programs.

    Args:
        text: anything.
        most: characters; what is longer is cut off.
    """
    return f"<code>{plain(text, most)}</code>"


def _entity(match: re.Match[str]) -> str:
    character = match[0]
    if not character.isprintable():
        return "·"
    return character if ord(character) > 127 else f"&#{ord(character)};"
