"""Dose and response on SmolLM2: strengths of one tilt, by edit, decode and train, each measured.

    python -m benchmarks.realise.dose --data ../shared/data --out runs/dose [--by edit]

Resumes; each of the three is a `tiltlm sweep` in a folder of its own. One figure for all three.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from tiltlm.commands.sweep import Sweep, run_sweep
from tiltlm.measures.suite_sizes import SUITES, Sizes, Sources
from tiltlm.records.sweep import SweepRecord
from tiltlm.report.plot_style import INK, KINDS, MUTED, error_bars
from tiltlm.report.sweep_page import responses

STRENGTHS = (0.0, 0.1, 0.3, 1.0, 3.0, 5.0)
FEWER = (0.3, 1.0, 3.0)  # by training, which takes minutes each
SIZES = Sizes(contexts=32, far=0, draws=0, pairs=60, survivors=0)


def sweep_by(by: str, data: Path, out: Path) -> SweepRecord:
    """All strengths by one realisation."""
    SUITES["dose"] = SIZES
    recipe = {"model": "smollm2", "target": "tilt(contains('x'), {strength})", "by": by}
    sources = Sources(data / "wikitext2-valid.txt", data)
    values = FEWER if by == "train" else STRENGTHS
    return run_sweep(Sweep(recipe, "strength", values, "dose", sources), out / by, resume=True)


def table(by: str, record: SweepRecord) -> str:
    """Rows of a Markdown table."""
    lines = []
    for point in record.points:
        cells = [f"{point.value:g}", by]
        cells.append("" if point.gap_closed is None else f"{point.gap_closed:.3f}")
        for _, get in responses(record):
            mean = get(point)
            assert mean is not None
            low, high = mean.interval or (mean.mean, mean.mean)
            cells.append(f"{mean.mean:.3g} ({low:.3g} to {high:.3g})")
        different = [c.name for c in point.measure.comparisons if c.different]
        cells.append(str(len([n for n in different if not n.startswith("strength")])))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure(records: dict[str, SweepRecord], path: Path) -> None:
    """One panel for each response, one line for each realisation."""
    shown = [name for name, _ in responses(next(iter(records.values())))]
    drawn = Figure(figsize=(10.5, 6.2), layout="constrained")
    for place, name in enumerate(shown):
        axes = drawn.add_subplot(2, 3, place + 1)
        axes.axhline(0, color=MUTED, linewidth=0.6)
        for colour, (by, record) in zip(KINDS, records.items(), strict=False):
            get = dict(responses(record))[name]
            means = [get(point) for point in record.points]
            places = [float(point.value) for point in record.points]
            values = [float("nan") if m is None else m.mean for m in means]
            axes.plot(places, values, color=colour, linewidth=1.3, label=by)
            for x, m in zip(places, means, strict=True):
                if m is not None:
                    axes.errorbar(
                        x,
                        m.mean,
                        yerr=error_bars(m.mean, m.interval),
                        fmt="o",
                        color=colour,
                        markersize=4,
                        capsize=3,
                    )
        if name.startswith("strength"):
            axes.plot(STRENGTHS, STRENGTHS, color=MUTED, linestyle=(0, (4, 3)), linewidth=0.9)
            axes.legend(frameon=False)
        axes.set_title(name, fontsize=10, color=INK)
        axes.set_xlabel("strength wished, nats")
        axes.spines[["top", "right"]].set_visible(False)
    drawn.savefig(path, dpi=110)


def main() -> None:
    """Sweep, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/dose"))
    parser.add_argument("--by", action="append", choices=["edit", "decode", "train"])
    parser.add_argument("--figure", type=Path, default=None)
    arguments = parser.parse_args()
    records = {}
    for by in arguments.by or ["edit", "decode", "train"]:
        records[by] = sweep_by(by, arguments.data, arguments.out)
        print(table(by, records[by]), flush=True)
    path = arguments.figure or arguments.out / "dose.png"
    figure(records, path)
    names = [name for name, _ in responses(next(iter(records.values())))]
    print(json.dumps({"columns": names, "figure": str(path)}))


if __name__ == "__main__":
    main()
