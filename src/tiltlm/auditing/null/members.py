"""The members of a null pack: benign changes drawn at random, made, read, and kept one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.null.pack_files import write_member
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.strata import assign_strata
from tiltlm.auditing.shifts.trigger_probes import TriggerProbes, find_triggered_class
from tiltlm.codec import TENSOR
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import MeasurementError
from tiltlm.models.loading import LoadedModel
from tiltlm.team import Team
from tiltlm.treatments.benign import draw_treatment
from tiltlm.treatments.treatment import Treatment

ATTEMPTS = 20
"""Treatments drawn for one member before the build is given up."""


LARGEST_KL = 2.0
"""Nats a position: a model further from its reference than this is another model."""


class MemberReader:
    """Reads of every member what a pack keeps of it; the reference is read once.

    Args:
        reference: whose benign changes the members are.
        contexts: N positions where shifts are read.
        probes: words that may be triggers, in contexts.
        team: whose first process assigns the strata for all.

    Attributes:
        probes: as given.
        strata: (N,) the stratum of each position, by the reference's hidden states.
        rows: (V, D) of the reference's head.
    """

    def __init__(
        self, reference: LoadedModel, contexts: TokenContexts, probes: TriggerProbes, team: Team
    ) -> None:
        self.probes = probes
        self._at_contexts = ShiftReader(reference, contexts)
        self.rows = HeadRows.of(self._at_contexts.head)
        self.strata = team.from_first(lambda: assign_strata(self._at_contexts.rows), TENSOR)
        self._at_contexts.stratify(self.strata)
        self._at_probes = ShiftReader(reference, probes.contexts)
        mass = self._at_contexts.read(reference).reference_mass.numpy()
        self._head = HeadGeometry(self.rows, mass)
        self._residuals = ResidualFilter(self._head, build_classes(reference.vocabulary))

    def read(self, model: LoadedModel) -> tuple[Shift, Array, float]:
        """What a pack keeps of a member.

        Args:
            model: the member.

        Returns:
            its shift, its moves (S, D) by stratum, and its largest score as a class that waits
            for a word.

        Raises:
            MeasurementError: its logits are not numbers, or it is further from the reference than
                `LARGEST_KL`.
        """
        shift = self._at_contexts.read(model)
        if not shift.kl < LARGEST_KL:
            raise MeasurementError(f"KL {shift.kl:.2f}")
        by_context = self._at_probes.read(model, masses=False).by_context.double().numpy()
        moves = shift.change(self._head).moves
        return shift, moves, find_triggered_class(self._residuals, by_context, self.probes).score


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
        redrawn: treatments that were drawn again, and why, by member and attempt.
    """

    reference: LoadedModel
    reader: MemberReader
    corpora: Mapping[str, TokenContexts]
    folder: Path
    seed: int
    steps: Sequence[int]
    redrawn: dict[str, Any] = field(default_factory=dict)

    def make(self, number: int) -> None:
        """Make one member and keep it.

        A treatment that breaks the model, or makes another model of it, is drawn again.

        Args:
            number: of the member, from 0.

        Raises:
            MeasurementError: `ATTEMPTS` treatments in a row did so.
        """
        for attempt in range(ATTEMPTS):
            treatment = self._draw(number, attempt)
            try:
                member = treatment.apply(self.reference, self.corpora)
                readings = self.reader.read(member)
            except MeasurementError as error:
                redrawn = {"why": error.what, **treatment.as_dict()}
                self.redrawn[f"{number}, attempt {attempt}"] = redrawn
                continue
            write_member(self.folder, number, *readings, treatment.as_dict())
            return
        raise MeasurementError(
            f"{ATTEMPTS} benign changes in a row broke the model or made another of it",
            where=f"member {number}",
            fix="give corpora that are closer to what the model was trained on",
        )

    def _draw(self, number: int, attempt: int) -> Treatment:
        width = int(self.reference.model.config.get_text_config().hidden_size)
        seed = (self.seed * 100_003 + number) * ATTEMPTS + attempt
        return draw_treatment(seed, tuple(self.corpora), width, self.steps)
