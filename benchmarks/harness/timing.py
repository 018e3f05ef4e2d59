"""Compare variants of one piece of work in one interleaved run: ratios, not numbers of a machine.

Variants take turns, round after round, and each round gives a ratio to the baseline of that same
round, so a slower minute of the machine falls on all of them. Peak memory is measured apart, in a
fresh process for each variant: by how much the resident memory rises above what was there when the
inputs had been made and a warm-up had run.

A script gives `main` a function that makes its groups. It is no benchmark by itself.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.report import markdown, write

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # child processes are started later

ROOT = Path(__file__).parents[2]
"""What modules of benchmarks are found from."""

CHECK_RELATIVE, CHECK_ABSOLUTE = 0.01, 1e-3  # losses are sums of 50,000 float32 numbers
_ANSWER = "measured: "


class Unavailable(Exception):  # noqa: N818
    """A variant cannot run here; says why."""


class Meter:
    """Seconds, and where asked for the rise of peak memory, of what runs inside it.

    Args:
        memory: measure that too; it makes the beginning slower, never what is timed.
    """

    def __init__(self, memory: bool = False) -> None:
        self._memory = memory
        self.seconds: list[float] = []
        self.extra_bytes: int | None = None
        self.check: float | None = None  # a figure that should be the same for all variants

    def __enter__(self) -> Meter:
        if self._memory:
            gc.collect()
            self._before = _fresh_peak()
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self._begin)
        if self._memory:
            self.add_bytes(_resident("VmHWM") - self._before)

    def add(self, seconds: float) -> None:
        """What the work found out by itself."""
        self.seconds.append(seconds)

    def add_bytes(self, extra: int) -> None:
        """Likewise for memory; the largest counts."""
        self.extra_bytes = max(extra, self.extra_bytes or 0)


Work = Callable[[Meter], None]
Build = Callable[[], Work]
"""Makes the inputs, warms up, and returns the work; may raise `Unavailable`."""


def plain(call: Callable[[], object]) -> Work:
    """One call is the work; if it returns a number, that is the check."""

    def work(meter: Meter) -> None:
        with meter:
            found = call()
        meter.check = float(found) if isinstance(found, float) else None

    return work


@dataclass(frozen=True)
class Group:
    """Variants of the same work.

    Attributes:
        title: what the work is.
        variants: by name.
        baseline: the variant that ratios refer to.
        rounds: turns of each.
        memory: whether to measure peak memory too.
        floor: a variant that no other can be faster than; shares of it are shown.
        amount: units of work in a turn, for a rate.
        unit: of ``amount``.
        cost: ratios are this/baseline (how many times dearer), not baseline/this.
    """

    title: str
    variants: Mapping[str, Build]
    baseline: str
    rounds: int = 5
    memory: bool = True
    floor: str | None = None
    amount: float | None = None
    unit: str = ""
    cost: bool = False


def main(script: str, doc: str, make_groups: Callable[[bool], list[Group]]) -> list[dict[str, Any]]:
    """Run a benchmark from the command line: print tables, write JSON and a plot.

    Args:
        script: its ``__file__``.
        doc: its docstring.
        make_groups: given whether only a smoke test is wanted.
    """
    if "THP_MEM_ALLOC_ENABLE" not in os.environ:
        # As the command line does; it helps all variants. Torch looks when it is imported.
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes: does it run at all")
    parser.add_argument("--rounds", type=int, help="turns of each variant")
    parser.add_argument("--only", default="", help="groups whose title has this text")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # group and variant: memory
    chosen = parser.parse_args()
    groups = make_groups(chosen.small)
    if chosen.measure:
        _answer_for_memory(groups, *chosen.measure)
        return []
    name = Path(script).stem + ("_small" if chosen.small else "")
    found: list[dict[str, Any]] = []
    for group in groups:
        if chosen.only in group.title:
            found.append(_run(group, chosen.rounds or group.rounds, script, chosen.small))
            print(markdown(found[-1]) + "\n", flush=True)
            write(name, found)  # after each, so that a run cut short leaves what it has
    return found


# -- running ----------------------------------------------------------------------------------


def _run(group: Group, rounds: int, script: str, small: bool) -> dict[str, Any]:
    memory: dict[str, int | None] = {}
    skipped: dict[str, str] = {}
    if group.memory:  # first, while this process holds nothing
        for name in group.variants:
            found = _memory_of(script, group.title, name, small)
            memory[name] = found.get("extra_bytes")
            if "unavailable" in found:
                skipped[name] = found["unavailable"]
    works: dict[str, Work] = {}
    for name, build in group.variants.items():
        if name not in skipped:
            try:
                works[name] = build()
            except Unavailable as reason:
                skipped[name] = str(reason)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    checks: dict[str, float] = {}
    for turn in range(rounds):
        names = list(works)
        start = turn % max(1, len(names))
        for name in names[start:] + names[:start]:
            meter = Meter()
            gc.collect()
            try:
                works[name](meter)
            except Unavailable as reason:
                skipped[name] = str(reason)
                del works[name], seconds[name]
                continue
            seconds[name].append(statistics.median(meter.seconds))
            if meter.extra_bytes is not None:
                memory[name] = max(meter.extra_bytes, memory.get(name) or 0)
            if meter.check is not None:
                checks.setdefault(name, meter.check)
    _compare(checks, group)
    return _result(group, rounds, seconds, memory, checks, skipped)


def _compare(checks: dict[str, float], group: Group) -> None:
    expected = checks.get(group.baseline)
    for name, value in checks.items():
        if expected is None:
            continue
        if abs(value - expected) > CHECK_ABSOLUTE + CHECK_RELATIVE * abs(expected):
            raise SystemExit(
                f"{group.title}: {name} computes {value}, the baseline {expected}; "
                "what does not do the same work is not compared"
            )


def _memory_of(script: str, title: str, variant: str, small: bool) -> dict[str, Any]:
    module = ".".join(Path(script).with_suffix("").relative_to(ROOT).parts)
    command = [sys.executable, "-m", module, "--measure", title, variant, *(["--small"] * small)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    for line in done.stdout.splitlines():
        if line.startswith(_ANSWER):
            return dict(json.loads(line.removeprefix(_ANSWER)))
    last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
    killed = done.returncode == -9
    return {"unavailable": "killed, probably for want of memory" if killed else last[0]}


def _answer_for_memory(groups: list[Group], title: str, variant: str) -> None:
    group = next(g for g in groups if g.title == title)
    meter = Meter(memory=True)
    try:
        group.variants[variant]()(meter)
        answer: dict[str, Any] = {"extra_bytes": meter.extra_bytes}
    except Unavailable as reason:
        answer = {"unavailable": str(reason)}
    print(_ANSWER + json.dumps(answer), flush=True)


def _fresh_peak() -> int:
    """Forget the peak so far, give freed memory back, and return what is resident, in bytes."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError) as error:
        raise Unavailable(f"peak memory cannot be measured here ({error})") from None
    return _resident("VmRSS")


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise Unavailable(f"the system does not tell {field}")


# -- results ----------------------------------------------------------------------------------


def _result(
    group: Group,
    rounds: int,
    seconds: dict[str, list[float]],
    memory: dict[str, int | None],
    checks: dict[str, float],
    skipped: dict[str, str],
) -> dict[str, Any]:
    variants = []
    for name in group.variants:
        row: dict[str, Any] = {"name": name}
        if name in skipped:
            variants.append(row | {"skipped": skipped[name]})
            continue
        row |= {"seconds": spread(seconds[name]), "extra_bytes": memory.get(name)}
        row |= {"check": checks.get(name)}
        pairs = list(zip(seconds.get(group.baseline, []), seconds[name], strict=False))
        if pairs:
            row["ratio"] = spread([own / b if group.cost else b / own for b, own in pairs])
        if group.floor in seconds:
            floor = zip(seconds[group.floor], seconds[name], strict=False)
            row["floor_share"] = spread([f / own for f, own in floor])
        if group.amount:
            row["rate"] = spread([group.amount / s for s in seconds[name]])
        variants.append(row)
    kept = ("title", "baseline", "floor", "amount", "unit", "cost")
    return {key: getattr(group, key) for key in kept} | {"rounds": rounds, "variants": variants}


def spread(values: list[float]) -> dict[str, Any]:
    """Median, least and greatest of some values, and the values."""
    middle = statistics.median(values)
    return {"median": middle, "min": min(values), "max": max(values), "values": values}
