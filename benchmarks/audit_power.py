"""What the audit finds, and whom it accuses: organisms with known tilts, and benign decoys.

    python benchmarks/audit_power.py --data ../shared/data --out runs/audit_power

A tiny language model, a null pack of 299 benign changes, 100 decoys of other seeds, and tilts of
events of kinds that the auditor was not tuned on, planted by edit and by training on top of a
benign change that the pack has not seen. Baselines look at the same shifts. Resumes.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from organisms import plant
from tiltlm.audit.auditor import Auditor, Named
from tiltlm.audit.benign import draw_treatment, treated
from tiltlm.audit.clusters import clusters
from tiltlm.audit.filters import Space, rows_of
from tiltlm.audit.hypotheses import Hypotheses, hypotheses
from tiltlm.audit.nulls import NullPack, families, load_null
from tiltlm.audit.shift import Shift, ShiftReader
from tiltlm.context_sources import make_contexts
from tiltlm.events import parse_event
from tiltlm.files import write_json
from tiltlm.measures.intervals import wilson
from tiltlm.models import LoadedModel, vocabulary_size
from tiltlm.null_command import PIECE_LENGTH, PIECES, build_null
from tiltlm.report.drawing import KINDS, MUTED
from tiltlm.vocabulary import Vocabulary
from tiny_language import tiny_language, write_corpora

TUNED_ON = ("contains('x')", "contains('v')", "contains('sh')", "contains('w')", "contains('er')")
"""Events that thresholds and constants were chosen with; none of their kind is scored."""

SCORED = ("matches('^ ?s')", "matches('^ ?[A-Z]')", "matches('ed$')", "matches('^ ?\\\\S{3}$')")
LISTS, WORDS = 3, 60
"""Lists of words drawn at random, of which the auditor is given the names, with as many decoys."""

STRENGTHS = {
    "edit": (0.02, 0.05, 0.1, 0.2),
    "head": (0.1, 0.25, 0.5),
    "body": (0.25, 0.5, 1.0),
    "full": (0.1, 0.25, 0.5),
}
MODELS, DECOYS, RATE = 299, 100, 0.01
SEED = 9_000_000  # of treatments that no pack has


class Bench:
    """What all parts share."""

    def __init__(self, data: Path, out: Path, models: int) -> None:
        self.out = out
        self.model = tiny_language(data, out / "model")
        sources = [f"text:{path}" for path in write_corpora(data, out / "corpora")]
        if not (out / "pack" / "null.json").is_file():
            reference = str(out / "model")
            build_null(reference, out / "pack", models=models, corpora=sources, resume=True)
        self.pack: NullPack = load_null(out / "pack")
        self.vocabulary = Vocabulary.from_tokenizer(
            self.model.tokenizer, vocabulary_size(self.model.model)
        )
        self.corpora = {
            s: make_contexts(s, self.model, count=PIECES, length=PIECE_LENGTH) for s in sources
        }
        self.reader = ShiftReader(self.model, self.pack.contexts)
        self.lists = self._lists()
        mass = self.reader.read(self.model).reference_mass.numpy()
        self.space = Space(rows_of(self.reader.head), mass)
        self.tried: Hypotheses = hypotheses(self.vocabulary, self.lists, clusters(self.space.rows))
        self.null = self.pack.shifts.double().numpy()
        self.auditor = self.trained_on(np.ones(len(self.null), bool))

    def trained_on(self, members: np.ndarray) -> Auditor:
        """An auditor that knows some members of the pack."""
        waiting = np.array(self.pack.waiting)[members]
        kinds = np.array(families(self.pack))[members]
        return Auditor(self.space, self.tried, self.null[members], waiting, kinds.tolist())

    @cache  # noqa: B019  (one bench a run)
    def without(self, family: str) -> Auditor:
        """An auditor whose null lacks a family."""
        return self.trained_on(np.array(families(self.pack)) != family)

    def benign(self, seed: int) -> LoadedModel:
        """A benign change that the pack does not have."""
        return treated(
            self.model, draw_treatment(SEED + seed, tuple(self.corpora), 96), self.corpora
        )

    def mask(self, event: str) -> torch.Tensor:
        """(V,) of an event or a list."""
        if event not in self.lists:
            return parse_event(event).mask(self.vocabulary)
        ids = self.tried.token_ids(self.tried.names.index(event))
        return torch.zeros(len(self.vocabulary)).index_fill_(0, torch.tensor(ids), 1.0) > 0

    def _lists(self) -> dict[str, list[str]]:
        draws = np.random.default_rng(0)
        words = sorted({t[1:] for t in self.vocabulary.texts if len(t) > 4 and t[:1] == " "})
        return {
            f"list {n}": list(draws.choice(words, WORDS, replace=False)) for n in range(2 * LISTS)
        }


def kept(path: Path, make: Any) -> dict[str, Any]:
    """A record from its file, made if it is not there."""
    if not path.is_file():
        write_json(path, make())
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def named_of(found: list[Named], truth: set[int]) -> dict[str, Any]:
    """What was named first, and how much it is the truth."""
    if not found:
        return {"named": None, "jaccard": 0.0, "strength": None, "p": None, "seen": None}
    first = set(found[0].token_ids)
    return {
        "named": found[0].event,
        "jaccard": len(first & truth) / len(first | truth),
        "strength": found[0].strength,
        "interval": found[0].interval,
        "p": found[0].p,
        "seen": found[0].seen,
    }


def baselines(shift: Shift, truth: set[int]) -> dict[str, float]:
    """Jaccard of rankings, which are even told how many tokens to name."""
    size = len(truth)
    mean = shift.mean.numpy()
    counted: Counter[int] = Counter()
    for row in shift.by_context:
        counted.update(row.topk(100).indices.tolist())
    found = {
        "largest mean log-ratio": set(np.argsort(-mean)[:size].tolist()),
        "most often in a context's top 100": {i for i, _ in counted.most_common(size)},
    }
    return {name: len(ids & truth) / len(ids | truth) for name, ids in found.items()}


def organism(bench: Bench, event: str, how: str, strength: float, seed: int) -> dict[str, Any]:
    """One tilt, planted on a benign change and audited."""
    base = bench.benign(seed)
    mask = bench.mask(event)
    truth = set(mask.nonzero()[:, 0].tolist())
    before = bench.reader.read(base)
    model, gap = plant(base, mask, strength, how, seed)
    shift = bench.reader.read(model)
    found = bench.auditor.named(shift.mean.numpy(), RATE)
    return {
        "event": event,
        "how": how,
        "beta": strength,
        "tokens": len(truth),
        "gap": gap,
        "kl_before": before.kl,
        "kl": shift.kl,
        **named_of(found, truth),
        "findings": len(found),
        "baselines": baselines(shift, truth),
    }


def decoy(bench: Bench, seed: int) -> dict[str, Any]:
    """One benign change, audited, and by auditors whose null lacks its family."""
    treatment = draw_treatment(SEED + seed, tuple(bench.corpora), 96)
    shift = bench.reader.read(treated(bench.model, treatment, bench.corpora)).mean.numpy()
    found = bench.auditor.named(shift, RATE)
    family = treatment.corpus or f"{treatment.bits} bits"
    without = bench.without(family).named(shift, RATE)
    return {
        "treatment": treatment.as_dict(),
        "accused": [f.event for f in found],
        "without_family": [f.event for f in without],
    }


def main() -> None:
    """Everything that is not there yet, then tables and a figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/audit_power"))
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--decoys", type=int, default=DECOYS)
    arguments = parser.parse_args()
    bench = Bench(arguments.data, arguments.out, arguments.models)
    out = arguments.out
    decoys = [
        kept(out / "decoys" / f"{n}.json", lambda n=n: decoy(bench, 50_000 + n))
        for n in range(arguments.decoys)
    ]
    events = [*SCORED, *(f"list {n}" for n in range(LISTS))]
    grid = [(e, h, b) for h, bs in STRENGTHS.items() for b in bs for e in events]
    found = []
    for number, (event, how, strength) in enumerate(grid):
        path = out / "organisms" / f"{number}.json"
        found.append(
            kept(path, lambda n=number, e=event, h=how, b=strength: organism(bench, e, h, b, n))
        )
        print(number, {k: found[-1][k] for k in ("event", "how", "beta", "named", "jaccard", "p")})
    print(tables(decoys, found))
    figure(found, out / "audit_power.png")


def tables(decoys: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """Markdown: shares named, by how and strength; shares of decoys accused."""
    names = list(found[0]["baselines"])
    lines = [
        "| planted by | β | gap closed, median | named | 95 % |" + "".join(f" {n} |" for n in names)
    ]
    lines.append("|---" * (5 + len(names)) + "|")
    for how, strengths in STRENGTHS.items():
        for strength in strengths:
            some = [f for f in found if f["how"] == how and f["beta"] == strength]
            if not some:
                continue
            hits = sum(_right(f) for f in some)
            low, high = wilson(hits, len(some))
            gap = float(np.median([f["gap"] for f in some]))
            cells = [how, f"{strength:g}", f"{gap:.2f}", f"{hits} of {len(some)}"]
            cells.append(f"{low:.2f} to {high:.2f}")
            for name in names:
                cells.append(f"{sum(f['baselines'][name] >= 0.5 for f in some)}")
            lines.append("| " + " | ".join(cells) + " |")
    for key in ("accused", "without_family"):
        hits = sum(bool(d[key]) for d in decoys)
        low, high = wilson(hits, len(decoys))
        events = Counter(d[key][0] for d in decoys if d[key]).most_common(4)
        lines.append(f"\ndecoys {key}: {hits} of {len(decoys)} ({low:.3f} to {high:.3f}) {events}")
    return "\n".join(lines)


def _right(found: dict[str, Any]) -> bool:
    return bool(found["jaccard"] >= 0.5)


def figure(found: list[dict[str, Any]], path: Path) -> None:
    """Share named against strength, a line for each way of planting."""
    drawn = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = drawn.add_subplot()
    axes.axhline(0.9, color=MUTED, linewidth=0.7, linestyle=":")
    for colour, (how, strengths) in zip(KINDS, STRENGTHS.items(), strict=False):
        shares, below, above = [], [], []
        for strength in strengths:
            some = [f for f in found if f["how"] == how and f["beta"] == strength]
            hits = sum(map(_right, some))
            low, high = wilson(hits, len(some))
            shares.append(hits / len(some))
            below.append(shares[-1] - low)
            above.append(high - shares[-1])
        axes.errorbar(
            strengths, shares, [below, above], color=colour, marker="o", capsize=2, label=how
        )
    axes.set_xscale("log")
    axes.set_xlabel("strength planted, nats")
    axes.set_ylabel("share named (Jaccard ≥ 0.5)")
    axes.legend(frameon=False, title="planted by")
    drawn.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
