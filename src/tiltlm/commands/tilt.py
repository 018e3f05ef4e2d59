"""`tiltlm tilt`, the Python function behind the command: prepare, realise, measure, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiltlm.claims import claimed_new
from tiltlm.models.loading import load
from tiltlm.progress import Progress
from tiltlm.realise.decoding import decode_prepared
from tiltlm.realise.editing import edit_prepared
from tiltlm.realise.head_edit import check_editable
from tiltlm.realise.preparation import prepare
from tiltlm.realise.result import Tilted
from tiltlm.recipes.tilt import TiltRecipe
from tiltlm.records.tilt import TiltRecord
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.parse import parse_target


def run_tilt(
    recipe: TiltRecipe,
    out: Path,
    progress: Progress | None = None,
    *,
    stop: Callable[[], bool] | None = None,
) -> TiltRecord:
    """Realise a target in a model and save it, labelled and measured.

    Args:
        recipe: what and how.
        out: a new folder.
        progress: is told how far work has come.
        stop: asked after each step of training whether to end there, with the best weights so far.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    with claimed_new(out) as folder:
        return _realised(recipe, progress, stop).write(folder, merge=recipe.merge)


def _realised(
    recipe: TiltRecipe, progress: Progress | None, stop: Callable[[], bool] | None
) -> Tilted:
    """What a recipe asks for, in memory."""
    watch = Stopwatch()
    target = parse_target(recipe.target, where="target")
    loaded = load(recipe.model, seed=recipe.seed, placement=recipe.placement)
    watch.lap("loading")
    work = prepare(
        loaded,
        target,
        recipe.contexts,
        seed=recipe.seed,
        check=check_editable if recipe.by == "edit" else None,
        retention=recipe.by != "decode",
        training=recipe.training if recipe.by == "train" else None,
        progress=progress,
    )
    if recipe.by == "edit":
        tilted = edit_prepared(work)
    elif recipe.by == "train":
        from tiltlm.realise.training import train_prepared  # imports trainers and data sets

        tilted = train_prepared(work, recipe.training, stop)
    else:
        tilted = decode_prepared(work)
    tilted.seconds |= {**watch.seconds, "total": watch.total}
    return tilted
