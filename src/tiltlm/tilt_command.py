"""`tiltlm tilt`, the Python function behind the command: prepare, realise, record, save."""

from __future__ import annotations

import time
from pathlib import Path

from tiltlm.models import load
from tiltlm.preparing import prepare
from tiltlm.realise.edit import check_editable
from tiltlm.records import TiltRecord
from tiltlm.saving import check_out, fingerprint, record_of, save_tilted
from tiltlm.targets import parse_target
from tiltlm.tilt_recipe import TiltRecipe
from tiltlm.tilting import decode_prepared, edit_prepared
from tiltlm.training import Training, train_prepared
from tiltlm.watching import Watcher


def run_tilt(recipe: TiltRecipe, out: Path, watcher: Watcher | None = None) -> TiltRecord:
    """Realise a target in a model and save it, labelled and measured.

    Args:
        recipe: what and how.
        out: a new folder.
        watcher: told of progress.

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
        watcher=watcher,
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
