"""Output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tiltlm.files import staged, write_json, write_text
from tiltlm.records.base import Record


def keep_record(out: Path, record: Record, pages: Mapping[str, str] | None = None) -> None:
    """Write a new folder with ``result.json``, and pages by their names."""
    with staged(out) as folder:
        folder.mkdir(parents=True)
        write_json(folder / "result.json", record.model_dump(mode="json"))
        for name, text in (pages or {}).items():
            write_text(folder / name, text)
