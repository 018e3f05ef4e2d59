"""Names of models that are refused before anything is looked for: impossible ones, and circles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiltlm.errors import ModelError
from tiltlm.files import can_be_path
from tiltlm.labels.label import LabelBase

MOST_ADAPTERS = 16
"""Adapters on one another at most."""


def check_name(name: str) -> None:
    """Refuse a name that neither a folder nor a model on the Hub can have.

    Args:
        name: as for `load`.

    Raises:
        ModelError: it is empty, too long, or holds a null byte.
    """
    if not can_be_path(name):
        raise ModelError("no model can have this name", where=ascii(name)[:200], fix="correct it")


def check_chain(
    folder: str, is_adapter: Callable[[str], bool], base_of: Callable[[str], LabelBase]
) -> None:
    """Refuse an adapter whose base is an adapter, and so on in a circle or without end.

    Args:
        folder: of the adapter.
        is_adapter: whether a name is a folder that holds one.
        base_of: the base that an adapter names.

    Raises:
        ModelError: one of them comes up twice, or they are more than `MOST_ADAPTERS`.
    """
    passed: list[Path] = []
    name = folder
    while is_adapter(name):
        if Path(name).resolve() in passed or len(passed) == MOST_ADAPTERS:
            raise ModelError(
                "the adapter's base is an adapter, and so on in a circle or without end",
                where=folder,
                fix="name a folder of save_pretrained as its base",
            )
        passed.append(Path(name).resolve())
        name = base_of(name).name
