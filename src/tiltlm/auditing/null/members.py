"""The members of a null pack: benign changes drawn at random, made, read, and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tiltlm.auditing.benign.knowledge import Knowledge
from tiltlm.auditing.benign.learning import learn_at
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.null.costs import Costs
from tiltlm.auditing.null.drawn import Drawn
from tiltlm.auditing.null.member_files import Member, write_member
from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.likeness import spread_over_strata, stratum_weights
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.trigger_probes import find_triggered_class
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import WORDS_EVERY
from tiltlm.errors import MeasurementError
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Progress
from tiltlm.stopwatch import Stopwatch
from tiltlm.treatments.benign import Unit
from tiltlm.treatments.from_training import Alone, FromTraining

ATTEMPTS = 20
"""Treatments drawn for one member before the build is given up."""


LARGEST_KL = 2.0
"""Nats a position: a model further from its reference than this is another model."""


class MemberReader:
    """Reads of every member what a pack keeps of it; the reference is read once.

    Args:
        reference: whose benign changes the members are.
        drawn: where members are read.

    Attributes:
        rows: (V, D) of the reference's head.
        move_bytes: of a pack besides, for each member: what is known of its moves.
        shared_bytes: of a pack besides, whatever its members.
    """

    def __init__(self, reference: LoadedModel, drawn: Drawn) -> None:
        self._probes = drawn.probes
        self._at_contexts = ShiftReader(reference, drawn.samples, drawn.strata)
        self.rows = HeadRows.of(self._at_contexts.head)
        self._at_probes = ShiftReader(reference, drawn.probes.contexts)
        mass = self._at_contexts.read(reference).reference_mass.numpy()
        self._head = HeadGeometry(self.rows, mass)
        self._residuals = ResidualFilter(self._head, drawn.hypotheses)
        positions = np.bincount(drawn.strata.numpy()).astype(float)
        mass_by_stratum = drawn.stratum_mass.numpy()
        self._weights = stratum_weights(self._residuals, mass_by_stratum, positions)
        strata, width = len(positions), self.rows.width
        # As `Knowledge` keeps it, but for what has a number a class or a member alone; and the
        # covariances without each family, of which corpora are most.
        self.move_bytes = 4 * strata * width
        covariances = (strata + len(drawn.corpora.pieces)) * width**2
        means = int(positions.sum()) * width + strata * len(self.rows)
        self.shared_bytes = 4 * (covariances + means + drawn.hypotheses.members.nnz)

    @property
    def words_share(self) -> float:
        """Of the tokens at which a member is read after words too: those with words."""
        words, contexts = (
            sum(map(len, reader.contexts.sequences))
            for reader in (self._at_probes, self._at_contexts)
        )
        return words / (words + contexts)

    def read(self, model: LoadedModel, about: dict[str, Any], *, probed: bool) -> Member:
        """What a pack keeps of a member.

        Args:
            model: the member.
            about: what was done to it.
            probed: whether it is read after words that may be triggers.

        Raises:
            MeasurementError: its logits are not numbers, or it is further from the reference than
                `LARGEST_KL`.
        """
        shift = self._at_contexts.read(model)
        if not shift.kl < LARGEST_KL:
            raise MeasurementError(f"KL {shift.kl:.2f}")
        score = None
        if probed:
            by_context = self._at_probes.read(model, masses=False).by_context.double().numpy()
            score = find_triggered_class(self._residuals, by_context, self._probes).score
        change = shift.change(self._head)
        spreads = spread_over_strata(self._residuals, change.by_stratum, self._weights)
        return Member.of(shift, change.moves, spreads, score, about)

    def learn(self, pack: NullPack, progress: Progress) -> Knowledge:
        """What an audit has to know of the members.

        Args:
            pack: of them.
            progress: told of progress.
        """
        return learn_at(
            self._at_contexts, pack.strata, self._head, pack.hypotheses, pack.changes, progress
        )


@dataclass
class MemberMaker:
    """Makes the members of one pack, each from its own number, whatever was made before.

    Attributes:
        reference: left as it is.
        reader: of members.
        corpora: pieces of text by name.
        folder: of the pack.
        seed: of all treatments.
        steps: of fine-tuning, to choose from.
        wanted: members of the pack; of the last unit there may be more.
        words_every: one member in so many is read after words that may be triggers too.
        redrawn: treatments that were drawn again, and why, by unit and attempt.
        costs: what it took so far.
    """

    reference: LoadedModel
    reader: MemberReader
    corpora: Mapping[str, TokenContexts]
    folder: Path
    seed: int
    steps: Sequence[int]
    wanted: int
    words_every: int = WORDS_EVERY
    redrawn: dict[str, Any] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)

    def make(self, unit: Unit) -> None:
        """Make the members of a unit and keep them.

        Where one breaks the model, or makes another model of it, all are drawn again: they come of
        one training, and are the same whichever of them are wanted.

        Args:
            unit: of members that are made together.

        Raises:
            MeasurementError: `ATTEMPTS` draws in a row did so.
        """
        for attempt in range(ATTEMPTS):
            members = self._try(unit, attempt)
            for number, member in zip(unit.members, members, strict=False):
                if number < self.wanted:
                    write_member(self.folder, number, member)
            if members:
                return
        raise MeasurementError(
            f"{ATTEMPTS} benign changes in a row broke the model or made another of it",
            where=f"member {unit.members.start}",
            fix="give corpora that are closer to what the model was trained on",
        )

    def _try(self, unit: Unit, attempt: int) -> list[Member]:
        """The members of a unit; none where one of them breaks the model."""
        changes = self.draw(unit, attempt)
        members: list[Member] = []
        stopwatch = Stopwatch()
        tried: dict[str, Any] = {}

        def look(treatment: dict[str, Any], model: LoadedModel) -> None:
            tried.update(treatment)
            about = {**treatment, "family": changes.family, "unit": unit.number}
            probed = self._is_probed(unit.members[len(members)])
            stopwatch.lap("making")
            members.append(self.reader.read(model, about, probed=probed))
            stopwatch.lap("reading")

        try:
            changes.visit(self.reference, self.corpora, look)
        except MeasurementError as error:
            self.redrawn[f"{unit.number}, attempt {attempt}"] = {"why": error.what, **tried}
            return []
        stopwatch.lap("making")
        self.costs.add(changes.pieces, members, self._readings(unit), stopwatch.seconds)
        return members

    def draw(self, unit: Unit, attempt: int = 0) -> Alone | FromTraining:
        """What the members of a unit are.

        Args:
            unit: of members that are made together.
            attempt: of drawing them.
        """
        width = int(self.reference.model.config.get_text_config().hidden_size)
        return unit.draw(self.seed, [*self.corpora], width, self.steps, attempt)

    def seconds_of(self, units: Sequence[Unit]) -> float:
        """What units would take one process, as those did that were made.

        Args:
            units: to make, some of which may have been.

        Raises:
            ZeroDivisionError: nothing was made, or nothing was trained yet.
        """
        readings = sum(map(self._readings, units))
        return self.costs.seconds(sum(self.draw(unit).pieces for unit in units), readings)

    def _is_probed(self, number: int) -> bool:
        return number % self.words_every == 0

    def _readings(self, unit: Unit) -> float:
        """How much of a unit is read, in units of a member that is read after words too."""
        without = 1 - self.reader.words_share
        return sum(1.0 if self._is_probed(number) else without for number in unit.members)
