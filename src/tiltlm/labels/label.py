"""Label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError


def find_label(model: str) -> tuple[str, dict[str, Any]]:
    """The folder that holds the weights, and its label."""
    for folder in (Path(model), Path(model) / "model"):
        label = folder / "tilt.json"
        if label.is_file():
            try:
                found = json.loads(label.read_text(encoding="utf-8"))
                assert isinstance(found, dict)
            except (ValueError, AssertionError):
                raise ConfigError("the label is damaged", where=str(label)) from None
            return str(folder), found
    return model, {}


def base_name(label: dict[str, Any]) -> str | None:
    base = label.get("base")
    name = base.get("name") if isinstance(base, dict) else base
    return name if isinstance(name, str) else None
