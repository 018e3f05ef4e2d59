"""The templates of the pages, ready to be filled in. Knows jinja, and no records."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from tiltlm.report.event_words import in_words
from tiltlm.report.wording import claim_lines, counted, printable, visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from tiltlm.strings.catalogue import Strings


def templates() -> Environment:
    """The environment with every template and the filters that they use.

    Text is escaped, and a name that was not given is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tiltlm", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": visible,
        "counted": counted,
        "percent": percent,
        "claim_lines": claim_lines,
        "in_words": in_words,
    }
    return environment


def marked(strings: Strings) -> Callable[..., Markup]:
    """Strings as pages show them: what is filled in is text, and backticks and stars are markup.

    Args:
        strings: of one language.

    Returns:
        a function of a key and of what is filled in, as `Strings.text` takes them.
    """
    from markupsafe import Markup, escape

    def say(key: str, **filled: object) -> Markup:
        text = str(escape(strings.text(key)))
        text = re.sub(r"`([^`]*)`", r"<code>\1</code>", text)
        text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
        return Markup(text).format(**{name: _shown(value) for name, value in filled.items()})

    return say


def _shown(value: object) -> object:
    """A value as a page shows it; what is HTML already stays as it is."""
    from markupsafe import Markup

    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def percent(share: float) -> str:
    """A share with as many digits as matter.

    >>> percent(0.0178), percent(0.992)
    ('1.78 %', '99.2 %')
    """
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"
