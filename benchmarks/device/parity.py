"""Every command on a processor and on the GPU: which figures differ, and by how much.

Commands run on tiny random models. Own samples are drawn on the processor and found in the cache by
all others, since two devices draw different tokens from one seed; figures of tokens that a command
draws itself are left out, and so is what is no figure.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tests.tiny import TEXT, worded_loaded

from tiltlm.auditing.auditing import audit
from tiltlm.auditing.null.building import build_null
from tiltlm.commands.measure import run_measure
from tiltlm.commands.run import run_recipe
from tiltlm.commands.sample import run_sample
from tiltlm.commands.sweep import Sweep, run_sweep
from tiltlm.commands.tilt import run_tilt
from tiltlm.measures.suite_sizes import Sources
from tiltlm.models.sampling import SamplingOptions
from tiltlm.recipes.placement import Placement
from tiltlm.recipes.run import load_recipe
from tiltlm.recipes.tilt import recipe_of

EVENT = "matches('^ ?ba')"
"""Some forty of the tiny model's tokens."""

WITHIN = 1e-4
"""Float32 figures of two devices may differ by so much, absolutely or relatively."""

_NOT_COMPARED = {
    "seconds", "versions", "placement", "model", "reference", "suspect", "null", "base", "threads",
    "drawn", "on", "survivals", "comparisons", "items", "hit_rate", "interval", "samples", "pack",
    "recipe", "kept_step", "seed", "p", "p_value",
}  # fmt: skip
"""Fields that say where and when, and figures of tokens that were drawn on each device."""


@dataclass(frozen=True)
class Place:
    """A folder in which commands run, on one device, in one precision.

    Attributes:
        work: where results go.
        shared: where the model, a text and the pack of the processor lie.
        placement: device and precision.
    """

    work: Path
    shared: Path
    placement: Placement

    @property
    def base(self) -> str:
        """The model that all commands are about."""
        return str(self.shared / "base")

    @property
    def text(self) -> Path:
        """A text in the model's words."""
        return self.shared / "text.txt"


def _tilt(place: Place, name: str, **options: Any) -> Any:
    training = {"steps": 4} if options.get("by") == "train" else {}
    given = {"target": f"tilt({EVENT}, 1)", "placement": vars(place.placement), **options}
    return run_tilt(recipe_of(place.base, given, training), place.work / name)


def _null(place: Place) -> Any:
    return build_null(
        place.base,
        place.work / "pack",
        models=6,
        corpora=[f"text:{place.text}"],
        default_corpora=False,
        contexts=48,
        length=24,
        steps=(1, 2),
        words=32,
        placement=place.placement,
    )


def _audit(place: Place, access: str, **options: Any) -> Any:
    suspect = place.work / "edit"
    return audit(suspect, place.base, access=access, placement=place.placement, **options)


def _run(place: Place) -> Any:
    tiny = ["n_layer=1", "n_head=2", "n_embd=16", "n_positions=16"]
    sets = [f"model.config.{item}" for item in tiny]
    sets += ["contexts.length=8", "test.prompt_tokens=8", "test.new_tokens=8", "train.steps=4"]
    sets += ["test.held_out_tokens=16", "train.batch=2", "test.precision=float32"]
    sets += [f"placement.{k}={v}" for k, v in vars(place.placement).items() if v]
    return run_recipe(load_recipe("quick", sets), place.work / "run")


def _sweep(place: Place) -> Any:
    options = {"target": f"tilt({EVENT}, {{strength}})", "placement": vars(place.placement)}
    recipe = {"model": place.base, "contexts": "random", **options}
    return run_sweep(Sweep(recipe, "strength", [0.0, 1.0]), place.work / "sweep")


def _likeliest(place: Place) -> Any:
    options = SamplingOptions(top_k=1)
    drawn = run_sample(place.base, 16, options, prompt="bado menopi", placement=place.placement)
    return {"token_ids": drawn[0].token_ids}


COMMANDS: dict[str, Callable[[Place], Any]] = {
    "tilt by edit": lambda place: _tilt(place, "edit"),
    "tilt by edit, merged": lambda place: _tilt(place, "merged", merge=True),
    "tilt by decode": lambda place: _tilt(place, "decode", by="decode"),
    "tilt by train": lambda place: _tilt(place, "train", by="train"),
    "tilt by decode, when": lambda place: _tilt(
        place, "when", by="decode", target=f"when('bado', tilt({EVENT}, 1))"
    ),
    "measure": lambda place: run_measure(
        str(place.work / "edit"), sources=Sources(text=place.text), placement=place.placement
    ),
    "null build": _null,
    "audit by logits": lambda place: _audit(
        place, "logits", null=place.shared / "pack", fpr=0.2, events=(EVENT,)
    ),
    "audit by log-probabilities": lambda place: _audit(place, "logprobs", budget=128),
    "audit by text": lambda place: _audit(place, "text", budget=256, events=(EVENT,)),
    "run": _run,
    "sweep": _sweep,
    "sample, the likeliest": _likeliest,
}
"""What is compared, by name; each gives a record."""


def parity_rows(device: str, *, small: bool = False) -> list[dict[str, Any]]:
    """Run every command on the processor and on a device in float32 and bfloat16, and compare.

    Args:
        device: as for `Placement`.
        small: leave bfloat16 out.

    Returns:
        a row a command and precision: how many figures, the largest difference and whose it is;
        or the error that ended it.
    """
    from tiltlm.quiet import quiet_libraries

    quiet_libraries()
    rows = []
    with TemporaryDirectory() as folder:
        shared = Path(folder)
        os.environ["TILTLM_CACHE"] = str(shared / "cache")
        _make_shared(shared)
        expected: dict[str, Any] = {}
        for dtype in ("float32",) if small else ("float32", "bfloat16"):
            for name, command in COMMANDS.items():
                if name not in expected:
                    here = Place(shared / "cpu", shared, Placement("cpu", "float32"))
                    expected[name] = _tried(command, here)
                there = Place(shared / f"{device}-{dtype}", shared, Placement(device, dtype))
                rows.append(_compared(name, dtype, expected[name], _tried(command, there)))
    return rows


def _make_shared(shared: Path) -> None:
    """Save the model and a text, and build the pack of the processor."""
    loaded = worded_loaded()
    loaded.model.cpu().save_pretrained(shared / "base")
    loaded.tokenizer.save_pretrained(shared / "base")
    words = " ".join(f"bado{'kilu'[: 2 + i % 3]} menopi rusota" for i in range(600))
    (shared / "text.txt").write_text(words + TEXT)
    place = Place(shared, shared, Placement("cpu", "float32"))
    _null(place)


def _tried(command: Callable[[Place], Any], place: Place) -> Any:
    """The record as JSON, or the error in words."""
    place.work.mkdir(parents=True, exist_ok=True)
    try:
        record = command(place)
    except Exception as error:  # One command that fails must not hide what the others do.
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    given = record if isinstance(record, dict) else record.model_dump(mode="json")
    return json.loads(json.dumps(given))


def _compared(name: str, dtype: str, expected: Any, found: Any) -> dict[str, Any]:
    """The row of one command in one precision."""
    row: dict[str, Any] = {"command": name, "dtype": dtype}
    if isinstance(expected, str) or isinstance(found, str):
        where, error = ("cpu", expected) if isinstance(expected, str) else ("device", found)
        return {**row, "error": f"{where}: {error}"}
    first, second = dict(_figures(expected)), dict(_figures(found))
    both = sorted(first.keys() & second.keys())
    worst, at = 0.0, ""
    for key in both:
        if isinstance(first[key], float):
            difference = _difference(first[key], second[key])
        else:
            difference = 0.0 if first[key] == second[key] else math.inf
        if difference > worst:
            worst, at = difference, f"{key}: {first[key]} and {second[key]}"
    alone = sorted(first.keys() ^ second.keys())
    return {**row, "figures": len(both), "worst": worst, "at": at, "only_one_has": alone[:5]}


def _difference(a: float, b: float) -> float:
    """Absolute below 1, relative above."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return abs(a - b) / max(1.0, abs(a), abs(b))


def _figures(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All numbers and whole numbers of a record that are to be compared, by where they stand."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in _NOT_COMPARED:
                yield from _figures(part, f"{path}.{key}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _figures(part, f"{path}[{number}]")
    elif isinstance(value, float | int) and not isinstance(value, bool):
        yield path, value


def available() -> str:
    """The device to compare with: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
