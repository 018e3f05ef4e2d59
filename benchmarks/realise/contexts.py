"""How much of the gap an edit closes, by how many tokens it is fitted to: figure and table.

    python -m benchmarks.realise.contexts smollm2 --data ../shared/data --out docs/images

An edit is fitted to parts of one set of the model's own samples: fewer of them, or their first
tokens alone. The gap closed is taken at the same held-out contexts each time, from masses of
classes, with its interval over these contexts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.realise.fidelity import bind, events
from tiltlm.contexts.reference import Reference
from tiltlm.losses.divergences import forward_kl
from tiltlm.models.loading import load
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.head_edit import edit_for
from tiltlm.realise.head_solver import class_log_probs
from tiltlm.realise.preparation import Prepared, prepare
from tiltlm.records.base import Estimate
from tiltlm.statistics.intervals import ratio_estimate

COUNTS = (8, 16, 32, 64)
LENGTHS = (32, 64, 128)


@dataclass(frozen=True)
class Point:
    """The gap closed by an edit that was fitted to ``count`` contexts of ``length`` tokens."""

    event: str
    strength: float
    count: int
    length: int
    gap: Estimate


def part(targets: ClassTargets, lengths: Sequence[int], count: int, length: int) -> ClassTargets:
    """The first ``length`` positions of the first ``count`` contexts, which have ``lengths``."""
    begins = torch.tensor([0, *lengths]).cumsum(0).tolist()
    rows = torch.cat(
        [torch.arange(b, b + min(length, n)) for b, n in zip(begins, lengths[:count], strict=False)]
    )
    return replace(
        targets,
        hidden=[hidden[:length] for hidden in targets.hidden[:count]],
        log_masses=targets.log_masses[rows],
        shifts=targets.shifts[rows],
        raw_shifts=targets.raw_shifts[rows],
        kl_weights=targets.kl_weights[rows],
    )


def gap_closed(held_out: ClassTargets, directions: torch.Tensor, scale: float) -> Estimate:
    """1 − KL(Q‖P)/KL(Q‖P0) from masses of classes, its interval over contexts."""
    left, whole, first = [], [], 0
    for hidden in held_out.hidden:
        rows = slice(first, first + len(hidden))
        moved = hidden.double() @ directions.double().T * scale
        log_masses, shifts = held_out.log_masses[rows], held_out.shifts[rows]
        target, model, base = (
            class_log_probs(log_masses, s) for s in (shifts, moved, torch.zeros_like(moved))
        )
        left.append(float(forward_kl(target, model).sum()))
        whole.append(float(forward_kl(target, base).sum()))
        first += len(hidden)
    ratio = ratio_estimate(left, whole)
    low, high = ratio.interval or (float("nan"), float("nan"))
    return Estimate(mean=1 - ratio.mean, interval=(1 - high, 1 - low))


def points(work: Prepared, name: str, event: str, strength: float) -> list[Point]:
    """Of one target, whose event has a name, over all counts and lengths."""
    bind(work, f"tilt({event}, {strength:g})")
    classes = work.target.classes()
    assert classes is not None
    fitted, held_out = (
        ClassTargets.of(work.target, reference, classes) for reference in (work.fit, work.held_out)
    )
    lengths, found = [len(hidden) for hidden in fitted.hidden], []
    for length in LENGTHS:
        for count in COUNTS:
            if count <= len(lengths):
                edit = edit_for(part(fitted, lengths, count, length), classes, work.fit)
                gap = gap_closed(held_out, edit.directions, _scale(work.fit))
                found.append(Point(name, strength, count, length, gap))
    return found


def _scale(reference: Reference) -> float:
    """Of the head, which may have no cap here."""
    assert reference.head.cap is None
    return reference.head.scale


def plot(found: Sequence[Point], width: int, path: Path) -> None:
    """What is left of the gap against tokens fitted for each dimension, a panel a strength."""
    import matplotlib.pyplot as plt

    strengths = list(dict.fromkeys(p.strength for p in found))
    names = list(dict.fromkeys(p.event for p in found))
    figure, axes = plt.subplots(
        1, len(strengths), figsize=(5 * len(strengths), 4), sharey=True, squeeze=False
    )
    for axis, strength in zip(axes[0], strengths, strict=True):
        for number, name in enumerate(names):
            for length, style in zip(LENGTHS, ("dotted", "dashed", "solid"), strict=True):
                line = [
                    p for p in found if (p.event, p.strength, p.length) == (name, strength, length)
                ]
                axis.plot(
                    [p.count * length / width for p in line],
                    [1 - p.gap.mean for p in line],
                    color=f"C{number}", linestyle=style, marker="o", markersize=3,
                    label=name if length == LENGTHS[-1] else None,
                )  # fmt: skip
        axis.axhline(0.005, color="0.6", linewidth=0.8)
        axis.set(xscale="log", yscale="log", title=f"tilts of {strength:g} nats")
        axis.set_xlabel("tokens fitted for each dimension")
        axis.set_xticks([0.5, 1, 2, 4, 8, 16], ["½", "1", "2", "4", "8", "16"])
        axis.set_xticks([], minor=True)
    ticks = [0.002, 0.005, 0.01, 0.02, 0.05]
    axes[0][0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0][0].set_yticks([], minor=True)
    axes[0][0].set_ylabel("share of the gap left, held out")
    axes[0][-1].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print a row a target and length as it is measured, then draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--only", nargs="+", help="names of events")
    given = parser.parse_args()
    work = prepare(load(given.model), "tilt(contains('x'), 1)", "own:112")
    found: list[Point] = []
    print(f"| target | tokens | {' | '.join(f'{c} contexts' for c in COUNTS)} |", flush=True)
    for name, event in events(given.data).items():
        if given.only and name not in given.only:
            continue
        for strength in given.strengths:
            new = points(work, name, event, strength)
            found += new
            for length in LENGTHS:
                gaps = [p.gap for p in new if p.length == length]
                cells = [f"{g.mean:.4f} ({g.interval[0]:.4f})" for g in gaps if g.interval]
                print(f"| {name}, {strength:g} | {length} | {' | '.join(cells)} |", flush=True)
    plot(found, work.fit.hidden[0].shape[1], given.out / "edit-tokens.png")


if __name__ == "__main__":
    main()
