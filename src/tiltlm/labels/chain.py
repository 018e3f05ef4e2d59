"""The chain of a label: what was done to a model, each step holding the hash of the one before.

Whoever changes a saved model appends to its chain by `with_step`. Knows nothing of files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tiltlm.labels.label import Label
from tiltlm.labels.step import LabelFigure, Step


def with_step(label: Label, step: Step, **changes: Any) -> Label:
    """A label after one more operation on its model.

    Args:
        label: of the model as it was.
        step: the operation; its ``number`` and ``parent`` follow from the chain.
        changes: fields of the label that are other now, such as ``form`` or ``undone``.

    Returns:
        a label of its own; its hashes over files and over itself are made when it is written.
    """
    before = label.chain[-1] if label.chain else None
    linked = step.model_copy(
        update={
            "number": len(label.chain) + 1,
            "parent": None if before is None else step_digest(before.model_dump(mode="json")),
        }
    )
    update = {**changes, "chain": [*label.chain, linked], "digest": None}
    return label.model_copy(update=update)


def with_measured(label: Label, measured: dict[str, LabelFigure]) -> Label:
    """A label whose last step was measured since.

    Args:
        label: of the model.
        measured: figures of that step.
    """
    chain = [*label.chain[:-1], label.chain[-1].model_copy(update={"measured": measured})]
    return label.model_copy(update={"measured": measured, "chain": chain, "digest": None})


def with_files(label: Label, files: dict[str, str]) -> Label:
    """A label that knows the files of its last step, and the hash over itself.

    Args:
        label: of the model.
        files: SHA-256 of every file by name.
    """
    if not label.chain:
        return sealed(label)
    chain = [*label.chain[:-1], label.chain[-1].model_copy(update={"files": files})]
    return sealed(label.model_copy(update={"chain": chain}))


def sealed(label: Label) -> Label:
    """A label with the hash over all else that it says."""
    return label.model_copy(update={"digest": label_digest(label.model_dump(mode="json"))})


def label_digest(data: Mapping[str, Any]) -> str:
    """SHA-256 over a label without its own digest.

    Args:
        data: of the label's file.
    """
    return _digest({key: value for key, value in data.items() if key != "digest"})


def step_digest(data: Mapping[str, Any]) -> str:
    """SHA-256 over a whole step, by which the next one holds on to it.

    Args:
        data: of the step, as the label's file has it.
    """
    return _digest(data)


def step_name(step: Step) -> str:
    """SHA-256 over what is known of a step before it has files or figures.

    Weight files carry it in their headers, and the label that belongs to them has the same.
    """
    return _digest(step.model_dump(mode="json", exclude={"files", "measured"}))


def _digest(data: Any) -> str:
    """SHA-256 over JSON of one form: keys in order, no spaces."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
