"""What `tiltlm challenge` prints of its records. Computes nothing."""

from __future__ import annotations

from pathlib import Path

from tiltlm.records.challenge import ChallengeRecord, ChallengeScoreRecord
from tiltlm.report.wording import counted


def made_summary(record: ChallengeRecord, out: Path, key: Path) -> str:
    """How many models there are, and what to keep back.

    Args:
        record: of the challenge.
        out: its folder; the last line.
        key: that opens the answers.
    """
    return (
        f"{counted(len(record.models), 'model')} of {record.reference['name']}, some of them "
        f"tilted\nkeep {key} until all answers are in; it opens them\n\n{out}"
    )


def score_summary(record: ChallengeScoreRecord, out: Path | None) -> str:
    """A line for everybody who answered, the best first.

    Args:
        record: of the scores.
        out: the folder that holds page and record; None where nothing was written.
    """
    lines = []
    for standing in record.standings:
        names = "–" if standing.jaccard is None else f"{standing.jaccard:.2f}"
        lines.append(
            f"{standing.who}: log score {standing.log_score_nats:.3f}, found {standing.found} of "
            f"{standing.tilted} tilted, accused {standing.accused_wrongly} of {standing.decoys} "
            f"others, names {names}, Brier {standing.brier:.3f}"
        )
    if out is not None:
        lines.append(f"\nopen {out / 'leaderboard.html'}")
    return "\n".join(lines)
