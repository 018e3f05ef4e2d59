"""`tiltlm null build`, the Python function behind the command: make benign changes, keep shifts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tiltlm.audit.benign import STEPS, draw_treatment, treated
from tiltlm.audit.filters import Array, Outside, Space, rows_of
from tiltlm.audit.hypotheses import hypotheses
from tiltlm.audit.nulls import (
    LARGEST_KL,
    NullPack,
    check_same_build,
    gather,
    kinds,
    member_path,
    write_member,
)
from tiltlm.audit.probes import WORDS, Probes, make_probes, probe_words, read_words, waiting
from tiltlm.audit.shift import Shift, ShiftReader
from tiltlm.audit.strata import strata_of
from tiltlm.audit_records import NullBuilt
from tiltlm.context_sources import make_contexts
from tiltlm.contexts import TokenContexts
from tiltlm.errors import ConfigError, MeasurementError
from tiltlm.measures import places
from tiltlm.models import LoadedModel, load, vocabulary_size
from tiltlm.saving import check_out, fingerprint
from tiltlm.vocabulary import Vocabulary
from tiltlm.watching import Silent, Watcher

CONTEXTS, LENGTH = 96, 64
PIECES, PIECE_LENGTH = 512, 64
ATTEMPTS = 20


def build_null(
    reference: str,
    out: Path,
    *,
    models: int = 299,
    corpora: Sequence[str] = (),
    contexts: int = CONTEXTS,
    length: int = LENGTH,
    steps: Sequence[int] = STEPS,
    words: int = WORDS,
    triggers: Path | None = None,
    seed: int = 0,
    resume: bool = False,
    watcher: Watcher | None = None,
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
        watcher: told of progress.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    begin, watcher = time.monotonic(), watcher or Silent()
    if models < 1:
        raise ConfigError(f"a pack of {models} models", where="--n", fix="at least 1; 299 is usual")
    if not steps or min(steps) < 1:
        raise ConfigError(f"steps {list(steps)}", where="--steps", fix="such as 4,8,16")
    if not resume:
        check_out(out)
    loaded = load(reference)
    key = fingerprint(loaded.model)
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, vocabulary_size(loaded.model))
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
    watcher.begin("the reference's own samples", contexts)
    where = places.own(loaded, contexts, length, seed, key, watcher.advance)
    texts = _corpora(loaded, corpora, seed, key)
    reading = _Reading(loaded, where, make_probes(loaded, tried, where), vocabulary)
    redrawn: dict[str, Any] = {}
    watcher.begin("benign changes", models)
    for number in range(models):
        if not member_path(out, number).is_file():
            _make(loaded, reading, texts, out, number, seed, steps, redrawn)
        watcher.advance(number + 1)
    named = {"name": reference, "sha256": key}
    pack = NullPack(named, vocabulary.fingerprint, where, reading.probes, reading.strata)
    watcher.begin("how benign changes move hidden states", 0)
    gather(out, pack, models, reading.rows)
    found = np.quantile(pack.kl, [0, 0.25, 0.5, 0.75, 1])
    return NullBuilt(
        pack=str(out),
        reference=pack.reference,
        models=models,
        kinds=kinds(pack),
        kl_nats=dict(
            zip(("least", "25 %", "50 %", "75 %", "largest"), found.tolist(), strict=True)
        ),
        contexts=where.kind,
        seconds=time.monotonic() - begin,
        redrawn=redrawn,
    )


class _Reading:
    """What is read of every member."""

    def __init__(
        self,
        reference: LoadedModel,
        contexts: TokenContexts,
        probes: Probes,
        vocabulary: Vocabulary,
    ) -> None:
        self.probes = probes
        self._everywhere = ShiftReader(reference, contexts)
        self.rows = rows_of(self._everywhere.head)
        self.strata = strata_of(self._everywhere.rows)
        self._everywhere.stratify(self.strata)
        self._placed = ShiftReader(reference, probes.contexts)
        mass = self._everywhere.read(reference).reference_mass.numpy()
        self._space = Space(self.rows, mass)
        self._outside = Outside(self._space, hypotheses(vocabulary))

    def member(self, model: LoadedModel) -> tuple[Shift, Array, float]:
        """Its shift, its moves by stratum, and what it scores as a class that waits for a word.

        Raises:
            MeasurementError: it is no model any more, or another.
        """
        shift = self._everywhere.read(model)
        if not shift.kl < LARGEST_KL:
            raise MeasurementError(f"KL {shift.kl:.2f}")
        placed = self._placed.read(model, masses=False).by_context.double().numpy()
        moves = shift.change(self._space).moves
        return shift, moves, waiting(self._outside, placed, self.probes).score


def _make(
    loaded: LoadedModel,
    reading: _Reading,
    corpora: Mapping[str, TokenContexts],
    out: Path,
    number: int,
    seed: int,
    steps: Sequence[int],
    redrawn: dict[str, Any],
) -> None:
    """One member; a treatment that breaks the model, or makes another of it, is drawn again."""
    width = int(loaded.model.config.get_text_config().hidden_size)
    for attempt in range(ATTEMPTS):
        treatment = draw_treatment(
            (seed * 100_003 + number) * ATTEMPTS + attempt, tuple(corpora), width, steps
        )
        try:
            found = reading.member(treated(loaded, treatment, corpora))
        except MeasurementError as error:
            redrawn[f"{number}, attempt {attempt}"] = {"why": error.what, **treatment.as_dict()}
            continue
        write_member(out, number, *found, treatment.as_dict())
        return
    raise MeasurementError(
        f"{ATTEMPTS} benign changes in a row broke the model or made another of it",
        where=f"member {number}",
        fix="give corpora that are closer to what the model was trained on",
    )


def _corpora(
    loaded: LoadedModel, sources: Sequence[str], seed: int, key: str
) -> dict[str, TokenContexts]:
    if sources:
        return {
            source: make_contexts(
                source, loaded, count=PIECES, length=PIECE_LENGTH, seed=seed, key=key
            )
            for source in sources
        }
    found = {
        "own samples": places.own(loaded, PIECES // 4, PIECE_LENGTH, seed + 1, key),
        "languages": places.languages(loaded),
    }
    chats = places.chats(loaded, 32, PIECE_LENGTH, seed + 1, key)
    return found if chats is None else {**found, "chat": chats}
