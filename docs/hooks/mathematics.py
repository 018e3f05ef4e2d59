"""Formulas as MathML, when the site is built, so that no script and no network renders them.

A formula stands between dollar signs: two for one of its own line, one within a line. Code is left
alone. Links to files beside the documentation become their names.
"""

import re

from latex2mathml.converter import convert

_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
"""Links to files of the repository that are no part of the site."""


def on_page_markdown(markdown: str, **_: object) -> str:
    """The Markdown of a page with its formulas as MathML."""
    parts = _CODE.split(markdown)
    return "".join(
        part if number % 2 else _rendered(_OUTSIDE.sub(r"\1 (`\2`)", part))
        for number, part in enumerate(parts)
    )


def _rendered(text: str) -> str:
    text = re.sub(
        r"\$\$(.+?)\$\$", lambda m: convert(m[1].strip(), display="block"), text, flags=re.DOTALL
    )
    return re.sub(r"(?<![\w\\$])\$([^\s$][^$\n]*?)\$(?![\w$])", _within, text)


def _within(match: re.Match[str]) -> str:
    """A formula within a line; as it is, it would be a block where a line begins with it."""
    return f"<span>{convert(match[1])}</span>"
