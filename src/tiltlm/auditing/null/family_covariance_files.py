"""Covariances of benign moves without each family, in a file of their own beside a pack's members.

They are what audits by log-probabilities score members by, and take minutes to learn. A pack
without them can be used; an audit then learns them on the spot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tiltlm.auditing.arrays import Array
from tiltlm.files import staged

FILE, _SCHEMA = "family_covariances.safetensors", 1


def write_family_covariances(folder: Path, covariances: Mapping[str, Array], members: int) -> None:
    """Keep what was learnt; where members are of too few families that is nothing.

    Args:
        folder: of the pack.
        covariances: (D, D) by family, as `covariances_without` gives them.
        members: of the pack.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    if not covariances:
        (folder / FILE).unlink(missing_ok=True)
        return
    stacked = torch.from_numpy(np.stack([*covariances.values()])).float()
    about = {"schema_version": _SCHEMA, "members": members, "families": [*covariances]}
    with staged(folder / FILE) as path:
        save_file({"covariances": stacked}, path, metadata={"json": json.dumps(about)})


def read_family_covariances(
    folder: Path, families: Sequence[str], width: int
) -> dict[str, Array] | None:
    """What was learnt.

    Args:
        folder: of the pack.
        families: (B,) of the members of the pack.
        width: D.

    Returns:
        (D, D) float64 by family; None where nothing was learnt yet, or not from as many members, or
        by another version.

    Raises:
        ValueError: the file is damaged; likewise KeyError, RuntimeError, OSError and
            SafetensorError.
    """
    if not (folder / FILE).is_file():
        return None
    with safe_open(folder / FILE, "pt") as file:
        about = json.loads(file.metadata()["json"])
        if about["schema_version"] != _SCHEMA or about["members"] != len(families):
            return None
        names, stacked = about["families"], file.get_tensor("covariances")
    if not isinstance(names, list) or sorted(names) != sorted(set(families)):
        raise ValueError("covariances without families are of other families")
    if stacked.dtype != torch.float32 or stacked.shape != (len(names), width, width):
        raise ValueError("covariances without families are of another width")
    # Of a matrix that is not symmetric, half would count.
    if not bool(stacked.isfinite().all()) or not torch.equal(stacked, stacked.mT):
        raise ValueError("covariances without families are none")
    return dict(zip(names, stacked.double().numpy(), strict=True))
