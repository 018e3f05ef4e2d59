"""What `tiltlm run`, `tiltlm demo` and `tiltlm tilt` print of their records. Computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.report.wording import counted

if TYPE_CHECKING:
    from tiltlm.records.run import RunRecord
    from tiltlm.records.tilt import TiltRecord


def tilt_summary(record: TiltRecord, out: Path) -> str:
    """What the target asked for and what came of it, in a few lines.

    Args:
        record: of the tilt.
        out: the folder that holds it; its path, or that of the model in it, is the last line.
    """
    fidelity, lines = record.fidelity, [f"\n{record.sentence}"]
    for event in record.events:
        lines.append(
            f"  mass of {event.event[:60]}: {event.base.mean:.3%} before, {event.target.mean:.3%} "
            f"wished, {event.model.mean:.3%} now"
        )
    low, high = fidelity.interval or (fidelity.gap_closed, fidelity.gap_closed)
    lines.append(
        f"  gap closed {fidelity.gap_closed:.3f} (95 % {low:.3f} to {high:.3f}, over "
        f"{counted(record.held_out_contexts, 'context')} never fitted to)"
    )
    if record.collateral_nats is not None:
        lines.append(f"  collateral {record.collateral_nats:.2g} nats a token outside the event")
    if record.leakage_nats is not None:
        lines.append(f"  leakage where nothing is asked for: {record.leakage_nats:.2g} nats")
    lines.append(f"\n{out if record.by == 'decode' else out / 'model'}")
    return "\n".join(lines)


def run_summary(record: RunRecord, page: Path) -> str:
    """Figures before and after training and the loss, in a few lines.

    Args:
        record: of the run.
        page: that shows it; its path is the last line.
    """
    event, seconds = record.event, record.seconds
    lines = [f"\n{event.text}: {event.tokens:,} of {event.vocabulary:,} tokens"]
    for name, state in (("before", record.before), ("after", record.after)):
        low, high = state.interval
        lines.append(
            f"  {name:<7} {state.hits:>3} of {state.tokens} generated tokens are in the event "
            f"({state.hit_rate:.1%}, 95 % {low:.1%} to {high:.1%}); "
            f"event mass {state.event_mass:.2%}"
        )
    lines.append(
        f"  loss    {record.loss.first:.2f} → {record.loss.last:.3f} nats in "
        f"{counted(record.steps, 'step')}, {seconds.train:.0f} s of training, "
        f"{seconds.total:.0f} s in all"
    )
    lines.append(f"\nopen {page}")
    return "\n".join(lines)
