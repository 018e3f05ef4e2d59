"""What `timing` measured, as a Markdown table, JSON and a plot; it measures nothing."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[1] / "results"
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BASELINE, _OTHER = "#8a94a8", "#d1495b"


def markdown(result: dict[str, Any]) -> str:
    """The table of a group: seconds, ratio to the baseline, rate, share of the floor, memory."""
    of = "this / baseline" if result["cost"] else "baseline / this"
    head = ["variant", "seconds", of]
    if result["amount"]:
        head.append(f"{result['unit']}/s")
    if result["floor"]:
        head.append("floor / this")
    head.append("extra peak memory")
    lines = [f"**{result['title']}** (baseline: {result['baseline']}; {result['rounds']} rounds)"]
    lines += ["", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in result["variants"]:
        if "skipped" in row:
            lines.append(f"| {row['name']} | skipped: {row['skipped']} |" + " |" * (len(head) - 2))
            continue
        cells = [row["name"], _spread(row["seconds"]), _spread(row.get("ratio"))]
        if result["amount"]:
            cells.append(_spread(row["rate"]))
        if result["floor"]:
            cells.append(_spread(row.get("floor_share")))
        cells.append(size(row["extra_bytes"]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def size(count: float | None) -> str:
    """Bytes for people."""
    if count is None:
        return "–"
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _spread(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    return f"{found['median']:.3g} ({found['min']:.3g} to {found['max']:.3g})"


def write(name: str, groups: list[dict[str, Any]], more: dict[str, Any] | None = None) -> None:
    """Write the JSON, with what the figures depend on, and the plot."""
    RESULTS.mkdir(exist_ok=True)
    found = {"benchmark": name, **_circumstances(), "groups": groups, **(more or {})}
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    with mpl.rc_context(_STYLE):
        plot(groups).savefig(RESULTS / f"{name}.png", dpi=150)


def _circumstances() -> dict[str, Any]:
    import torch

    from tiltlm.versions import versions

    return {
        "command": " ".join(["python", *sys.argv]),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "system": platform.system(),
            "load_now": os.getloadavg()[0],
        },
        "versions": versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def plot(groups: list[dict[str, Any]]) -> Figure:
    """A row a group: seconds (median, least to greatest) and extra memory of each variant."""
    shown = [[v for v in group["variants"] if "skipped" not in v] for group in groups]
    heights = [1 + 0.35 * max(1, len(variants)) for variants in shown]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    axes = figure.subplots(len(groups), 2, squeeze=False, height_ratios=heights)
    for (left, right), group, variants in zip(axes, groups, shown, strict=True):
        places = list(range(len(variants)))[::-1]
        colours = [_BASELINE if v["name"] == group["baseline"] else _OTHER for v in variants]
        medians = [v["seconds"]["median"] for v in variants]
        below = [v["seconds"]["median"] - v["seconds"]["min"] for v in variants]
        above = [v["seconds"]["max"] - v["seconds"]["median"] for v in variants]
        left.barh(places, medians, xerr=[below, above], color=colours, capsize=2)
        left.set_yticks(places, [v["name"] for v in variants])
        left.set_xlabel("seconds")
        left.set_title(group["title"], loc="left", fontsize=9)
        memory = [(v["extra_bytes"] or 0) / 2**20 for v in variants]
        if any(memory):
            right.barh(places, memory, color=colours)
            right.set_yticks(places, [])
            right.set_xlabel("extra peak memory, MiB")
        else:
            right.set_axis_off()
    return figure
