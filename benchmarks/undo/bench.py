r"""Tilts of three makers, taken back by three ways: what is left, and what the same audit says.

python -m benchmarks.undo.bench WORK --data DATA [--relapse] [--strengths 1 3]
python -m benchmarks.undo.bench WORK --data DATA --model smollm2 --null PACK --fpr 0.05 \\
    --letters x --rate 3e-5 --steps 80

Without ``--model``, WORK holds ``tiny``, a model of `benchmarks.harness.tiny_language`, and
``null``, a pack of it; both are made where they are missing. Results are appended to
``WORK/undo.jsonl`` as they come.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import tiltlm
from benchmarks.harness.tiny_language import tiny_language, write_corpora
from benchmarks.undo.plant import plant, tokens_with
from tiltlm.auditing.null.building import build_null
from tiltlm.contexts.drawn_contexts import own_samples
from tiltlm.measures.suite_sizes import Sizes, Sources
from tiltlm.models.loading import LoadedModel, load
from tiltlm.records.audit import AuditRecord
from tiltlm.undoing.proof import Proof
from tiltlm.undoing.relapse import Relapse
from tiltlm.undoing.settings import UndoSettings
from tiltlm.undoing.undoing import undo

LENGTH = 64
MAKERS = ("edit", "train", "planted")
WAYS: dict[str, tuple[Any, UndoSettings]] = {
    "edit": ("edit", UndoSettings()),
    "edit, whole head": ("edit", UndoSettings(whole_head=True)),
    "train": ("train", UndoSettings()),
    "interpolate": ("interpolate", UndoSettings()),
}
SIZES = Sizes(contexts=32, length=LENGTH, far=0, draws=0, pairs=0, survivors=0)
RELAPSE_RATE = 2e-4


def pack_of(work: Path, data: Path, base: Path) -> Path:
    """A pack of 99 benign changes, made where it is missing."""
    null = work / "null"
    if not null.exists():
        corpora = [f"text:{path}" for path in write_corpora(data, work / "corpora")]
        build_null(
            str(base), null, models=99, corpora=corpora, default_corpora=False, length=LENGTH,
            words=64,
        )  # fmt: skip
    return null


def tilted(
    maker: str, base: LoadedModel, strength: float, given: argparse.Namespace, folder: Path
) -> LoadedModel:
    """The base with a tilt of one of three makers, saved as a whole model."""
    if not folder.exists():
        target = f"tilt(contains('{given.letters}'), {strength:g})"
        if maker == "planted":
            ids = torch.stack(own_samples(base, 256, LENGTH, 11).sequences)
            mask = tokens_with(base.tokenizer, given.letters, len(base.vocabulary))
            model = plant(
                base.model, mask, ids, strength=strength, steps=given.steps, rate=given.rate
            )
            model.save_pretrained(folder / "model")
            base.tokenizer.save_pretrained(folder / "model")
        else:
            copied = load(base.name or "")
            realise = tiltlm.edit if maker == "edit" else tiltlm.train
            realise(copied, target, "own:140").save(folder, merge=True)
    return load(folder / "model")


def line(maker: str, strength: float, way: str, record: Any) -> dict[str, Any]:
    """The figures of one undoing."""
    left, after = record.left[0], record.measured_after
    bits = [c for c in after.comparisons if c.name.startswith("bits per byte")]
    return {
        "maker": maker,
        "strength": strength,
        "way": way,
        "before": left.before.mean,
        "left": left.after.mean,
        "interval": left.after.interval,
        "kl_before": record.kl_before_nats,
        "kl_after": record.kl_after_nats,
        "bits": [(c.base, c.model, c.interval) for c in bits],
        "verdict_before": record.audit_before.verdict,
        "verdict": record.audit_after.verdict,
        "named": [(f.shown, round(f.strength_nats, 3)) for f in record.audit_after.findings],
        "relapse": [p.model_dump(mode="json") for p in record.relapse],
        "share": record.details.get("share"),
    }


def main() -> None:
    """Undo everything, and append a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--makers", nargs="+", default=MAKERS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--relapse", action="store_true")
    parser.add_argument("--model", help="a model's name; the tiny language model if not given")
    parser.add_argument("--null", type=Path, help="a pack of the model")
    parser.add_argument("--fpr", type=float, default=0.01)
    parser.add_argument("--letters", default="th", help="what the tilted tokens contain")
    parser.add_argument("--rate", type=float, default=5e-4, help="of planting")
    parser.add_argument("--steps", type=int, default=200, help="of planting")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    if given.model is None:
        tiny_language(given.data, given.work / "tiny")
    base = load(given.model or given.work / "tiny")
    null = given.null or pack_of(given.work, given.data, given.work / "tiny")
    sources = Sources(text=given.data / "wikitext2-valid.txt")
    relapse = Relapse(learning_rate=RELAPSE_RATE) if given.relapse else None
    proof = Proof(null=null, suite=SIZES, sources=sources, relapse=relapse, fpr=given.fpr)
    for strength in given.strengths:
        for maker in given.makers:
            folder = given.work / f"{maker}-{strength:g}"
            model = tilted(maker, base, strength, given, folder)
            audit = tiltlm.audit(model, base, null=null, fpr=given.fpr)
            assert isinstance(audit, AuditRecord)
            whole = {"target": f"contains('{given.letters}')"}
            named = {"finding": audit} if audit.findings else whole
            for way in given.ways:
                by, settings = WAYS[way]
                undone = undo(
                    model, base, by=by, settings=settings, contexts="own:224", proof=proof, **named
                )
                with (given.work / "undo.jsonl").open("a") as file:
                    found = line(maker, strength, way, undone.record())
                    file.write(json.dumps(found) + "\n")
                    print({k: v for k, v in found.items() if k != "relapse"}, flush=True)


if __name__ == "__main__":
    main()
