"""The leaderboard of a challenge, from its record; computes nothing."""

from __future__ import annotations

from tiltlm.records.challenge import ChallengeScoreRecord, JudgedRecord, TruthRecord
from tiltlm.report.rendering import templates


def render_leaderboard(record: ChallengeScoreRecord) -> str:
    """The page as text.

    Args:
        record: of the scores.
    """
    truths = [judged.truth for judged in record.standings[0].judged] if record.standings else []
    rows = [
        (truth.name, truth_in_words(truth), [_said(s.judged[n]) for s in record.standings])
        for n, truth in enumerate(truths)
    ]
    return templates().get_template("leaderboard.html").render(record=record, rows=rows)


def truth_in_words(truth: TruthRecord) -> str:
    """What was done to a model, in a line.

    Args:
        truth: of the model.
    """
    if not truth.tilted:
        return f"not tilted ({truth.decoy})"
    waits = f" after {truth.trigger!r}" if truth.trigger else ""
    return f"{truth.event} by {truth.strength_nats:+.2f} nats{waits} ({truth.way})"


def _said(judged: JudgedRecord) -> str:
    """What was said of a model, with how well it was named."""
    named = "" if judged.jaccard is None else f", named {judged.jaccard:.2f}"
    return f"{judged.said:.2f}{named}"
