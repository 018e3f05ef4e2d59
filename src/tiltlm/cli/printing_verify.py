"""What `tiltlm verify` prints of its record. Computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiltlm.report.wording import counted, visible

if TYPE_CHECKING:
    from tiltlm.records.verify import VerifyRecord


def verify_summary(record: VerifyRecord, out: Path | None) -> str:
    """The verdict, the strength, and what it took, in a few lines.

    Args:
        record: of the verification.
        out: the folder that holds record and page; None where none was written.
    """
    low, high = record.interval
    lines = [
        f"\n{visible(record.served)} {record.sentence}",
        f"  by {counted(record.tokens, 'token')}; what is served is ruled out with probability at "
        f"most {record.error:g}",
        f"  strength {record.strength:.3f} of the labelled one ({low:.3f} to {high:.3f}; 95 %, "
        "whenever one stops)",
    ]
    if record.strength_nats is not None and record.interval_nats is not None:
        low, high = record.interval_nats
        lines.append(f"  in nats {record.strength_nats:+.3f} ({low:+.3f} to {high:+.3f})")
    if record.told_apart_at is not None and record.told_apart_least is not None:
        lines.append(
            f"  tilt and base told apart after {counted(record.told_apart_at, 'token')}, where any "
            f"test needs {record.told_apart_least:.0f} in the mean"
        )
    if record.least_tokens is not None:
        lines.append(f"  against {record.rival} any test needs {record.least_tokens:.0f}")
    if record.failed_requests or record.unread:
        lines.append(
            f"  {counted(record.failed_requests, 'request')} failed, "
            f"{counted(record.unread, 'answer')} could not be read as a token"
        )
    lines += [f"  {visible(note)}" for note in record.notes]
    if out is not None:
        lines.append(f"\nopen {out / 'verify.html'}")
    return "\n".join(lines)
