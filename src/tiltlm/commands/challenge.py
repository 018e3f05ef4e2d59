"""`tiltlm challenge`, the Python functions behind the commands: make, and score with a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tiltlm.challenges.drawing import RANGES
from tiltlm.challenges.making import make_challenge
from tiltlm.challenges.scoring import score_challenge
from tiltlm.claims import claimed_new
from tiltlm.errors import ConfigError
from tiltlm.files import staged, write_json, write_text
from tiltlm.progress import Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.challenge import (
    ChallengeRecord,
    ChallengeScoreRecord,
    RangesRecord,
    TiltWay,
)


def run_make(
    reference: str,
    out: Path,
    *,
    count: int = 12,
    ways: Sequence[str] | None = None,
    text: str | None = None,
    key: Path | None = None,
    seed: int | None = None,
    placement: Placement | None = None,
    progress: Progress | None = None,
) -> ChallengeRecord:
    """Write a challenge, and beside it the key that opens its answers.

    Args:
        reference: that all models are made of, as for `load`.
        out: a new folder.
        count: of models.
        ways: how models may be tilted, a choice of `TiltWay`; by default each.
        text: what decoys are trained on, a source of `make_contexts`.
        key: where the key is written; by default beside ``out``.
        seed: of all draws; by default nobody knows it.
        placement: of the reference, as for `load`.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    return make_challenge(
        reference, out, count=count, ranges=_ranges(ways), text=text, key=key, seed=seed,
        placement=placement, progress=progress,
    )  # fmt: skip


def _ranges(ways: Sequence[str] | None) -> RangesRecord:
    """The usual ranges, with some of the ways to tilt alone."""
    if ways is None:
        return RANGES
    unknown = [way for way in ways if way not in RANGES.ways]
    if unknown or not ways:
        raise ConfigError(
            f"no way to tilt a model of a challenge is called {(unknown or [''])[0]!r}",
            where="--ways",
            fix=f"choose from {', '.join(RANGES.ways)}, with commas between",
        )
    return RANGES.model_copy(update={"ways": cast("list[TiltWay]", list(dict.fromkeys(ways)))})


def run_score(
    folder: Path, answers: Sequence[Path], *, key: Path | None = None, out: Path | None = None
) -> ChallengeScoreRecord:
    """Score answers; write what came of it.

    Args:
        folder: of the challenge.
        answers: files of answers, or folders with audits.
        key: that the maker kept; by default beside the folder.
        out: a new folder for ``score.json`` and ``leaderboard.html``; None to write nothing.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    record = score_challenge(folder, answers, key)
    if out is not None:
        # The report draws with libraries that are slow to import.
        from tiltlm.report.challenge_page import render_leaderboard

        with claimed_new(out) as claim, staged(claim) as partial:
            partial.mkdir(parents=True)
            write_json(partial / "score.json", record.model_dump(mode="json"))
            write_text(partial / "leaderboard.html", render_leaderboard(record))
    return record
