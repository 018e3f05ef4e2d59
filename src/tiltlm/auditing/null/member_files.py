"""The members of a pack while it is made: a file each, so that a stopped build goes on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.files import staged

TENSORS = ("shifts", "stratum_moves", "masses", "stratum_spreads", "ids", "ratios")
"""Of each member; see `NullPack`."""

_NAME = re.compile(r"(\d{4,})\.safetensors")


@dataclass(frozen=True)
class Member:
    """What a pack keeps of a member.

    Attributes:
        tensors: `TENSORS`, of this member.
        kl: KL(reference ‖ member), nats a position.
        trigger_score: its largest score as a class that waits for a word; None where no words were
            tried.
        about: what was done to it.
    """

    tensors: dict[str, torch.Tensor]
    kl: float
    trigger_score: float | None
    about: dict[str, Any]

    @classmethod
    def of(
        cls,
        shift: Shift,
        moves: Array,
        stratum_spreads: Array,
        trigger_score: float | None,
        about: dict[str, Any],
    ) -> Member:
        """Make it of what was read.

        Args:
            shift: of it.
            moves: (S, D) by stratum.
            stratum_spreads: (K,) as in `BenignChanges`.
            trigger_score: as above.
            about: as above.
        """
        tensors = (
            shift.mean.float(),
            torch.from_numpy(moves).float(),
            shift.suspect_mass.float(),
            torch.from_numpy(stratum_spreads).float(),
            shift.top.ids,
            shift.top.ratios.half(),
        )
        kept = {name: t.contiguous() for name, t in zip(TENSORS, tensors, strict=True)}
        return cls(kept, shift.kl, trigger_score, about)


def member_path(folder: Path, number: int) -> Path:
    """Where a member lies until the pack is put together.

    Args:
        folder: of the pack.
        number: of the member, from 0.
    """
    return folder / "members" / f"{number:04d}.safetensors"


def members_there(folder: Path) -> list[int]:
    """Numbers of the members that lie in files of their own, in order.

    Args:
        folder: of a pack.
    """
    files = (folder / "members").glob("*.safetensors")
    return sorted(int(found[1]) for path in files if (found := _NAME.fullmatch(path.name)))


def write_member(folder: Path, number: int, member: Member) -> None:
    """Keep one member.

    Args:
        folder: of the pack.
        number: of the member, from 0.
        member: to keep.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    with staged(member_path(folder, number)) as path:
        about = {"number": number, **member.about}
        text = json.dumps({"about": about, "kl": member.kl, "waiting": member.trigger_score})
        save_file(member.tensors, path, metadata={"json": text})


def read_member(folder: Path, number: int) -> Member:
    """Read what `write_member` wrote.

    Args:
        folder: of the pack.
        number: of the member.

    Raises:
        SafetensorError: the file is damaged; or, as `pack_files.load_pack` knows, other errors.
    """
    with safe_open(member_path(folder, number), "pt") as file:
        said = json.loads(file.metadata()["json"])
        tensors = {name: file.get_tensor(name) for name in TENSORS}
    return Member(tensors, said["kl"], said["waiting"], said["about"])
