"""The folder that a command leaves: its record, and the pages made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tiltlm.files import staged, write_json, write_text
from tiltlm.records.base import Record


def write_record(out: Path, record: Record, pages: Mapping[str, str] | None = None) -> None:
    """Write a new folder, whole or not at all.

    Args:
        out: the folder.
        record: for ``result.json``.
        pages: texts of further files, by their names.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    with staged(out) as folder:
        folder.mkdir(parents=True)
        write_json(folder / "result.json", record.model_dump(mode="json"))
        for name, text in (pages or {}).items():
            write_text(folder / name, text)
