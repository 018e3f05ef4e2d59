"""Whether a label, the chain in it, and the files beside it are what was written.

A label guards itself against accidents and careless hands: it holds hashes over the files, over
each step, and over itself. Whoever changes all of them consistently is caught by a signature alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError
from tiltlm.files import json_text
from tiltlm.labels.chain import label_digest, step_digest, step_name
from tiltlm.labels.label import FILE, Label, read_label
from tiltlm.labels.labelled_files import hashed_files, holds_weights
from tiltlm.labels.short_form import read_short_form
from tiltlm.records.label import FaultKind, FaultRecord


def label_faults(folder: Path) -> list[FaultRecord]:
    """All that is not as a folder's label says.

    Args:
        folder: that holds a label.

    Raises:
        ConfigError: it has no label, or one that cannot be read at all.
    """
    label = read_label(folder)
    if label is None:
        raise ConfigError(
            "there is no label here", where=str(folder / FILE), fix="name a folder that has one"
        )
    text = (folder / FILE).read_text(encoding="utf-8")
    data = json.loads(text)
    if data.get("schema_version") != label.schema_version:
        return [_fault("no hashes", FILE, "an older version wrote it, which kept no hashes")]
    return [
        *_edits(text, data),
        *_missing_links(data.get("chain", [])),
        *_file_faults(folder, label),
    ]


def _fault(kind: FaultKind, where: str, what: str) -> FaultRecord:
    return FaultRecord(kind=kind, where=where, what=what)


def _edits(text: str, data: dict[str, Any]) -> list[FaultRecord]:
    """Whether the label's text is the one that was written, to the character."""
    if data.get("digest") == label_digest(data) and text == json_text(data):
        return []
    return [_fault("edited label", FILE, "its text is not the one that was written")]


def _missing_links(chain: list[dict[str, Any]]) -> list[FaultRecord]:
    """Steps that do not hold on to the one before."""
    faults, expected = [], 1
    for place, step in enumerate(chain):
        before = step_digest(chain[place - 1]) if place else None
        number = step.get("number", 1)
        where = f"step {number}"
        if number != expected:
            what = f"step {expected} is missing before it"
            faults.append(_fault("missing link", where, what))
        elif step.get("parent") != before:
            what = "the step before it is not the one that it was made after"
            faults.append(_fault("missing link", where, what))
        expected = number + 1
    return faults


def _file_faults(folder: Path, label: Label) -> list[FaultRecord]:
    """Files that are not what the last step left."""
    listed = label.chain[-1].files if label.chain else {}
    if not listed:
        return [_fault("no hashes", FILE, "its last step names no files")]
    there = hashed_files(folder)
    changed = [name for name in listed if name in there and there[name] != listed[name]]
    missing = [name for name in listed if name not in there]
    unlisted = [name for name in there if name not in listed and holds_weights(name)]
    weights = [name for name in listed if holds_weights(name)]
    foreign = [name for name in there if _is_foreign(folder / name, label)]
    if foreign:
        what = f"the weights in {foreign[0]} say that another label belongs to them"
        return [_fault("another model", FILE, what)]
    if weights and not any(name in there and name not in changed for name in weights):
        own = [n for n in [*changed, *unlisted] if holds_weights(n) and _is_own(folder / n, label)]
        if not own and any(holds_weights(name) for name in there):
            what = "none of the weights here is one that the label speaks for"
            return [_fault("another model", FILE, what)]
    return [
        *(_fault("changed file", name, "its bytes are not those that were written")
          for name in changed),
        *(_fault("missing file", name, "the label names it, and it is not here")
          for name in missing),
        *(_fault("unlisted weights", name, "it holds weights, and the label does not name it")
          for name in unlisted),
    ]  # fmt: skip


def _is_foreign(file: Path, label: Label) -> bool:
    """Whether a file is of weights that say that they belong to another label."""
    if file.suffix != ".safetensors":
        return False
    form = read_short_form(file)
    return form is not None and form.step != step_name(label.chain[-1])


def _is_own(file: Path, label: Label) -> bool:
    """Whether a weight file is of the label's model, though its bytes were changed.

    A changed file without a readable short form may be anything; one that cannot have a short form
    at all is taken for what the label says it was.
    """
    if file.suffix != ".safetensors":
        return True
    form = read_short_form(file)
    return form is not None and form.step == step_name(label.chain[-1])
