"""All that `benchmarks.device` measures in one run: no network, no data, at most eight minutes.

    python -m benchmarks.device [--device cuda] [--parts parity,loss,work] [--small] [--out FOLDER]

Without a GPU it runs on the processor with small shapes. What was measured is written to
``device.json`` after each part and printed as tables at the end.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.device.loss import loss_rows
from benchmarks.device.parity import WITHIN, available, parity_rows
from benchmarks.device.work import work_rows
from tiltlm.versions import versions

PARTS = ("parity", "loss", "work")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; 1 where a command differs or failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--device", default=available())
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    given = parser.parse_args(arguments)
    small = given.small or given.device == "cpu"
    result: dict[str, Any] = {"machine": _machine(given.device)}
    given.out.mkdir(parents=True, exist_ok=True)
    for part in given.parts.split(","):
        begin = time.perf_counter()
        device = torch.device(given.device)
        if part == "parity":
            result[part] = parity_rows(given.device, small=small)
        elif part == "loss":
            result[part] = loss_rows(device, small)
        else:
            result[part] = work_rows(device, small=small)
        result[f"{part}_seconds"] = round(time.perf_counter() - begin, 1)
        (given.out / "device.json").write_text(json.dumps(result, indent=1, default=str))
        print(f"{part}: {result[f'{part}_seconds']} s", flush=True)
    for part in given.parts.split(","):
        print(f"\n{_table(result[part])}", flush=True)
    return int(any(_is_bad(row) for row in result.get("parity", [])))


def _machine(device: str) -> dict[str, Any]:
    """Versions, and what the device is called."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "processor"
    return {**versions(), "device": name, "threads": torch.get_num_threads()}


def _is_bad(row: dict[str, Any]) -> bool:
    """Whether a row of parity is a difference that float32 should not have, or an error."""
    return "error" in row or (row["dtype"] == "float32" and row["worst"] > WITHIN)


def _table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table over all keys that any of them has."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(keys) + " |", "|---" * len(keys) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(key)) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or value == []:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/")


if __name__ == "__main__":
    raise SystemExit(main())
