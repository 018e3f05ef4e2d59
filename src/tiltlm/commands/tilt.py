"""`tiltlm tilt`, the Python function behind the command: prepare, realise, record, save."""

from __future__ import annotations

import time
from pathlib import Path

from tiltlm.files import check_out
from tiltlm.models.fingerprint import fingerprint
from tiltlm.models.loading import load
from tiltlm.progress import Progress
from tiltlm.realise.decoding import decode_prepared
from tiltlm.realise.editing import edit_prepared
from tiltlm.realise.head_edit import check_editable
from tiltlm.realise.prepare import prepare
from tiltlm.realise.saving import record_of, save_tilted
from tiltlm.realise.training import Training, train_prepared
from tiltlm.recipes.tilt import TiltRecipe
from tiltlm.records.tilt import TiltRecord
from tiltlm.targets.parse import parse_target


def run_tilt(recipe: TiltRecipe, out: Path, progress: Progress | None = None) -> TiltRecord:
    """Realise a target in a model and save it, labelled and measured.

    Args:
        recipe: what and how.
        out: a new folder.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin = time.monotonic()
    check_out(out)
    parsed = parse_target(recipe.target, where="target")
    loaded = load(recipe.model, seed=recipe.seed)
    loading = time.monotonic() - begin
    sha256 = fingerprint(loaded.model)
    work = prepare(
        loaded,
        parsed,
        recipe.contexts,
        seed=recipe.seed,
        key=sha256,
        check=check_editable if recipe.by == "edit" else None,
        progress=progress,
    )
    if recipe.by == "edit":
        tilted = edit_prepared(work)
    elif recipe.by == "train":
        tilted = train_prepared(work, Training(**recipe.training.model_dump(exclude_none=True)))
    else:
        tilted = decode_prepared(work)
    tilted.seconds["loading"] = loading
    tilted.seconds["total"] = time.monotonic() - begin
    record = record_of(tilted, recipe.model, sha256, recipe.seed, parsed.sentence())
    save_tilted(tilted, record, out, merge=recipe.merge)
    return record
