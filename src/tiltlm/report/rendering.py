"""The templates of the pages, ready to be filled in. Knows jinja, and no records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltlm.report.wording import claim_lines, counted, visible

if TYPE_CHECKING:
    from jinja2 import Environment


def templates() -> Environment:
    """The environment with every template and the filters that they use.

    Text is escaped, and a name that was not given is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tiltlm", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": visible,
        "counted": counted,
        "percent": percent,
        "claim_lines": claim_lines,
    }
    return environment


def percent(share: float) -> str:
    """A share with as many digits as matter.

    >>> percent(0.0178), percent(0.992)
    ('1.78 %', '99.2 %')
    """
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"
