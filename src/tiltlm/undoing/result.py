"""An undone model as a user holds it: the model, its record, and how both are saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiltlm.claims import claimed_new
from tiltlm.labels.label import Label
from tiltlm.labels.step import LabelBase
from tiltlm.models.loading import LoadedModel
from tiltlm.records.undo import UndoRecord
from tiltlm.undoing.saving import Page, save_undone
from tiltlm.undoing.undone import Undone


@dataclass
class UndoneModel:
    """A model whose tilt was taken back, with what was proved of it.

    Attributes:
        model: the undone model; for decode the tilted one as it was.
        undone: what the way of undoing made.
    """

    undone: Undone
    _record: UndoRecord
    _label: Label | None
    _itself: LabelBase

    @property
    def model(self) -> LoadedModel:
        """The undone model with its tokenizer."""
        return self.undone.model

    def record(self) -> UndoRecord:
        """What was done and proved; ``result.json`` of a saved folder holds the same."""
        return self._record

    def save(self, folder: Path | str, page: Page | None = None) -> UndoRecord:
        """Write a new folder, whole or not at all: record, and the model with its label.

        After an undo by label the weights are read back from disk and compared by SHA-256.

        Args:
            folder: a new or empty one.
            page: makes the text of ``undo.html`` of the record; None for none.

        Returns:
            what ``result.json`` holds.

        Raises:
            StorageError: there is no room for it.
            RunError: the folder holds something already, or another process is at work on it.
        """
        with claimed_new(Path(folder)) as out:
            return self.write(out, page)

    def write(self, folder: Path, page: Page | None = None) -> UndoRecord:
        """Do what `save` does, in a folder that is claimed already.

        Args:
            folder: of `claims.claimed_new`.
            page: as for `save`.
        """
        self._record = save_undone(
            folder, self.undone, self._record, label=self._label, base=self._itself, page=page
        )
        return self._record
