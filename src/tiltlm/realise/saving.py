"""Save a tilted model with its label, so that plain transformers or peft loads it."""

from __future__ import annotations

import json
from pathlib import Path

from peft import PeftModel

from tiltlm.files import check_out, require_free, staged, write_json, write_text
from tiltlm.labels.card import write_tilt_label
from tiltlm.models.loading import base_folder
from tiltlm.models.structure import untie_head
from tiltlm.realise.result import Tilted
from tiltlm.records.base import Estimate
from tiltlm.records.tilt import (
    EstimateRecord,
    EventDetailRecord,
    EventMassRecord,
    FidelityRecord,
    TiltRecord,
)
from tiltlm.targets.logits_processor import logit_bias
from tiltlm.versions import versions


def record_of(tilted: Tilted, base: str, sha256: str, seed: int, sentence: str) -> TiltRecord:
    """What was measured, as ``result.json`` holds it."""
    found = tilted.fidelity
    first = found.masses[0] if found.masses else None
    target = tilted.target
    return TiltRecord(
        by=tilted.by,
        target=target.text,
        sentence=sentence,
        fidelity=FidelityRecord(
            gap_closed=found.gap_closed,
            interval=found.interval,
            kl_target_model_nats=found.kl_target_model.mean,
            kl_target_base_nats=found.kl_target_base.mean,
        ),
        event_mass=None
        if first is None
        else EventMassRecord(
            base=first.base.mean, target=first.target.mean, model=first.model.mean
        ),
        events=[
            EventDetailRecord(
                event=m.event,
                base=_estimate(m.base),
                target=_estimate(m.target),
                model=_estimate(m.model),
            )
            for m in found.masses
        ],
        collateral_nats=None if found.collateral is None else found.collateral.mean,
        leakage_nats=None if found.leakage is None else found.leakage.mean,
        strengths=target.strengths,
        details=tilted.details,
        contexts=tilted.contexts,
        held_out_contexts=found.contexts,
        held_out_positions=found.positions,
        base={"name": base, "sha256": sha256},
        seed=seed,
        versions=versions(),
        seconds=tilted.seconds,
    )


def _estimate(found: Estimate) -> EstimateRecord:
    return EstimateRecord(mean=found.mean, interval=found.interval)


def save_tilted(tilted: Tilted, record: TiltRecord, out: Path, *, merge: bool = False) -> None:
    """Write ``out``, whole or not at all: result, label, card, and model or adapter.

    For ``decode`` there are no weights: ``logit_bias.json`` holds what a server can be given,
    where it can, and ``tilt.json`` the target to decode with.

    Args:
        tilted: what to save; with ``merge`` its model is merged and no adapter any more.
        record: from `record_of`.
        out: a new folder.
        merge: write a whole model, its head untied, instead of an adapter.

    Raises:
        StorageError: no room.
        RunError: ``out`` holds something.
    """
    check_out(out)
    adapter = isinstance(tilted.model, PeftModel) and not merge
    if not adapter and tilted.by != "decode":
        size = sum(p.numel() * p.element_size() for p in tilted.model.parameters())
        require_free(out, size + size // 2, "a whole model")
    with staged(out) as folder:
        folder.mkdir(parents=True)
        model = folder / "model"
        if tilted.by == "decode":
            _write_biases(tilted, folder)
            write_tilt_label(folder, record, adapter=False, source=record.base["name"])
        else:
            _save_weights(tilted, model, merge)
            tilted.tokenizer.save_pretrained(model)
            source = base_folder(record.base["name"])
            write_tilt_label(model, record, adapter=adapter, source=source)
        write_json(folder / "result.json", record.model_dump(mode="json"))


def _save_weights(tilted: Tilted, folder: Path, merge: bool) -> None:
    if isinstance(tilted.model, PeftModel):
        if not merge:
            tilted.model.save_pretrained(str(folder), save_embedding_layers=False)
            return
        untie_lora_head(tilted.model)
        merged = tilted.model.merge_and_unload()
        merged.save_pretrained(folder)
        return
    tilted.model.save_pretrained(folder)


def untie_lora_head(model: PeftModel) -> None:
    """Give the head under an adapter a weight of its own, so that merging spares the embedding."""
    untie_head(model.get_base_model())  # type: ignore[arg-type]


def _write_biases(tilted: Tilted, folder: Path) -> None:
    target = tilted.target
    if target.constant_shifts() is not None and not target.depends_on_context:
        write_text(folder / "logit_bias.json", json.dumps(logit_bias(target), indent=1) + "\n")
