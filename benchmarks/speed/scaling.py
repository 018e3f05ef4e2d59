"""How time and memory of a training step grow, measured on tiny Llamas, and what follows from it.

All weights are trained towards `tilt(contains('x'), 1)` at all positions, in float32. One thing at
a time is varied: width, layers, length, batch, vocabulary. Then

    seconds = a·FLOPs + b·bytes moved + c,        extra memory = d·activations + e·block + P floats

are fitted (least squares of the relative error, no factor below 0), with the terms of `cost_model`.
What larger models need on GPUs is then an estimate, printed as one: nothing of it was measured.

    python -m benchmarks.speed.scaling [--small] [--flops-per-second 989e12] [--utilisation 0.4]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from transformers import LlamaConfig, LlamaForCausalLM, Trainer

from benchmarks.harness.report import size, write
from benchmarks.harness.timing import Build, Group, Work, main
from benchmarks.harness.trainers import STEPS, arguments, stepping
from benchmarks.speed.cost_model import Expected, Shape, bytes_moved, expected, flops, memory_terms
from tiltlm import RandomTokenContexts, TiltConfig, TiltTrainer, parse_target
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.vocabulary import Vocabulary

CONTEXTS = 64
MODELS = {
    "1B": Shape(2048, 8192, 512, 16, 128_256, 32, 1024, tied=True),
    "8B": Shape(4096, 14_336, 1024, 32, 128_256, 32, 1024),
    "70B": Shape(8192, 28_672, 1024, 80, 128_256, 32, 1024),
}


def shape_of(width: int, layers: int, length: int, batch: int, vocabulary: int) -> Shape:
    """A small Llama: an MLP of 3 widths, keys as wide as queries, tied."""
    return Shape(width, 3 * width, width, layers, vocabulary, batch, length, tied=True)


def shapes(small: bool) -> dict[str, Shape]:
    """The middle one, and what differs from it in one thing."""
    if small:
        middle = shape_of(32, 2, 16, 2, 500)
        varied: dict[str, list[int]] = {"layers": [4], "vocabulary": [1000]}
    else:
        middle = shape_of(256, 4, 128, 4, 8000)
        varied = {
            "width": [128, 512],
            "layers": [2, 8],
            "length": [64, 256, 512],
            "batch": [1, 8, 16],
            "vocabulary": [2000, 32_000, 64_000],
        }
    found = {"middle": middle}
    for name, values in varied.items():
        for value in values:
            change: dict[str, Any] = {name: value}
            if name == "width":
                change |= {"mlp": 3 * value, "keys": value}
            found[f"{name} {value}"] = replace(middle, **change)
    return found


def build(shape: Shape) -> Work:
    """`TiltTrainer` over a reference read before."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=max(1, shape.width // 64),
            max_position_embeddings=shape.length,
            tie_word_embeddings=shape.tied,
        )
    )
    tokens = tuple(f"x{i}" if i % 50 == 0 else str(i) for i in range(shape.vocabulary))
    vocabulary = Vocabulary(tuple(token.encode() for token in tokens))
    target = parse_target("tilt(contains('x'), 1)").bind(vocabulary)
    random = RandomTokenContexts(shape.vocabulary, shape.length, shape.batch * STEPS, seed=0)
    contexts = TokenContexts(random.batch().tolist(), "random tokens")
    reference = Reference(model, contexts)
    reference.head = reference.head.copied()

    def make(folder: str) -> Trainer:
        args = TiltConfig(**arguments(folder, shape.batch))
        return TiltTrainer(model, args, target, contexts, reference=reference)

    return stepping(make)


def groups(small: bool) -> list[Group]:
    """One group: every size is a variant."""
    variants: dict[str, Build] = {n: partial(build, s) for n, s in shapes(small).items()}
    return [Group("A step, by size", variants, "middle", 2 if small else 5, cost=True)]


def fitted(terms: list[list[float]], values: list[float]) -> tuple[list[float], float]:
    """Factors of at least 0 that leave the least relative error, and its median size."""
    matrix, wanted = np.array(terms), np.array(values)
    scale = matrix.max(axis=0)  # terms differ by many powers of ten
    factors = nnls(matrix / scale / wanted[:, None], np.ones(len(wanted)))[0] / scale
    return [float(f) for f in factors], float(np.median(np.abs(matrix @ factors / wanted - 1)))


def fit(result: dict[str, Any], small: bool) -> dict[str, Any]:
    """Factors of both formulas."""
    known = shapes(small)
    rows = [(known[v["name"]], v) for v in result["variants"] if "skipped" not in v]
    seconds = fitted(
        [[flops(s), bytes_moved(s), 1.0] for s, _ in rows],
        [v["seconds"]["median"] for _, v in rows],
    )
    # Gradients are known to the byte, so they are taken off rather than fitted.
    beyond = [(s, max(1.0, v["extra_bytes"] - memory_terms(s)[0])) for s, v in rows]
    memory = fitted([memory_terms(s)[1:] for s, _ in beyond], [m for _, m in beyond])
    return {
        "seconds_per_flop": seconds[0][0],
        "seconds_per_byte": seconds[0][1],
        "seconds_per_step": seconds[0][2],
        "seconds_error": seconds[1],
        "activations_kept": memory[0][0],
        "blocks_held": memory[0][1],
        "memory_error": memory[1],
    }


def show(found: dict[str, Any]) -> None:
    """What was fitted."""
    each = found["seconds_per_flop"]
    rate = f"{1 / each:.3g} FLOP/s" if each else "no time for FLOPs"
    moved = found["seconds_per_byte"]
    speed = f"{1 / moved:.3g} bytes/s" if moved else "no time for bytes"
    print(
        f"seconds: {rate}, {speed}, {found['seconds_per_step']:.3g} s a step besides; "
        f"median error {found['seconds_error']:.0%}\n"
        f"memory: {found['activations_kept']:.2f} × activations, {found['blocks_held']:.2f} blocks "
        f"of logits, gradients as they are; median error {found['memory_error']:.0%}\n"
    )


def estimates(rate: float, blocks_held: float) -> list[dict[str, Any]]:
    """Llama-like models of three sizes on 1 and 8 GPUs, all weights or LoRA of rank 8."""
    found = []
    for name, model in MODELS.items():
        for gpus in (1, 8):
            for rank in (0, 8):
                cost = expected(replace(model, rank=rank), gpus, rate, CONTEXTS, blocks_held)
                how = f"LoRA, rank {rank}" if rank else "all weights"
                found.append({"model": name, "gpus": gpus, "trained": how, "cost": cost})
    return found


def show_estimates(rows: list[dict[str, Any]], rate: float) -> None:
    """A Markdown table."""
    names = [n for n in Expected.__dataclass_fields__ if n != "seconds"]
    print(
        f"An ESTIMATE from the formulas at {rate:.3g} FLOP/s a GPU, not a measurement: "
        "32 × 1024 tokens a step, bytes a GPU.\n"
    )
    print("| model | GPUs | trained | " + " | ".join(names) + " | sum | seconds a step |")
    print("|---" * (len(names) + 5) + "|")
    for row in rows:
        cells = [size(getattr(row["cost"], name)) for name in names]
        print(
            f"| {row['model']} | {row['gpus']} | {row['trained']} | "
            + " | ".join(cells)
            + f" | {size(row['cost'].total)} | {row['cost'].seconds:.2g} |"
        )


def run() -> None:
    """Measure, fit, estimate; save all three."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--flops-per-second", type=float, default=989e12)
    parser.add_argument("--utilisation", type=float, default=0.4)
    chosen, rest = parser.parse_known_args()
    sys.argv[1:] = rest  # what is left is `main`'s
    found = main(__file__, __doc__ or "", groups)
    if not found:
        return
    small, rate = "--small" in rest, chosen.flops_per_second * chosen.utilisation
    factors = fit(found[0], small)
    show(factors)
    rows = estimates(rate, factors["blocks_held"])
    show_estimates(rows, rate)
    assumed = {"flops_per_second": chosen.flops_per_second, "utilisation": chosen.utilisation}
    plain = [row | {"cost": asdict(row["cost"])} for row in rows]
    name = "scaling" + ("_small" if small else "")
    write(name, found, {"fit": factors, "assumed": assumed, "estimates": plain})


if __name__ == "__main__":
    run()
