"""Build a null pack: make benign changes of a reference, and keep how they shift it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltlm.auditing.models import ModelSource, model_name, open_model
from tiltlm.auditing.null.members import MemberMaker, MemberReader, benign_corpora
from tiltlm.auditing.null.pack import NullPack, member_kinds
from tiltlm.auditing.null.pack_files import assemble_pack, check_same_build, member_path
from tiltlm.auditing.shifts.trigger_probes import make_trigger_probes, probe_words, read_words
from tiltlm.claims import claimed
from tiltlm.contexts import evaluation
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, NULL_MODELS, TRIGGER_WORDS
from tiltlm.errors import ConfigError, InterruptedRun, RunError
from tiltlm.files import check_out, remove, remove_leftovers
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import NoProgress, Progress
from tiltlm.records.audit import NullBuilt
from tiltlm.stopwatch import Stopwatch
from tiltlm.treatments.benign import STEPS


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """All that the members of a pack depend on, but for their number.

    Attributes:
        reference: SHA-256 of the reference's weights.
        corpora: sources of text to fine-tune on; empty for the default ones.
        contexts: own samples of the reference at which shifts are read.
        length: tokens of each.
        steps: of fine-tuning, to choose from.
        words: that are tried as triggers.
        seed: of everything drawn.
    """

    reference: str
    corpora: Sequence[str]
    contexts: int
    length: int
    steps: Sequence[int]
    words: list[str]
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """For ``plan.json``."""
        return {
            "reference": self.reference,
            "corpora": list(self.corpora),
            "contexts": [self.contexts, self.length],
            "steps": list(self.steps),
            "words": self.words,
            "seed": self.seed,
        }


def build_null(
    reference: ModelSource,
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
    """Make a pack of benign changes of a reference, which calibrates audits of its suspects.

    Args:
        reference: a name for `load`, or a loaded model.
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
        TiltError: any of the tree in `errors`; members that were made are kept.
        InterruptedRun: Ctrl-C or SIGTERM; likewise.
    """
    stopwatch = Stopwatch()
    _check_counts(models, steps)
    with claimed(out) as folder:
        _check_folder(folder, resume)
        loaded = open_model(reference)
        given = read_words(triggers) if triggers else []
        plan = BuildPlan(
            reference=fingerprint(loaded.model), corpora=corpora, contexts=contexts,
            length=length, steps=steps, words=probe_words(loaded.vocabulary, given, words),
            seed=seed,
        )  # fmt: skip
        check_same_build(folder, plan.as_dict())
        name = model_name(reference)
        try:
            pack, redrawn = _make_pack(loaded, name, folder, plan, models, progress or NoProgress())
        except KeyboardInterrupt as interrupt:
            raise _interrupted(folder, models) from interrupt
    return _record_of(pack, out, redrawn, stopwatch.total)


def _check_folder(out: Path, resume: bool) -> None:
    """Refuse a folder with something else in it than a pack that is to be gone on with.

    Raises:
        RunError: it holds a finished pack, or without ``resume`` anything.
    """
    if out.is_dir():
        remove_leftovers(out / "plan.json")
    if not resume or not out.is_dir():
        check_out(out)
    elif (out / "null.json").is_file():
        remove(out / "members")  # A build may have been killed before it did so itself.
        raise RunError("this pack is finished", where=str(out), fix="name another --out")
    elif (out / "plan.json").is_file():
        remove_leftovers(out, within=True)
    else:
        check_out(out)


def _interrupted(out: Path, models: int) -> InterruptedRun:
    """The error that says what an interrupted build has kept."""
    kept = sum(member_path(out, number).is_file() for number in range(models))
    return InterruptedRun(
        f"interrupted; {kept} of {models} benign changes are made and kept",
        where=str(out),
        fix="go on with the same and --resume",
    )


def _check_counts(models: int, steps: Sequence[int]) -> None:
    if models < 1:
        raise ConfigError(f"a pack of {models} models", where="--n", fix="at least 1; 299 is usual")
    if not steps or min(steps) < 1:
        raise ConfigError(f"steps {list(steps)}", where="--steps", fix="such as 4,8,16")


def _make_pack(
    reference: LoadedModel, name: str, out: Path, plan: BuildPlan, models: int, progress: Progress
) -> tuple[NullPack, dict[str, Any]]:
    """The pack, and the treatments that were drawn again; members that are there are kept."""
    key = plan.reference
    progress.begin("the reference's own samples", plan.contexts)
    samples = evaluation.own(
        reference, plan.contexts, plan.length, plan.seed, key, progress.advance
    )
    corpora = benign_corpora(reference, plan.corpora, plan.seed, key)
    probes = make_trigger_probes(reference, plan.words, samples)
    reader = MemberReader(reference, samples, probes)
    maker = MemberMaker(reference, reader, corpora, out, plan.seed, plan.steps)
    progress.begin("benign changes", models)
    for number in range(models):
        if not member_path(out, number).is_file():
            maker.make(number)
        progress.advance(number + 1)
    shared = NullPack(
        reference={"name": name, "sha256": key},
        vocabulary=reference.vocabulary.fingerprint,
        contexts=samples,
        probes=probes,
        strata=reader.strata,
    )
    progress.begin("how benign changes move hidden states", 0)
    return assemble_pack(out, shared, models, reader.rows), maker.redrawn


def _record_of(pack: NullPack, out: Path, redrawn: dict[str, Any], seconds: float) -> NullBuilt:
    quantiles = np.quantile(pack.kl, [0, 0.25, 0.5, 0.75, 1]).tolist()
    names = ("least", "25 %", "50 %", "75 %", "largest")
    return NullBuilt(
        pack=str(out),
        reference=pack.reference,
        models=len(pack.members),
        kinds=member_kinds(pack),
        kl_nats=dict(zip(names, quantiles, strict=True)),
        contexts=pack.contexts.kind,
        seconds=seconds,
        redrawn=redrawn,
    )
