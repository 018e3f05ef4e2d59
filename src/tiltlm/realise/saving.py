"""Write a tilted model, its record and its label, so that plain transformers or peft loads it.

A folder of ``tiltlm tilt`` holds ``result.json`` and ``model/``, which is labelled. After decoding
there is no ``model/``; the label lies in the folder itself, beside ``logit_bias.json`` where a
server can be given the target as one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tiltlm.files import require_free, staged, write_json, write_text
from tiltlm.labels.card import write_label
from tiltlm.labels.label import Label
from tiltlm.models.model5 import as_gpt2
from tiltlm.records.tilt import TiltRecord
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.logits_processor import logit_bias


def check_room(out: Path, label: Label, model: PreTrainedModel | PeftModel) -> None:
    """Refuse to begin what cannot be finished, before anything is merged or written.

    Args:
        out: where a folder is to be written.
        label: its ``form`` says whether a whole model is.
        model: the tilted model.

    Raises:
        StorageError: there is no room for it.
    """
    if label.form == "model":
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        # A second copy of its weights lies there while their headers are written.
        require_free(out, 2 * size + size // 8, "a whole model")


def save_folder(
    out: Path,
    record: TiltRecord,
    label: Label,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    target: BoundTarget,
) -> None:
    """Write ``out``, whole or not at all: result, label, card, and model or adapter.

    Args:
        out: a new or empty folder, which is claimed.
        record: for ``result.json``.
        label: its ``form`` says what is written: an adapter, a whole model, or, for decoding, no
            weights.
        model: the tilted model; for an adapter with it, for a whole model without one.
        tokenizer: the base's.
        target: bound and fitted.

    Raises:
        StorageError: there is no room for it.
    """
    with staged(out) as folder:
        folder.mkdir(parents=True)
        if label.form == "processor":
            _write_biases(target, folder)
            write_json(folder / "result.json", record.model_dump(mode="json"))
            write_label(folder, label)
        else:
            weights = folder / "model"
            _write_weights(model, weights, label)
            tokenizer.save_pretrained(weights)
            write_label(weights, label)
            write_json(folder / "result.json", record.model_dump(mode="json"))


def _write_weights(model: PreTrainedModel | PeftModel, folder: Path, label: Label) -> None:
    """Write an adapter, or a whole model that plain transformers loads."""
    if isinstance(model, PeftModel):
        # peft would name the folder that the base was loaded from, which for a converted GGUF file
        # lies in this machine's cache.
        config: Any = model.peft_config["default"]
        config.base_model_name_or_path = label.base.hub_name or label.base.name
        model.save_pretrained(str(folder), save_embedding_layers=False)
    else:
        as_gpt2(model).save_pretrained(folder)


def _write_biases(target: BoundTarget, folder: Path) -> None:
    """Write ``logit_bias.json``, where the target is the same bias on each token everywhere."""
    if target.constant_shifts() is not None and not target.depends_on_context:
        write_text(folder / "logit_bias.json", json.dumps(logit_bias(target), indent=1) + "\n")
