"""What each command's result needs at least, what the command does, and what it takes.

    python -m benchmarks.speed.floors smollm2 WORK --text FILE [--only edit measure] [--rounds 3]

A command's *products* are the floating-point operations of its matrix products, counted by
``torch.utils.flop_counter`` in a run that is not timed. What its result *needs* is worked out from
numbers of positions where that was done (`needs`): each position once through the body, each
position's logits once. The floor is what the machine takes for these operations, at the rate at
which it multiplies large float32 matrices in the same run, and for starting: Python, torch and
transformers imported and the weights read. Commands take turns, round after round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.records import record_in
from tiltlm.contexts.splits import split_sizes
from tiltlm.defaults import CONTEXT_TOKENS

TARGET = "tilt(contains('x'), 1)"
TRIGGERED = "when('the', tilt(contains('x'), 1))"


def needs(contexts: int) -> dict[str, tuple[int, int]]:
    """Positions that go through the body and positions whose logits are made, by command.

    Hidden states come out of drawing and are kept with the samples. The tilted model's logits are
    the base's and one number a class.

    Args:
        contexts: of the model's own that a tilt takes.
    """
    own = contexts * CONTEXT_TOKENS
    fit, tune, held_out = (n * CONTEXT_TOKENS for n in split_sizes(contexts))
    return {
        "tilt --by edit, no samples yet": (own, own),
        "tilt --by edit": (0, fit + held_out),
        "tilt --by train": (0, fit + tune + held_out),
        "tilt --by decode": (0, held_out),
    }


@dataclass(frozen=True)
class Command:
    """One row: a name, arguments of ``tiltlm`` without ``--out``, and what must be gone before."""

    name: str
    arguments: list[str]
    cold: bool = False


@dataclass(frozen=True)
class Machine:
    """What it gives: multiplications of large matrices, and how long it takes to start."""

    flops_per_second: float
    start: float


def commands(model: str, work: Path, text: Path) -> list[Command]:
    """Every row, in an order in which each finds what it needs."""
    tilted = str(work / "tilt --by edit")
    return [
        Command("tilt --by edit, no samples yet", ["tilt", model, "--target", TARGET], cold=True),
        Command("tilt --by edit", ["tilt", model, "--target", TARGET]),
        Command("tilt --by train", ["tilt", model, "--target", TARGET, "--by", "train"]),
        Command("tilt --by decode", ["tilt", model, "--target", TARGET, "--by", "decode"]),
        Command("tilt when(…) --by edit", ["tilt", model, "--target", TRIGGERED]),
        Command("measure --suite quick", ["measure", tilted, "--text", str(text)]),
        Command("audit", ["audit", tilted, "--reference", model]),
        Command(
            "audit --access logprobs",
            ["audit", tilted, "--reference", model, "--access", "logprobs"],
        ),
        Command("audit --access text", ["audit", tilted, "--reference", model, "--access", "text"]),
        Command("undo --by label", ["undo", tilted, "--by", "label"]),
        Command(
            "undo --by edit",
            ["undo", tilted, "--reference", model, "--target", "contains('x')", "--by", "edit"],
        ),
        Command("demo", ["demo"]),
    ]


def flops(model: str, name: str) -> float | None:
    """Of the products that a command's result needs; None where that was not worked out."""
    from tiltlm.contexts.for_target import contexts_to_fit
    from tiltlm.models.loading import load

    named = load(model)
    counts, loaded = needs(contexts_to_fit(named)), named.model
    if name not in counts:
        return None
    positions, rows = counts[name]
    head = loaded.get_output_embeddings().weight
    body = sum(
        parameter.numel()
        for parameter in loaded.parameters()
        if parameter.ndim == 2 and parameter.shape[0] != len(head)
    )
    return 2.0 * (positions * body + rows * head.numel())


def machine(model: str) -> Machine:
    """Multiply for some seconds; start a process that reads the weights and does nothing."""
    a, b = torch.randn(2048, 1024), torch.randn(1024, 4096)
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - begin)
    rate = 2 * 2048 * 1024 * 4096 / statistics.median(times)
    return Machine(rate, min(_start(model) for _ in range(3)))


def _start(model: str) -> float:
    """Seconds of a process that loads the weights with transformers alone."""
    from tiltlm.models.loading import source_folder

    code = "import sys, transformers as t; t.AutoModelForCausalLM.from_pretrained(sys.argv[1])"
    begin = time.perf_counter()
    folder = str(source_folder(model))
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, folder], check=True)
    return time.perf_counter() - begin


def ran(command: Command, work: Path, *, count: bool = False) -> tuple[float, dict[str, Any]]:
    """Seconds of a run, or its floating-point operations; and what its record says of its parts."""
    out = work / command.name
    if out.exists():
        shutil.rmtree(out)
    cache = work / ("cold" if command.cold else "cache")
    if command.cold:
        shutil.rmtree(cache / "contexts", ignore_errors=True)  # the converted model stays
    arguments = [*command.arguments, "--out", str(out)]
    module = ["benchmarks.speed.floors", "--count"] if count else ["tiltlm"]
    environment = {**os.environ, "TILTLM_CACHE": str(cache)}
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *module, *arguments],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    record = record_in(out)
    if record is None:
        raise RuntimeError(f"{command.name}: exit code {done.returncode}\n{done.stderr[-1000:]}")
    parts = record.get("seconds", {})
    if count:
        return float(done.stdout.rsplit("FLOPs ", 1)[1]), parts
    return seconds, parts if isinstance(parts, dict) else {}


def operations(command: Command, work: Path) -> float:
    """Floating-point operations of a command, with all there that a run keeps for later ones."""

    def kept() -> int:
        return sum(1 for _ in (work / "cache" / "contexts").glob("*"))

    before, found = kept(), ran(command, work, count=True)[0]
    return found if command.cold or kept() == before else ran(command, work, count=True)[0]


def counted(arguments: list[str]) -> None:
    """Run ``tiltlm`` with some arguments in this process, and print its operations at the end."""
    from torch.utils.flop_counter import FlopCounterMode

    from tiltlm.cli.main import main as tiltlm_main

    counter = FlopCounterMode(display=False)
    sys.argv = ["tiltlm", *arguments]
    with counter, contextlib.suppress(SystemExit):
        tiltlm_main()
    print(f"FLOPs {counter.get_total_flops()}")


def row(name: str, model: str, machine: Machine, seconds: list[float], done: float,
        parts: dict[str, float]) -> str:  # fmt: skip
    """A line of the table."""
    least_flops = flops(model, name)
    now, least = statistics.median(seconds), None
    if least_flops is not None:
        least = machine.start + least_flops / machine.flops_per_second
    does = machine.start + done / machine.flops_per_second
    largest = sorted(((s, part) for part, s in parts.items() if part != "total"), reverse=True)
    where = ", ".join(f"{part} {s:.0f} s" for s, part in largest[:4] if s >= 0.5)
    cells = [
        f"`{name}`",
        "–" if least_flops is None else f"{least_flops / 1e12:.2f}",
        f"{done / 1e12:.2f}",
        "–" if least is None else f"{least:.0f} s",
        f"{does:.0f} s",
        f"{now:.0f} s ({min(seconds):.0f} to {max(seconds):.0f})",
        f"{now / (does if least is None else least):.1f}",
        where or "–",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Time and count every command, and print the table."""
    if sys.argv[1:2] == ["--count"]:
        counted(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("work", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--rounds", type=int, default=3, help="0: count alone, for a later run")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    chosen = [
        command
        for command in commands(given.model, given.work, given.text)
        if not given.only or command.name in given.only
    ]
    found = machine(given.model)
    print(f"{found.flops_per_second / 1e9:.0f} GFLOP/s, start {found.start:.1f} s", flush=True)
    # What a first run keeps for later ones is there before any is timed.
    counts = given.work / "counts.json"
    done: dict[str, float] = json.loads(counts.read_text()) if counts.is_file() else {}
    for command in chosen:
        if command.name not in done:
            done[command.name] = operations(command, given.work)
            counts.write_text(json.dumps(done))
    if given.rounds == 0:
        return
    seconds: dict[str, list[float]] = {command.name: [] for command in chosen}
    parts: dict[str, dict[str, float]] = {}
    for _ in range(given.rounds):
        for command in chosen:
            took, parts[command.name] = ran(command, given.work)
            seconds[command.name].append(took)
            print(f"{command.name}: {took:.1f} s", flush=True)
    print("| command | needs, TFLOP | does, TFLOP | floor | of what it does | now | times floor |")
    for command in chosen:
        name = command.name
        print(row(name, given.model, found, seconds[name], done[name], parts[name]), flush=True)


if __name__ == "__main__":
    main()
