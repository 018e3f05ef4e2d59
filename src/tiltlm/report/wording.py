"""Numbers with their nouns, for pages and for what commands print. Knows no records."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun, in the singular for 1.

    Args:
        number: how many; digits are grouped by commas.
        noun: in the singular.
        plural: where it is not the singular with an s.

    >>> counted(1, "class", "classes"), counted(0, "context"), counted(1024, "token")
    ('1 class', '0 contexts', '1,024 tokens')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
