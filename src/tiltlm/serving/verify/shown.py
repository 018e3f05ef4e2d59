"""What the log-probabilities say that a server shows beside the tokens that it draws.

They are no proof of what is drawn: an engine may show those of the model and draw from others (vLLM
does with logits processors, unless it is told otherwise). They tell how exact its numbers are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.records.verify import ShownRecord
from tiltlm.serving.verify.candidates import Candidates
from tiltlm.serving.verify.servers import Drawn
from tiltlm.statistics.intervals import ratio_estimate

_ROUNDED_NATS, _LARGEST_NATS = 0.01, 0.5
"""Log-probabilities that are off by so much, and by no more than that, are those of weights or
activations with few digits."""

_CLOSER = 3.0
"""Shown log-probabilities are the base's if they are so many times closer to them."""


def shown_record(candidates: Candidates, drawn: Sequence[Drawn]) -> ShownRecord | None:
    """Hold what was shown against tilt and base.

    Args:
        candidates: all hypotheses after every prompt.
        drawn: tokens with what came with them.

    Returns:
        None where nothing was shown, or one token a position.
    """
    tilt, base = 0, 1
    off: list[Array] = []
    products, squares = [], []
    # What is shown after a prompt is the same each time.
    for prompt, shown in {d.prompt: d.shown for d in drawn if len(d.shown) > 1}.items():
        ids = np.array(list(shown))
        rows = candidates.at(prompt)[:, ids].double().numpy()
        possible = np.isfinite(rows[tilt])
        if possible.sum() < 2:
            continue
        values = np.array(list(shown.values()))[possible]
        exact = rows[:, possible]
        off.append(np.abs(values - exact[[tilt, base]]))
        # Levels are left out: what a server normalises over is its own affair.
        ratios = exact[tilt] - exact[base]
        ratios = ratios - ratios.mean()
        moved = values - exact[base]
        products.append(float(ratios @ (moved - moved.mean())))
        squares.append(float(ratios @ ratios))
    if not off:
        return None
    medians = np.median(np.concatenate(off, axis=1), axis=1)
    fit = ratio_estimate(products, squares) if sum(squares) > 0 else None
    return ShownRecord(
        positions=len(off),
        off_tilt_nats=float(medians[0]),
        off_base_nats=float(medians[1]),
        strength=None if fit is None else fit.mean,
        interval=None if fit is None else fit.interval,
    )


def shown_notes(shown: ShownRecord | None, verdict: str) -> list[str]:
    """What a reader should know of shown log-probabilities.

    Args:
        shown: of the record.
        verdict: by the tokens that were drawn.
    """
    if shown is None:
        return []
    notes = []
    if verdict == "tilt" and shown.off_base_nats * _CLOSER < shown.off_tilt_nats:
        notes.append(
            "The tokens are drawn from the tilt, and the log-probabilities beside them are the "
            "base's: this server shows what it had before its logits processors (vLLM does, unless "
            "started with --logprobs-mode processed_logprobs)."
        )
        return notes
    off = {"tilt": shown.off_tilt_nats, "base": shown.off_base_nats}.get(verdict)
    if off is not None and _ROUNDED_NATS < off < _LARGEST_NATS:
        notes.append(
            f"Log-probabilities are {off:.3f} nats off the exact ones (median), as of an edit, a "
            "quantised model, or one that computes with few digits."
        )
    return notes
