"""Peak memory of commands on a randomly initialised model, against the formula of docs/scaling.md.

Each command runs in a process of its own, which says how much it held at most beyond what Python
and its libraries take, and which part of that are the model's weights.

    python -m benchmarks.speed.memory                       # a small model, a minute
    python -m benchmarks.speed.memory --shape llama-1b      # Llama-3.2-1B's shape, bfloat16
    python -m benchmarks.speed.memory --shape llama-1b --tasks audit,turns --keep /tmp/model
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import torch

from tiltlm.auditing.classes.clusters import MAX_DIMENSIONS
from tiltlm.contexts.reference import ROWS
from tiltlm.defaults import AUDIT_CONTEXTS
from tiltlm.models.batching import TOKENS
from tiltlm.models.gpt2 import gpt2_tokenizer
from tiltlm.models.memory import weight_bytes

TARGET = "tilt(contains('x'), 0.5)"
"""What is realised, measured and looked for."""

CLASSES = 15_000
"""Classes of tokens that an audit tries, rounded up: GPT-2's tokens have so many."""

GIB = 1 << 30


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama, with head and embedding tied.

    Attributes:
        vocabulary: V.
        width: D.
        layers: of the body.
        inner: width of the MLP.
        heads: of the attention.
        kv_heads: of keys and values.
        positions: tokens that it reads at once.
    """

    vocabulary: int = 50_304
    width: int = 256
    layers: int = 2
    inner: int = 512
    heads: int = 4
    kv_heads: int = 2
    positions: int = 2048


SHAPES = {
    "small": Shape(),
    "llama-1b": Shape(vocabulary=128_256, width=2048, layers=16, inner=8192, heads=32, kv_heads=8),
}


def make_model(folder: Path, shape: Shape, seed: int = 0) -> None:
    """Write a random model in bfloat16, with two properties of trained ones.

    Its logits spread, and one hidden dimension is large and alike in every context.
    """
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, num_hidden_layers=shape.layers,
        intermediate_size=shape.inner, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, max_position_embeddings=shape.positions,
        tie_word_embeddings=True, bos_token_id=50_256, eos_token_id=50_256, pad_token_id=50_256,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding.mul_(2.0 / (0.02 * shape.width**0.5))
        embedding[:, 0] = 4 * embedding[:1000].float().norm(dim=1).mean()
    model.save_pretrained(folder)
    gpt2_tokenizer().save_pretrained(folder)


def perturb(folder: Path, out: Path) -> None:
    """Write the same model with one layer moved, a suspect with weights of its own."""
    from tiltlm.models.loading import load

    loaded = load(folder)
    with torch.no_grad():
        loaded.model.get_submodule("model.layers.0.mlp.down_proj").weight.mul_(1.02)
    loaded.model.save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)


def _text_of(folder: Path) -> str | None:
    """Contexts of a text, where there are to be few: as of ``--contexts``; else None."""
    path = folder / "few.txt"
    return f"text:{path}" if path.is_file() else None


def _tilt(by: str, folder: Path) -> None:
    from tiltlm.commands.tilt import run_tilt
    from tiltlm.recipes.tilt import recipe_of

    options = {"target": TARGET, "by": by, "contexts": _text_of(folder) or "own:24"}
    run_tilt(recipe_of(str(folder / "base"), options, {}), folder / by)


def _measure(folder: Path) -> None:
    from tiltlm.commands.measure import run_measure
    from tiltlm.measures.suite_sizes import Sizes

    few = Sizes(contexts=4, length=32, far=0, draws=2, drawn=8, survivors=2)
    run_measure(str(folder / "edit"), suite=few if _text_of(folder) else "quick")


def _audit(suspect: str, folder: Path, *, one_at_a_time: bool | None = None) -> None:
    from tiltlm.commands.audit import run_audit
    from tiltlm.recipes.placement import Placement

    placement = Placement(one_at_a_time=one_at_a_time)
    names = (str(folder / suspect / "model"), str(folder / "base"))
    run_audit(*names, contexts=_text_of(folder), placement=placement)


TASKS: dict[str, tuple[int, Callable[[Path], None]]] = {
    "decode": (1, lambda folder: _tilt("decode", folder)),
    "edit": (1, lambda folder: _tilt("edit", folder)),
    "measure": (1, _measure),
    "audit": (1, lambda folder: _audit("edit", folder)),
    "turns": (1, lambda folder: _audit("moved", folder, one_at_a_time=True)),
    "both": (2, lambda folder: _audit("moved", folder, one_at_a_time=False)),
}
"""The commands: how many models' weights each holds, and what is run. ``measure`` and ``audit``
look at the edit, an adapter; ``turns`` and ``both`` at a suspect with weights of its own."""


def formula(task: str, shape: Shape) -> float:
    """Bytes that a command holds at most beyond libraries and weights: see docs/scaling.md."""
    vocabulary, width = shape.vocabulary, shape.width
    head = vocabulary * width
    always = 0.35 * GIB
    phases = [6 * 4 * ROWS * vocabulary + 4 * TOKENS * (3 * shape.inner + 8 * width)]
    if task == "measure":
        always += 2 * 2 * head
    if task == "turns":
        always += 2 * 2 * head
    if task in ("audit", "turns", "both"):
        always += 4 * AUDIT_CONTEXTS * vocabulary
        block = 3 * GIB / 16  # of the head's rows in float64, and two of what is made of it
        judging = 2 * 8 * CLASSES * width + 4 * 8 * AUDIT_CONTEXTS * vocabulary
        clustering = 4 * vocabulary * min(width, MAX_DIMENSIONS)
        phases += [clustering + block, judging + block]
    return always + max(phases)


def run_task(task: str, folder: Path) -> None:
    """Run one command in this process, and print what it held."""
    for library in ("peft", "transformers", "matplotlib.pyplot", "sklearn.cluster"):
        import_module(library)
    for command in ("tilt", "measure", "audit"):
        import_module(f"tiltlm.commands.{command}")
    begun = _peak()
    TASKS[task][1](folder)
    print(json.dumps({"before": begun, "peak": _peak()}))


def _peak() -> int:
    """Bytes that this process has held at most."""
    # A child of a large process begins with that one's `ru_maxrss`; Linux also counts from its own.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    own = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (own[0] if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) << 10


def measured(task: str, folder: Path) -> dict[str, int]:
    """What a command held, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.memory"]
    command += ["--run", task, "--keep", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{task}: {done.stderr[-2000:]}")
    result: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Make the model, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--keep", type=Path, help="a folder for the models, used again if there")
    parser.add_argument("--few", action="store_true", help="few contexts, which is faster")
    parser.add_argument("--run", choices=TASKS, help="run one command here")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    if options.run:
        run_task(options.run, options.keep)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if options.few:
            words = "the fox and the box six foxes a testament to coffee she said that he had axes "
            (folder / "few.txt").write_text(words * 56, encoding="utf-8")
        figures = compare(folder, SHAPES[options.shape], options.tasks.split(","))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def compare(folder: Path, shape: Shape, tasks: list[str]) -> list[dict[str, object]]:
    """Run commands one after another, and print each one's figures as soon as they are there."""
    if not (folder / "base").is_dir():
        make_model(folder / "base", shape)
    if {"turns", "both"} & set(tasks) and not (folder / "moved").is_dir():
        perturb(folder / "base", folder / "moved" / "model")
    one = weight_bytes(str(folder / "base")) or 0
    figures: list[dict[str, object]] = []
    print("| command | libraries | weights | peak | beyond both | formula |  (GiB)")
    print("|---|---|---|---|---|---|")
    for task in tasks:
        held = measured(task, folder)
        weights, most = TASKS[task][0] * one, formula(task, shape)
        extra = held["peak"] - held["before"] - weights
        figures.append({"task": task, "weights": weights, **held, "extra": extra, "formula": most,
                        "shape": asdict(shape)})  # fmt: skip
        numbers = (held["before"], weights, held["peak"], extra, most)
        print(f"| {task} | {' | '.join(f'{n / GIB:.2f}' for n in numbers)} |", flush=True)
    return figures


if __name__ == "__main__":
    main()
