"""Write an undone model with its record, and the step of undoing in its label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tiltlm.files import require_free, staged, write_json, write_text
from tiltlm.labels.card import write_label
from tiltlm.labels.chain import with_step
from tiltlm.labels.label import Label, find_label
from tiltlm.labels.step import LabelBase, LabelFigure, Step
from tiltlm.models.model5 import as_gpt2
from tiltlm.models.placement import placement_of
from tiltlm.records.tilt import By
from tiltlm.records.undo import UndoBy, UndoRecord
from tiltlm.targets.logits_processor import logit_bias
from tiltlm.undoing.by_label import restored
from tiltlm.undoing.undone import Undone
from tiltlm.versions import versions

Page = Callable[[UndoRecord], str]
"""Makes the text of a page of a record."""

_WAYS: dict[UndoBy, By] = {"decode": "decode", "train": "train"}
"""What a label of a tilt has as ``by``, for a model that had none before; else an edit."""


def save_undone(
    out: Path,
    undone: Undone,
    record: UndoRecord,
    *,
    label: Label | None,
    base: LabelBase,
    page: Page | None = None,
) -> UndoRecord:
    """Write a folder, whole or not at all: record, page, and the labelled model.

    Args:
        out: a new or empty folder, which is claimed.
        undone: what a way of undoing made.
        record: of it.
        label: of the tilted model, where it had one.
        base: the tilted model as a label names it.
        page: makes ``undo.html`` of the record; None for none.

    Returns:
        the record as it was written; after an undo by label it says what was read back from disk.

    Raises:
        StorageError: there is no room for it.
    """
    model = undone.model.model
    if undone.correction is None:
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        require_free(out, 2 * size + size // 8, "a whole model")
    with staged(out) as folder:
        folder.mkdir(parents=True)
        made = undone_label(undone, record, label, base)
        if undone.correction is None:
            weights = folder / "model"
            as_gpt2(model).save_pretrained(weights)
            undone.model.tokenizer.save_pretrained(weights)
            write_label(weights, made)
            if undone.by == "label":
                found = restored(weights, undone.model, undone)
                record = record.model_copy(update={"restored": found})
        write_json(folder / "result.json", record.model_dump(mode="json"))
        if page is not None:
            write_text(folder / "undo.html", page(record))
        if undone.correction is not None:
            text = json.dumps(logit_bias(undone.correction), indent=1) + "\n"
            write_text(folder / "logit_bias.json", text)
            write_label(folder, made)
    return record


def undone_label(undone: Undone, record: UndoRecord, label: Label | None, base: LabelBase) -> Label:
    """The label of an undone model: that of the tilted one, with a step more.

    Args:
        undone: what a way of undoing made.
        record: of it.
        label: of the tilted model, where it had one.
        base: the tilted model as a label names it.
    """
    step = Step(
        operation="undo",
        sentence=f"{record.target} was taken back: {undone.sentence}",
        by=undone.by,
        base=base,
        data=record.contexts,
        seed=record.seed,
        measured=_figures(record),
        detect=None
        if record.reference is None
        else f"tiltlm audit MODEL --reference {record.reference['name']} --null PACK",
        versions=versions(),
    )
    if undone.correction is None and label is not None:
        earlier = _label_of_base(undone, label)
        if earlier is not None:  # The base is itself tilted, and that tilt is still there.
            kept = earlier.model_copy(update={"chain": label.chain})
            return with_step(kept, step, form="model")
        return with_step(label, step, form="model", undone=True, measured=step.measured)
    correction = undone.correction
    events = [left.event for left in record.left]
    made = Label(
        undone=True,
        target=record.target if correction is None else correction.text,
        sentence=step.sentence,
        events=events,
        strengths=None if correction is None else correction.strengths,
        by=_WAYS.get(undone.by, "edit"),
        form="model" if correction is None else "processor",
        base=base,
        contexts=record.contexts,
        seed=record.seed,
        measured=step.measured,
        placement=placement_of(undone.model.model),
        versions=versions(),
        chain=[] if label is None else label.chain,
    )
    return with_step(made, step)


def _label_of_base(undone: Undone, label: Label) -> Label | None:
    """The label of the base that was put back, where that is tilted itself."""
    if undone.by != "label":
        return None
    _, found = find_label(label.base.name)
    return found if found is not None and not found.undone else None


def _figures(record: UndoRecord) -> dict[str, LabelFigure]:
    """What is left of the tilt, as a label has it."""
    over = f"Student, over {record.held_out_contexts} held-out contexts"
    figures = {
        f"strength left, {left.event[:200]}": LabelFigure(
            value=left.after.mean, interval=left.after.interval, unit="nats", over=over
        )
        for left in record.left
        if left.after is not None
    }
    if record.kl_after_nats is not None:
        figures["KL from the reference"] = LabelFigure(
            value=record.kl_after_nats, interval=None, unit="nats a token", over=over
        )
    return figures
