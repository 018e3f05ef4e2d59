"""What the members of a pack take, as far as some were made: seconds and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiltlm.auditing.null.member_files import Member


@dataclass
class Costs:
    """Sums over the units that were made.

    Attributes:
        members: that were made and read.
        readings: of members, each by what of it was read.
        pieces: of text that were trained on.
        training: seconds that it took to train.
        reading: seconds of all else.
        member_bytes: of a member.
    """

    members: int = 0
    readings: float = 0.0
    pieces: int = 0
    training: float = 0.0
    reading: float = 0.0
    member_bytes: int = 0

    def add(
        self, pieces: int, members: Sequence[Member], readings: float, seconds: Mapping[str, float]
    ) -> None:
        """Add a unit.

        Args:
            pieces: of text that were trained on; 0 where nothing was trained.
            members: of the unit.
            readings: of these.
            seconds: ``making`` and ``reading``.
        """
        self.pieces += pieces
        self.members += len(members)
        self.readings += readings
        self.training += seconds["making"] if pieces else 0.0
        self.reading += seconds["reading"] + (0.0 if pieces else seconds["making"])
        self.member_bytes = sum(tensor.nbytes for tensor in members[0].tensors.values())

    def seconds(self, pieces: int, readings: float) -> float:
        """What more would take, at the same rates.

        Args:
            pieces: of text to train on.
            readings: of members.

        Raises:
            ZeroDivisionError: nothing was made, or nothing was trained yet.
        """
        training = pieces * self.training / self.pieces if pieces else 0.0
        return training + readings * self.reading / self.readings
