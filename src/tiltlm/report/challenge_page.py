"""The leaderboard of a challenge, from its record; computes nothing."""

from __future__ import annotations

import math

from tiltlm.records.challenge import ChallengeScoreRecord, JudgedRecord, TruthRecord
from tiltlm.report.plot_style import (
    AFTER,
    BEFORE,
    Plot,
    draw_rows,
    new_figure,
    plot_of,
    rows_height,
    short,
    spread,
    styled,
)
from tiltlm.report.rendering import templates
from tiltlm.report.wording import counted


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
    plot = styled(_scores, record) if record.standings else None
    page = templates().get_template("leaderboard.html")
    return page.render(record=record, rows=rows, plot=plot)


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


def _scores(record: ChallengeScoreRecord) -> Plot:
    """The log score of everybody."""
    figure, axes = new_figure(rows_height(len(record.standings)))
    drawn = [
        (short(s.who), s.log_score_nats, s.log_score_interval, AFTER) for s in record.standings
    ]
    draw_rows(axes, drawn, "log score, nats")
    axes.axvline(math.log(0.5), color=BEFORE, linewidth=1, linestyle="--")
    rows = [
        (s.who, f"{s.log_score_nats:.3f}", spread(s.log_score_interval, "{:.3f}"))
        for s in record.standings
    ]
    alt = f"Log scores of {counted(len(rows), 'set of answers', 'sets of answers')}, best first."
    return plot_of(figure, alt, ("who", "log score, nats", "95 %"), rows)
