"""Members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.null.pack import (
    LARGEST_KL,
    write_member,
)
from tiltlm.auditing.shifts.filters import HeadGeometry, ResidualFilter, head_rows
from tiltlm.auditing.shifts.log_ratios import Shift, ShiftReader
from tiltlm.auditing.shifts.strata import strata_of
from tiltlm.auditing.shifts.trigger_probes import (
    TriggerProbes,
    find_triggered_class,
)
from tiltlm.contexts import evaluation as places
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import CORPUS_PIECE_TOKENS, CORPUS_PIECES
from tiltlm.errors import MeasurementError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.treatments.benign import draw_treatment

ATTEMPTS = 20


class MemberReader:
    """What is read of every member."""

    def __init__(
        self,
        reference: LoadedModel,
        contexts: TokenContexts,
        probes: TriggerProbes,
        vocabulary: Vocabulary,
    ) -> None:
        self.probes = probes
        self._everywhere = ShiftReader(reference, contexts)
        self.rows = head_rows(self._everywhere.head)
        self.strata = strata_of(self._everywhere.rows)
        self._everywhere.stratify(self.strata)
        self._placed = ShiftReader(reference, probes.contexts)
        mass = self._everywhere.read(reference).reference_mass.numpy()
        self._space = HeadGeometry(self.rows, mass)
        self._outside = ResidualFilter(self._space, build_classes(vocabulary))

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
        return shift, moves, find_triggered_class(self._outside, placed, self.probes).score


def make_member(
    loaded: LoadedModel,
    reading: MemberReader,
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
            found = reading.member(treatment.apply(loaded, corpora))
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


def benign_corpora(
    loaded: LoadedModel, sources: Sequence[str], seed: int, key: str
) -> dict[str, TokenContexts]:
    if sources:
        return {
            source: make_contexts(
                source, loaded, count=CORPUS_PIECES, length=CORPUS_PIECE_TOKENS, seed=seed, key=key
            )
            for source in sources
        }
    found = {
        "own samples": places.own(loaded, CORPUS_PIECES // 4, CORPUS_PIECE_TOKENS, seed + 1, key),
        "languages": places.languages(loaded),
    }
    chats = places.chats(loaded, 32, CORPUS_PIECE_TOKENS, seed + 1, key)
    return found if chats is None else {**found, "chat": chats}
