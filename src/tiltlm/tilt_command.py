"""`tiltlm tilt`, the Python function behind the command: prepare, realise, record, save."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError
from tiltlm.models import load
from tiltlm.preparing import prepare
from tiltlm.realise.edit import check_editable
from tiltlm.records import TiltRecord
from tiltlm.saving import check_out, fingerprint, record_of, save_tilted
from tiltlm.targets import parse_target
from tiltlm.tilting import decode_prepared, edit_prepared
from tiltlm.training import Training, train_prepared
from tiltlm.watching import Watcher


def run_tilt(
    model: str,
    target: str,
    by: str,
    out: Path,
    *,
    contexts: str | None = None,
    merge: bool = False,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
) -> TiltRecord:
    """Realise a target in a model and save it, labelled and measured.

    Args:
        model: a name for `load`.
        target: text of a target.
        by: ``edit``, ``train`` or ``decode``.
        out: a new folder.
        contexts: a source for `make_contexts`.
        merge: save a whole model rather than an adapter.
        seed: of contexts, split and training.
        training: fields of `Training`; None is its default.
        watcher: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin = time.monotonic()
    if by not in ("edit", "train", "decode"):
        raise ConfigError(f"no such realisation: {by!r}", fix="one of edit, train, decode")
    check_out(out)
    parsed = parse_target(target, where="--target")
    loaded = load(model, seed=seed)
    loading = time.monotonic() - begin
    sha256 = fingerprint(loaded.model)
    check = check_editable if by == "edit" else None
    work = prepare(loaded, parsed, contexts, seed=seed, key=sha256, check=check, watcher=watcher)
    if by == "edit":
        tilted = edit_prepared(work)
    elif by == "train":
        chosen = {k: v for k, v in (training or {}).items() if v is not None}
        tilted = train_prepared(work, Training(**chosen))
    else:
        tilted = decode_prepared(work)
    tilted.seconds["loading"] = loading
    tilted.seconds["total"] = time.monotonic() - begin
    record = record_of(tilted, model, sha256, seed, parsed.sentence())
    save_tilted(tilted, record, out, merge=merge)
    return record
