"""How each way of undoing goes about it, where a user says so; and the table of the ways."""

from __future__ import annotations

from dataclasses import dataclass

from tiltlm.recipes.training import Training
from tiltlm.records.undo import UndoBy
from tiltlm.undoing.by_decode import undo_by_decode
from tiltlm.undoing.by_edit import undo_by_edit
from tiltlm.undoing.by_interpolate import undo_by_interpolate
from tiltlm.undoing.by_label import undo_by_label
from tiltlm.undoing.by_train import undo_by_train
from tiltlm.undoing.case import Case
from tiltlm.undoing.undone import Undone

WAYS: tuple[UndoBy, ...] = ("label", "edit", "train", "decode", "interpolate")
"""How a tilt can be taken back."""


@dataclass(frozen=True)
class UndoSettings:
    """How a tilt is taken back; each way takes some of these.

    Attributes:
        mass: edit without a reference: the probability that the event should come to.
        whole_head: edit: give all tokens back what the reference gives them, instead of those of
            the findings alone; takes back what the body's moves did to them as far as it is linear.
        share: interpolate: how much of the model is to be left; None for as much as may be.
        training: train: how; what it leaves open follows from the findings.
    """

    mass: float | None = None
    whole_head: bool = False
    share: float | None = None
    training: Training | None = None

    def apply(self, case: Case, by: UndoBy) -> Undone:
        """Take a tilt back by one of the ways.

        Args:
            case: opened.
            by: the way.

        Raises:
            TiltError: any of the tree in `errors`.
        """
        if by == "label":
            assert case.reference is not None
            return undo_by_label(case.model, case.reference)
        if by == "edit":
            return undo_by_edit(case, self.mass, whole=self.whole_head)
        if by == "train":
            return undo_by_train(case, self.training)
        if by == "decode":
            return undo_by_decode(case)
        return undo_by_interpolate(case, self.share)
