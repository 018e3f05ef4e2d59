"""`tiltlm challenge`, the Python functions behind the commands: make, judge, score with a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tiltlm.challenges.drawing import RANGES
from tiltlm.challenges.making import make_challenge
from tiltlm.challenges.scoring import score_challenge
from tiltlm.challenges.sealing import MODELS, read_challenge
from tiltlm.claims import claimed_new
from tiltlm.commands.audit import run_audit
from tiltlm.defaults import FALSE_POSITIVE_RATE
from tiltlm.errors import ConfigError
from tiltlm.files import staged, write_json, write_text
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.challenge import (
    AnswersRecord,
    ChallengeRecord,
    ChallengeScoreRecord,
    RangesRecord,
    TiltWay,
)

ANSWERS, AUDITS, SCORE = "answers.json", "audits", "score"
"""Names of what `run_judging` writes into its folder."""


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


def run_judging(
    folder: Path,
    reference: str,
    out: Path,
    answers: AnswersRecord,
    *,
    null: Path | None = None,
    fpr: float = FALSE_POSITIVE_RATE,
    key: Path | None = None,
    seed: int = 0,
    placement: Placement | None = None,
    progress: Progress | None = None,
) -> ChallengeScoreRecord:
    """Write down what somebody says of a challenge, have every model audited, and score both.

    What is said lies on the disk before the first audit begins.

    Args:
        folder: of the challenge.
        reference: what its models were made of, as for `load`.
        out: a new folder for ``answers.json``, an audit of each model in ``audits``, and ``score``.
        answers: that somebody gave.
        null: the folder of a pack of benign changes of the reference.
        fpr: false-positive rate of each audit.
        key: that the maker kept; by default beside the folder.
        seed: of the audits' draws.
        placement: of the models, as for `load`.
        progress: told of each audit.

    Returns:
        what ``score/score.json`` holds.

    Raises:
        ConfigError: what was said cannot be scored, or the key opens nothing; this is seen before
            any audit, and ``out`` is then not there.
        TiltError: any other of the tree in `errors`; the audits that were done are kept.
    """
    models = read_challenge(folder).models
    with claimed_new(out) as claim, staged(claim) as partial:
        partial.mkdir(parents=True)
        write_json(partial / ANSWERS, answers.model_dump(mode="json"))
        # An answer that cannot be scored should not be found out about after hours of audits.
        score_challenge(folder, [partial / ANSWERS], key)
    for number, model in enumerate(models, 1):
        told = _Named(progress or NoProgress(), f"{model.name} ({number} of {len(models)})")
        run_audit(
            str(folder / MODELS / model.name), reference, out / AUDITS / model.name, null=null,
            fpr=fpr, seed=seed, placement=placement, progress=told,
        )  # fmt: skip
    return run_score(folder, [out / ANSWERS, out / AUDITS], key=key, out=out / SCORE)


class _Named:
    """A `Progress` whose every part says which model it is of."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name
        self.advance, self.note = progress.advance, progress.note

    def begin(self, title: str, total: int) -> None:
        self._progress.begin(f"{self._name}: {title}", total)
