"""What a pack knows, in a file of its own beside its members: learnt once, read by every audit.

A pack without it can be used; an audit then learns on the spot, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.benign.knowledge import Knowledge
from tiltlm.auditing.benign.null_distribution import (
    COLUMN_SPACE,
    RESIDUAL,
    ComponentNull,
    NullDistribution,
)
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.covariance import MoveCovariance
from tiltlm.files import staged

_FILE, _SCHEMA = "knowledge.safetensors", "2"

_FIELDS = ("residual_sizes", "norms", "normal", "mean_rows", "mass", "token_noise")
"""Arrays of a `Knowledge`."""

_COVARIANCE = ("strata_precision", "dimension_precision", "member_products", "woodbury_inverse")
"""Arrays of a `MoveCovariance`."""

_COMPONENT = ("spread", "medians", "own_spreads", "class_spreads", "largest")
"""Arrays of a `ComponentNull`."""


def write_knowledge(folder: Path, knowledge: Knowledge) -> None:
    """Keep what a pack knows.

    Args:
        folder: of the pack.
        knowledge: of its members, all of them.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    null = knowledge.null
    arrays: dict[str, Array] = {name: getattr(knowledge, name) for name in _FIELDS}
    arrays |= {f"covariance.{name}": getattr(knowledge.covariance, name) for name in _COVARIANCE}
    for component, scored in null.components.items():
        arrays |= {f"{component}.{name}": getattr(scored, name) for name in _COMPONENT}
    arrays |= {"triggers": null.trigger_scores, "likeness": null.likeness}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    # Of several entries the library would choose the order anew each time.
    with staged(folder / _FILE) as path:
        save_file(tensors, path, metadata={"schema_version": _SCHEMA})


def read_knowledge(
    folder: Path, hypotheses: TokenClasses, members: int, positions: int
) -> Knowledge | None:
    """What a pack knows.

    Args:
        folder: of the pack.
        hypotheses: of the pack.
        members: of the pack.
        positions: of the pack's contexts.

    Returns:
        None where nothing was learnt yet, or not from as many members, or by another version.

    Raises:
        ValueError: the file is damaged; likewise KeyError, RuntimeError, OSError and
            SafetensorError.
    """
    if not (folder / _FILE).is_file():
        return None
    with safe_open(folder / _FILE, "pt") as file:
        if (file.metadata() or {}).get("schema_version") != _SCHEMA:
            return None
        if file.get_slice("likeness").get_shape() != [members]:
            return None
        arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
    components = {
        name: ComponentNull(**_named(arrays, f"{name}.", _COMPONENT))
        for name in (RESIDUAL, COLUMN_SPACE)
    }
    knowledge = Knowledge(
        hypotheses=hypotheses,
        covariance=MoveCovariance(**_named(arrays, "covariance.", _COVARIANCE)),
        null=NullDistribution(components, arrays["triggers"], arrays["likeness"]),
        **_named(arrays, "", _FIELDS),
    )
    _check(knowledge, members, positions)
    return knowledge


def _named(arrays: Mapping[str, Array], prefix: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: arrays[prefix + name] for name in names}


def _check(knowledge: Knowledge, members: int, positions: int) -> None:
    """Refuse arrays that do not fit each other.

    Raises:
        ValueError: two lengths differ that must not.
    """
    classes, size = knowledge.hypotheses.members.shape
    by_class = [knowledge.residual_sizes, knowledge.norms]
    by_member = [knowledge.null.likeness]
    for null in knowledge.null.components.values():
        by_class += [null.spread, null.class_spreads]
        by_member += [null.own_spreads, null.largest]
    strata, width = knowledge.normal.shape[:2]
    shapes = [
        *((array, (classes,)) for array in by_class),
        *((array, (members,)) for array in by_member),
        (knowledge.normal, (strata, width, width)),
        (knowledge.mass, (strata, size)),
        (knowledge.token_noise, (size,)),
        (knowledge.mean_rows, (positions, width)),
        (knowledge.covariance.member_products, (members, strata * width)),
    ]
    if any(array.shape != shape for array, shape in shapes):
        raise ValueError("what the pack knows is of other classes, members or contexts")
