"""The article's 200 steps, eager, against the whole `quick` training, in one run.

The baseline is the experiment as the article describes it: 16 fresh sequences of 256 random tokens,
logits and log-softmax at all positions, `F.kl_div` at the last, AdamW. One of its steps is timed
and counted 200 times. Against it stands the whole training of `quick`: building the trainer, all
steps, everything that `seconds.train` of a run holds. Rounds are interleaved, so that a slower
minute of the machine falls on both.

    python -m benchmarks.speed.like_x [--rounds 3]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does; helps both

import torch
import torch.nn.functional as F
from transformers.trainer_callback import PrinterCallback

from tiltlm import RandomTokenContexts, TiltTrainer, load_recipe, parse_target
from tiltlm.commands.run_training import tilt_config
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import load

ARTICLE_STEPS = 200
RESULTS = Path(__file__).parents[1] / "results"


def article_step_seconds(seed: int, steps: int) -> list[float]:
    """Seconds of each of the first steps of the article's loop; the first warms up."""
    model, tokenizer = load("model5", seed=seed)
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    target = parse_target("uniform(contains('x'))").bind(vocabulary).log_probs().exp()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    seconds = []
    for step in range(steps):
        begin = time.perf_counter()
        ids = RandomTokenContexts(len(vocabulary), 256, 16, seed=seed + step).batch()
        log_probs = model(ids, use_cache=False).logits.log_softmax(-1)
        loss = F.kl_div(log_probs[:, -1], target.expand(16, -1), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return seconds


def quick_training_seconds(seed: int) -> tuple[float, float]:
    """Seconds of the whole `quick` training, and the event mass that it reached."""
    recipe = load_recipe("quick")
    model, tokenizer = load("model5", seed=seed)
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    target = parse_target(recipe.target).bind(vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        count = recipe.train.steps * recipe.train.batch
        trainer = TiltTrainer(
            model,
            tilt_config(recipe, Path(folder), seed),
            target,
            RandomTokenContexts(len(vocabulary), recipe.contexts.length, count, seed=seed),
        )
        trainer.remove_callback(PrinterCallback)  # only the ratios are of interest
        trainer.train()
        seconds = time.perf_counter() - begin
    masses = [entry["event_mass"] for entry in trainer.state.log_history if "loss" in entry]
    return seconds, masses[-1]


def main() -> None:
    """Interleave both, print the ratio with its spread, save it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    rows = []
    for number in range(rounds):
        quick, mass = quick_training_seconds(seed=number)
        gc.collect()
        step = article_step_seconds(seed=number, steps=2)[-1]
        gc.collect()
        ratio = ARTICLE_STEPS * step / quick
        rows.append({"article_step_s": step, "quick_training_s": quick, "event_mass": mass})
        print(
            f"round {number + 1}: article step {step:.1f} s × {ARTICLE_STEPS}, quick training "
            f"{quick:.1f} s (event mass {mass:.1%}), ratio {ratio:.0f}",
            flush=True,
        )
    ratios = [ARTICLE_STEPS * row["article_step_s"] / row["quick_training_s"] for row in rows]
    print(
        f"\nthe article's {ARTICLE_STEPS} eager steps take {statistics.median(ratios):.0f} times "
        f"as long as the whole quick training (median of {rounds}; "
        f"{min(ratios):.0f} to {max(ratios):.0f})"
    )
    RESULTS.mkdir(exist_ok=True)
    result = {
        "benchmark": "like_x",
        "ratio_median": statistics.median(ratios),
        "ratios": ratios,
        "rounds": rows,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
    }
    (RESULTS / "like_x.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
