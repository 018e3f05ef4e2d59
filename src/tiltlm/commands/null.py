"""`tiltlm null build`, the Python function behind the command: make benign changes, keep shifts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tiltlm.auditing.null.members import MemberReader, benign_corpora, make_member
from tiltlm.auditing.null.pack import (
    NullPack,
    assemble_pack,
    check_same_build,
    member_kinds,
    member_path,
)
from tiltlm.auditing.shifts.trigger_probes import (
    make_trigger_probes,
    probe_words,
    read_words,
)
from tiltlm.contexts import evaluation as places
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, NULL_MODELS, TRIGGER_WORDS
from tiltlm.errors import ConfigError
from tiltlm.files import check_out
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import load
from tiltlm.progress import NoProgress, Progress
from tiltlm.records.audit import NullBuilt
from tiltlm.treatments.benign import STEPS


def build_null(
    reference: str,
    out: Path,
    *,
    models: int = NULL_MODELS,
    corpora: Sequence[str] = (),
    contexts: int = AUDIT_CONTEXTS,
    length: int = AUDIT_TOKENS,
    steps: Sequence[int] = STEPS,
    words: int = TRIGGER_WORDS,
    triggers: Path | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: Progress | None = None,
) -> NullBuilt:
    """Make a pack of benign changes of a reference.

    Args:
        reference: a name for `load`.
        out: a new folder; with ``resume`` one that was begun.
        models: how many changes, B. The smallest p-value is 1 / (B + 1).
        corpora: where they are trained, as sources of `make_contexts` such as ``text:FILE``; by
            default the model's own samples and answers, and a text in eight languages.
        contexts: own samples of the reference at which shifts are read.
        length: tokens of each.
        steps: of fine-tuning, to choose from.
        words: how many words to try as triggers.
        triggers: a file of words to try before the vocabulary's own.
        seed: of everything drawn.
        resume: keep the members that are there.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    begin, progress = time.monotonic(), progress or NoProgress()
    if models < 1:
        raise ConfigError(f"a pack of {models} models", where="--n", fix="at least 1; 299 is usual")
    if not steps or min(steps) < 1:
        raise ConfigError(f"steps {list(steps)}", where="--steps", fix="such as 4,8,16")
    if not resume:
        check_out(out)
    loaded = load(reference)
    key = fingerprint(loaded.model)
    vocabulary = loaded.vocabulary
    tried = probe_words(vocabulary, read_words(triggers) if triggers else [], words)
    plan = {
        "reference": key,
        "corpora": list(corpora),
        "contexts": [contexts, length],
        "steps": list(steps),
        "words": tried,
        "seed": seed,
    }
    out.mkdir(parents=True, exist_ok=True)
    check_same_build(out, plan)
    progress.begin("the reference's own samples", contexts)
    where = places.own(loaded, contexts, length, seed, key, progress.advance)
    texts = benign_corpora(loaded, corpora, seed, key)
    reading = MemberReader(loaded, where, make_trigger_probes(loaded, tried, where), vocabulary)
    redrawn: dict[str, Any] = {}
    progress.begin("benign changes", models)
    for number in range(models):
        if not member_path(out, number).is_file():
            make_member(loaded, reading, texts, out, number, seed, steps, redrawn)
        progress.advance(number + 1)
    named = {"name": reference, "sha256": key}
    pack = NullPack(named, vocabulary.fingerprint, where, reading.probes, reading.strata)
    progress.begin("how benign changes move hidden states", 0)
    assemble_pack(out, pack, models, reading.rows)
    found = np.quantile(pack.kl, [0, 0.25, 0.5, 0.75, 1])
    return NullBuilt(
        pack=str(out),
        reference=pack.reference,
        models=models,
        kinds=member_kinds(pack),
        kl_nats=dict(
            zip(("least", "25 %", "50 %", "75 %", "largest"), found.tolist(), strict=True)
        ),
        contexts=where.kind,
        seconds=time.monotonic() - begin,
        redrawn=redrawn,
    )
