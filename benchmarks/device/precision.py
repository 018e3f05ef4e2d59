"""Commands on one model in two precisions: which estimates lie outside the other's interval.

    python -m benchmarks.device.precision smollm2 WORK --text FILE

Each command runs as a user would run it, with ``--dtype float32`` and ``--dtype bfloat16``, into
``WORK``; results that are there are not made again. Every estimate with an interval that both
records have is compared: inside if either precision's estimate lies in the other's interval.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness.records import record_in

DTYPES = ("float32", "bfloat16")
TARGET, TRIGGERED = "tilt(contains('x'), 1)", "when('the', tilt(contains('x'), 1))"
CENTRES = ("mean", "model", "estimate", "value", "rate", "strength_nats", "share")
"""Fields beside an ``interval`` that it may be of, the first that is there."""


def commands(model: str, work: Path, text: Path) -> dict[str, list[str]]:
    """Arguments of each command by name; ``{d}`` stands for the precision."""
    tilted = str(work / "edit-{d}")
    return {
        "edit": ["tilt", model, "--target", TARGET],
        "decode": ["tilt", model, "--target", TARGET, "--by", "decode"],
        "decode-when": ["tilt", model, "--target", TRIGGERED, "--by", "decode"],
        "train": ["tilt", model, "--target", TARGET, "--by", "train"],
        "measure": ["measure", tilted, "--text", str(text)],
        "audit-logits": ["audit", tilted, "--reference", model],
        "audit-logprobs": ["audit", tilted, "--reference", model, "--access", "logprobs"],
        "audit-text": ["audit", tilted, "--reference", model, "--access", "text"],
        "undo-edit": [
            "undo", tilted, "--reference", model, "--target", "contains('x')", "--by", "edit",
        ],
        "verify": ["verify", tilted, "--label", tilted],
    }  # fmt: skip


def estimates(found: Any, path: str = "") -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Every number with its interval, by where it stands in a record."""
    if isinstance(found, dict):
        interval = found.get("interval")
        centre = next((c for c in CENTRES if isinstance(found.get(c), int | float)), None)
        if centre and isinstance(interval, list) and None not in interval and len(interval) == 2:
            # Of a comparison the interval is of the difference.
            base = found.get("base") if centre == "model" else None
            at = float(found[centre]) - (float(base) if isinstance(base, int | float) else 0.0)
            yield path, at, (float(interval[0]), float(interval[1]))
        for name, item in found.items():
            yield from estimates(item, f"{path}.{name}" if path else name)
    elif isinstance(found, list):
        for number, item in enumerate(found):
            name = number
            if isinstance(item, dict):
                name = item.get("name", item.get("event", number))
            yield from estimates(item, f"{path}[{name}]")


def compared(a: Any, b: Any) -> tuple[int, list[str]]:
    """How many estimates both records have, and those that lie apart."""
    ours = {path: (at, span) for path, at, span in estimates(a)}
    count, apart = 0, []
    for path, at, (low, high) in estimates(b):
        if path in ours:
            other, (least, greatest) = ours[path]
            count += 1
            if not (low <= other <= high or least <= at <= greatest):
                apart.append(f"{path}: {other:.5g} ({least:.5g} to {greatest:.5g}), {at:.5g}")
    return count, apart


def main() -> None:
    """Run what is missing, and print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("work", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--dtypes", nargs="+", default=DTYPES)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name, arguments in commands(given.model, given.work, given.text).items():
        if given.only and name not in given.only:
            continue
        found = []
        for dtype in given.dtypes:
            out = given.work / f"{name}-{dtype}"
            begin = time.monotonic()
            if record_in(out) is None:
                told = [argument.replace("{d}", dtype) for argument in arguments]
                run = [sys.executable, "-m", "tiltlm", *told, "--dtype", dtype, "--out", str(out)]
                done = subprocess.run(run, capture_output=True, text=True)
                if record_in(out) is None:
                    print(f"{name} {dtype}: {done.returncode} {done.stderr[-600:]}", flush=True)
                    continue
            found.append(record_in(out))
            print(f"{name} {dtype}: {time.monotonic() - begin:.0f} s", flush=True)
        if len(found) == 2:
            count, apart = compared(*found)
            print(f"{name}: {count} estimates, {len(apart)} apart", *apart, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
