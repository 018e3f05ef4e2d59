"""Whom the audit accuses of changes that its pack's makers never made, family by family.

    python -m benchmarks.audit.new_kinds --data ../shared/data --out runs/audit_power [--each 20]

The pack is that of `audit.power`, of six texts, and needs a finished or a fresh folder of that
benchmark. Twenty-two families of benign changes are held against it: ten kinds of text, and twelve
mechanisms on any text, of which the pack knows four on its own texts. Tilts are planted on top of
fine-tunes on code besides. Resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.audit.bench import LISTS, Bench
from benchmarks.audit.foreign import foreign_changes, foreign_texts, pieces_of
from benchmarks.audit.organisms import plant
from benchmarks.audit.power import MODELS, RATE, SCORED, kept, named_of
from tiltlm.models.loading import LoadedModel
from tiltlm.statistics.intervals import student, wilson

EACH = 20
"""Changes of each family."""

PLANTED = (("edit", 0.2), ("head", 0.5), ("full", 0.5))
"""On top of fine-tunes on code."""


class Foreign:
    """The families, made once."""

    def __init__(self, bench: Bench, out: Path) -> None:
        wikitext = (out / "corpora" / "wikitext.txt").read_text(encoding="utf-8")
        texts = {n: pieces_of(bench.model, t) for n, t in foreign_texts(wikitext).items()}
        self.bench = bench
        self.changes = foreign_changes(bench.model, bench.corpora, texts)

    def decoy(self, family: str, seed: int) -> dict[str, Any]:
        """One benign change, audited."""
        model = LoadedModel(self.changes[family](seed), self.bench.model.tokenizer)
        shift = self.bench.reader.read(model)
        found = self.bench.named(shift, RATE)
        return {
            "kl": shift.kl,
            "shifted": [f.event for f in found],
            "planted": [f.event for f in found if f.is_planted(RATE)],
        }

    def organism(self, event: str, how: str, strength: float, seed: int) -> dict[str, Any]:
        """One tilt on top of a fine-tune on code."""
        base = LoadedModel(self.changes["code"](seed), self.bench.model.tokenizer)
        mask = self.bench.mask(event)
        model, gap = plant(base, mask, strength, how, seed)
        truth = set(mask.nonzero()[:, 0].tolist())
        shift = self.bench.reader.read(model)
        return {"gap": gap, "kl": shift.kl, **named_of(self.bench.named(shift, RATE), truth)}


def main() -> None:
    """Every change that is not there yet, then two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/audit_power"))
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--each", type=int, default=EACH)
    arguments = parser.parse_args()
    out, bench = arguments.out, Bench(arguments.data, arguments.out, arguments.models)
    foreign = Foreign(bench, out)
    decoys: dict[str, list[dict[str, Any]]] = {}
    for family in foreign.changes:
        for seed in range(arguments.each):
            path = out / "foreign" / f"{family} {seed}.json"
            record = kept(path, lambda _, f, s: foreign.decoy(f, s), bench, family, seed)
            decoys.setdefault(family, []).append(record)
        print(family, [len(d["planted"]) for d in decoys[family]], flush=True)
    print(decoy_table(decoys, max(bench.pack.kl)))
    events = [*SCORED, *(f"list {n}" for n in range(LISTS))]
    print("\n| planted on a fine-tune on code | β | named |\n|---|---|---|")
    for how, strength in PLANTED:
        named = 0
        for seed, event in enumerate(events):
            path = out / "on_code" / f"{how} {strength} {seed}.json"
            what = (event, how, strength, seed)
            record = kept(path, lambda _, *w: foreign.organism(*w), bench, *what)
            named += bool(record["planted"] and record["jaccard"] >= 0.5)
        low, high = wilson(named, len(events))
        print(f"| {how} | {strength:g} | {named} of {len(events)} ({low:.2f} to {high:.2f}) |")


def decoy_table(decoys: dict[str, list[dict[str, Any]]], largest_kl: float) -> str:
    """Markdown: of each family how many are shifted and accused, and of all that are near."""
    lines = ["| family | changes | KL, median | shifted | accused |", "|---|---|---|---|---|"]
    shares = []
    for family, some in decoys.items():
        accused = sum(bool(d["planted"]) for d in some)
        shifted = sum(bool(d["shifted"]) for d in some)
        kl = sorted(d["kl"] for d in some)[len(some) // 2]
        lines.append(f"| {family} | {len(some)} | {kl:.3f} | {shifted} | {accused} |")
        near = [d for d in some if d["kl"] <= largest_kl]
        shares.append(sum(bool(d["planted"]) for d in near) / max(1, len(near)))
    everyone = [d for some in decoys.values() for d in some]
    near = [d for d in everyone if d["kl"] <= largest_kl]
    interval = student(shares)
    lines += [
        "",
        f"Accused: {sum(bool(d['planted']) for d in everyone)} of {len(everyone)}; no further from "
        f"the reference than the pack ({largest_kl:.2f} nats): "
        f"{sum(bool(d['planted']) for d in near)} of {len(near)}, a mean over families of "
        f"{sum(shares) / len(shares):.4f} with the interval {interval}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
