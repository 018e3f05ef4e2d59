"""What `tiltlm export` prints of its record. Computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.report.wording import counted, visible

if TYPE_CHECKING:
    from tiltlm.records.export import ExportRecord, GapRecord


def export_summary(record: ExportRecord, out: Path) -> str:
    """What was written, what it cost, and how the engine is started.

    Args:
        record: of the export.
        out: the folder that holds it.
    """
    lines = [f"\n{record.how} for {record.engine}: {visible(record.target)} over {record.base}"]
    lines += [f"  {_gap(gap)}" for gap in record.gaps]
    if record.identical_tensors is not None:
        lines.append(
            f"  {counted(record.identical_tensors, 'tensor')} of the base copied byte for byte"
        )
    if record.biases is not None:
        biases = record.biases
        lines.append(
            f"  {biases.entries:,} of {counted(biases.wanted, 'bias', 'biases')}, which cover "
            f"{biases.covered:.1%} of the probability that all of them move"
        )
        lines.append(f"  {_gap(biases.gap_closed)}")
    lines += [f"  {visible(note)}" for note in record.notes]
    lines.append(f"\n{record.command or out}")
    return "\n".join(lines)


def _gap(gap: GapRecord) -> str:
    low, high = gap.interval or (gap.gap_closed, gap.gap_closed)
    return (
        f"{gap.what}: gap closed {gap.gap_closed:.4f} (95 % {low:.4f} to {high:.4f}, over "
        f"{counted(gap.contexts, 'context')})"
    )
