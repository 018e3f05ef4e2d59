"""Strings by key in one language. Knows the files beside it, and nothing of what they are for."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from tiltlm.errors import ConfigError

_SUFFIX = ".yaml"


class Strings:
    """The strings of one language.

    Args:
        language: its code.
        tree: strings, or further trees, by key.
    """

    def __init__(self, language: str, tree: dict[str, Any]) -> None:
        self.language = language
        self.tree = tree

    def text(self, key: str, **filled: object) -> str:
        """One string.

        Args:
            key: of each level, joined by dots.
            filled: what stands for the names in braces.

        Raises:
            KeyError: there is no such string, or a name in it was not given.
        """
        found: Any = self.tree
        for part in key.split("."):
            found = found[part]
        if not isinstance(found, str):
            raise KeyError(key)
        return found.format(**filled) if filled else found

    def counted(self, number: int, noun: str) -> str:
        """A number with its noun.

        Args:
            number: how many.
            noun: a key of ``nouns``, where its singular and its plural stand.
        """
        singular, plural = self.tree["nouns"][noun]
        return f"{number:,} {singular if number == 1 else plural}"


def languages() -> dict[str, str]:
    """Codes of the languages that there are, with what each calls itself; English comes first."""
    folder = files("tiltlm") / "strings"
    codes = sorted(
        (
            path.name.removesuffix(_SUFFIX)
            for path in folder.iterdir()
            if path.name.endswith(_SUFFIX)
        ),
        key=lambda code: (code != "en", code),
    )
    return {code: read_strings(code).text("language") for code in codes}


@cache
def read_strings(language: str) -> Strings:
    """The strings of a language.

    Args:
        language: its code, such as ``en``.

    Raises:
        ConfigError: there is no file for it.
    """
    import yaml

    path = files("tiltlm") / "strings" / f"{language}{_SUFFIX}"
    if not language.isalpha() or not path.is_file():
        raise ConfigError(
            f"no such language: {language!r}", where="--lang", fix="en (English) or vi (Vietnamese)"
        )
    return Strings(language, yaml.safe_load(path.read_text(encoding="utf-8")))
