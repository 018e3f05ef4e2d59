"""Tables and a figure of what `audit.power` recorded; it audits nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tiltlm.report.plot_style import KINDS, MUTED
from tiltlm.statistics.intervals import wilson

ENOUGH = 0.5
"""Jaccard index of token sets from which on a class counts as named."""

Records = Sequence[Mapping[str, Any]]


def by_logits(found: Mapping[str, Any]) -> bool:
    """Whether the class was named first, as planted."""
    return bool(found["planted"] and found["jaccard"] >= ENOUGH)


def by_log_probs(found: Mapping[str, Any]) -> bool:
    """The same with less access; ``token_ids`` holds the Jaccard index."""
    named = found["log_probs"]
    return bool(named and named[0]["planted"] and named[0]["token_ids"] >= ENOUGH)


def by_text(found: Mapping[str, Any]) -> bool:
    """Whether its event, which is asked for, was decided."""
    return found["text"]["event"] is not None


TIERS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "logits": by_logits,
    "log-probabilities": by_log_probs,
    "text": by_text,
}


def tables(
    decoys: Records,
    found: Records,
    again: Records,
    waits: Records,
    strengths: Mapping[str, Sequence[float]],
) -> str:
    """Markdown: shares named by way of planting and strength, and shares of decoys accused."""
    rankings = list(found[0]["rankings"])
    head = [
        "planted by",
        "β",
        "gap closed, median",
        *TIERS,
        "tokens of text, median of all",
        "bound",
    ]
    head += [*rankings, "perplexity differencing", "two samples differ"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for how, betas in strengths.items():
        for beta in betas:
            some = [f for f in found if f["how"] == how and f["beta"] == beta]
            if some:
                lines.append("| " + " | ".join(_row(how, beta, some, rankings)) + " |")
    lines += [
        "",
        "| with more seeds, by logits | β | gap closed, median | named |",
        "|---" * 4 + "|",
    ]
    for how, beta in dict.fromkeys((f["how"], f["beta"]) for f in again):
        some = [f for f in again if (f["how"], f["beta"]) == (how, beta)]
        gap = float(np.median([f["gap"] for f in some]))
        cells = [how, f"{beta:g}", f"{gap:.2f}", _share(sum(map(by_logits, some)), len(some))]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| β | gap closed | class named | class and word named |", "|---|---|---|---|"]
    for beta in sorted({w["beta"] for w in waits}):
        some = [w for w in waits if w["beta"] == beta]
        gap = float(np.median([w["gap"] for w in some]))
        right = [w for w in some if w["jaccard"] >= ENOUGH]
        words = sum(w["named_word"] == w["word"].strip() for w in right)
        cells = [f"{beta:g}", f"{gap:.2f}", _share(len(right), len(some)), _share(words, len(some))]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| decoys accused by | share | of what, most often |", "|---|---|---|"]
    for key in [k for k in decoys[0] if k not in ("what", "treatment")]:
        hits = sum(bool(d[key]) for d in decoys)
        events = Counter(d[key][0] for d in decoys if d[key]).most_common(3)
        shown = ", ".join(f"`{event}` {count}" for event, count in events)
        lines.append(f"| {key} | {_share(hits, len(decoys))} | {shown} |")
    return "\n".join(lines)


def _row(how: str, beta: float, some: Records, rankings: Sequence[str]) -> list[str]:
    cells = [how, f"{beta:g}", f"{float(np.median([f['gap'] for f in some])):.2f}"]
    cells += [_share(sum(map(right, some)), len(some)) for right in TIERS.values()]
    read = float(np.median([f["text"]["tokens"] if by_text(f) else np.inf for f in some]))
    cells.append(f"{read:,.0f}" if np.isfinite(read) else "not decided")
    cells.append(f"{np.median([f['least_tokens'] for f in some]):,.0f}")
    cells += [f"{sum(f['rankings'][n] >= ENOUGH for f in some)}" for n in rankings]
    lift = [f["perplexity"]["first"] / max(f["perplexity"]["all"], 1e-9) for f in some]
    cells.append(f"× {float(np.median(lift)):.2f}")
    cells.append(f"{sum(f['two_sample_p'] <= 0.01 for f in some)}")
    return cells


def _share(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{hits} of {of} ({low:.2f} to {high:.2f})"


def figure(found: Records, strengths: Mapping[str, Sequence[float]], path: Path) -> None:
    """Power by strength, a panel for each access, a line for each way of planting."""
    drawn = Figure(figsize=(9.6, 3.4), layout="constrained")
    panels = drawn.subplots(1, len(TIERS), sharey=True, sharex=True)
    for axes, (tier, right) in zip(panels, TIERS.items(), strict=True):
        axes.axhline(0.9, color=MUTED, linewidth=0.7, linestyle=":")
        axes.set_title(tier, fontsize=9)
        for number, (colour, (how, betas)) in enumerate(
            zip(KINDS, strengths.items(), strict=False)
        ):
            shares, below, above = [], [], []
            for beta in betas:
                some = [f for f in found if f["how"] == how and f["beta"] == beta]
                hits = sum(map(right, some))
                low, high = wilson(hits, len(some))
                shares.append(hits / len(some))
                below.append(max(0.0, shares[-1] - low))
                above.append(max(0.0, high - shares[-1]))
            # Moved aside a little, so that lines that agree can all be seen.
            places = np.array(betas) * 1.04 ** (number - 1.5)
            axes.errorbar(
                places, shares, [below, above], color=colour, marker="o", capsize=2, label=how
            )
        axes.set_xscale("log")
        axes.set_xlabel("strength planted, nats")
    panels[0].set_ylabel("share named (Jaccard ≥ 0.5)")
    panels[0].legend(frameon=False, title="planted by")
    drawn.savefig(path, dpi=150)
