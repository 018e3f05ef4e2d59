"""The label of what is written for an engine: the source's own, with the form that it has there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from tiltlm.labels.card import write_label
from tiltlm.labels.label import Label

Form = Literal["model", "adapter", "processor"]

GGUF_PREFIX = "tiltlm."
"""What the names of our values in a GGUF file begin with."""


def write_exported_label(folder: Path, label: Label, form: Form) -> None:
    """Put label and card beside what was written.

    Args:
        folder: that holds it.
        label: of what was exported.
        form: that it has now.
    """
    write_label(folder, label.model_copy(update={"form": form}))


def gguf_values(label: Label) -> dict[str, str]:
    """What a GGUF file says of itself, by name: in short for people, whole for programs.

    Args:
        label: of what was exported.
    """
    whole = label.model_copy(update={"form": "model"}).model_dump(mode="json")
    return {
        f"{GGUF_PREFIX}tilted_on_purpose": label.sentence[:1000],
        f"{GGUF_PREFIX}target": label.target,
        f"{GGUF_PREFIX}base": label.base.hub_name or label.base.name,
        f"{GGUF_PREFIX}label": json.dumps(whole),
    }
