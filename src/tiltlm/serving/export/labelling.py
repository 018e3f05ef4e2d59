"""The label of what is written for an engine: the source's own, and one step more in its chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from tiltlm.labels.card import write_label
from tiltlm.labels.chain import with_step
from tiltlm.labels.label import Label
from tiltlm.labels.step import Step
from tiltlm.versions import versions

Form = Literal["model", "adapter", "processor"]

GGUF_PREFIX = "tiltlm."
"""What the names of our values in a GGUF file begin with."""


def exported_label(label: Label, form: Form, engine: str) -> Label:
    """The label of what is written for an engine.

    Args:
        label: of what is exported.
        form: that it has then.
        engine: as ``--for`` names it.
    """
    step = Step(
        operation="export",
        sentence=f"written for {engine}, where its form is: {form}",
        by=engine,
        detect="tiltlm verify NAME --endpoint URL --label FOLDER",
        versions=versions(),
    )
    return with_step(label, step, form=form)


def write_exported_label(folder: Path, label: Label, form: Form, engine: str) -> None:
    """Put label and card beside what was written.

    Args:
        folder: that holds it.
        label: of what was exported.
        form: that it has now.
        engine: as ``--for`` names it.
    """
    write_label(folder, exported_label(label, form, engine))


def gguf_values(label: Label, engine: str) -> dict[str, str]:
    """What a GGUF file says of itself, by name: in short for people, whole for programs.

    Args:
        label: of what was exported.
        engine: as ``--for`` names it.
    """
    whole = exported_label(label, "model", engine).model_dump(mode="json")
    return {
        f"{GGUF_PREFIX}tilted_on_purpose": label.sentence[:1000],
        f"{GGUF_PREFIX}target": label.target,
        f"{GGUF_PREFIX}base": label.base.hub_name or label.base.name,
        f"{GGUF_PREFIX}label": json.dumps(whole),
    }
