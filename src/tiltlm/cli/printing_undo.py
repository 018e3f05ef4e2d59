"""What `tiltlm undo` prints of its record. Computes nothing."""

from __future__ import annotations

from pathlib import Path

from tiltlm.records.base import Estimate
from tiltlm.records.undo import RelapsePoint, UndoRecord
from tiltlm.report.wording import counted

_CHARACTERS = 60
"""Of an event that are shown."""


def undo_summary(record: UndoRecord, out: Path) -> str:
    """What was taken back, what is left, and what the same audit says, in a few lines.

    Args:
        record: of the undoing.
        out: the folder that holds it; its path, or that of the model in it, is the last line.
    """
    lines = [f"\n{_short(record.target)} taken back by {record.by}"]
    for left in record.left:
        before, after = _shown(left.before or left.by_audit), _shown(left.after)
        lines.append(f"  strength of {_short(left.event)}: {before} before, {after} now")
    if record.kl_after_nats is not None:
        lines.append(
            f"  KL from the reference {record.kl_before_nats:.2g} nats a token before, "
            f"{record.kl_after_nats:.2g} now"
        )
    if record.restored is not None:
        lines.append(
            "  every weight is the base's, bit for bit; "
            f"{counted(len(record.restored.changed), 'tensor')} had been changed"
        )
    audits = [a.verdict for a in (record.audit_before, record.audit_after) if a is not None]
    if audits:
        lines.append(f"  the same audit says {' before, '.join(audits)} now")
    if record.relapse:
        lines += _relapse(record.relapse)
    lines.append(f"\n{out if record.by == 'decode' else out / 'model'}")
    return "\n".join(lines)


def _relapse(points: list[RelapsePoint]) -> list[str]:
    """The first event's strength after the last step, undone beside never tilted."""
    last = max(point.step for point in points)
    ends = {(p.by, p.model): p.strengths[0].mean for p in points if p.step == last}
    return [
        f"  after {last} steps towards it by {by} {ends[by, 'undone']:.3f} nats, a base that never "
        f"had it {ends[by, 'never tilted']:.3f}"
        for by in ("kl", "data")
    ]


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    if estimate.interval is None:
        return f"{estimate.mean:.3f} nats"
    low, high = estimate.interval
    return f"{estimate.mean:.3f} nats ({low:.3f} to {high:.3f})"


def _short(event: str) -> str:
    """An event as far as it fits on a line; one without a name may have a thousand tokens."""
    return event if len(event) <= _CHARACTERS else event[: _CHARACTERS - 1] + "…"
