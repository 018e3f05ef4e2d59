"""What members of a pack score at some positions, kept on disk: the next audit asks there again.

Scoring a hundred members takes minutes, and hangs on nothing that a suspect says but at which
positions, and how many tokens of each. An entry that is damaged or cannot be written is done
without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.models.cache import cache_folder, keep_arrays, kept_arrays

_VERSION = 1
"""One more whenever members are scored differently."""


@dataclass(frozen=True)
class KnownScores:
    """What is known of B benign changes at the positions where a suspect was asked.

    Attributes:
        information_shares: (K,) as of `TopKNull`.
        strengths: (B, K) of each class, in units of the member's scale, float32.
        testable: (B, K) booleans: whether the member shows the class.
        largest: (B,) largest score of each, without noise of a server.
        likeness: (B,) how like a planted tilt the class with that score is.
    """

    information_shares: Array
    strengths: Array
    testable: Array
    largest: Array
    likeness: Array


def key_of(parts: Iterable[object]) -> str:
    """A name for an entry, by all that it depends on.

    Args:
        parts: arrays, of which shape, type and numbers count; of all else its text.
    """
    digest = hashlib.sha256(f"{_VERSION}".encode())
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"|{part.dtype} {part.shape}|".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(f"|{part}|".encode())
    return digest.hexdigest()[:24]


def read_scores(key: str, members: int, classes: int) -> KnownScores | None:
    """What was kept under a name; None where there is nothing, or nothing of these sizes.

    Args:
        key: as `key_of` gives it.
        members: B.
        classes: K.
    """
    arrays = kept_arrays(_path(key))
    names = [field.name for field in fields(KnownScores)]
    if not {*names} <= {*arrays}:
        return None
    sizes: Sequence[tuple[int, ...]] = (
        (classes,), (members, classes), (members, classes), (members,), (members,)
    )  # fmt: skip
    if [arrays[name].shape for name in names] != list(sizes):
        return None
    return KnownScores(**{name: arrays[name] for name in names})


def keep_scores(key: str, scores: KnownScores) -> None:
    """Keep them for later audits.

    Args:
        key: as `key_of` gives it.
        scores: of all members.
    """
    keep_arrays(_path(key), {f.name: getattr(scores, f.name) for f in fields(KnownScores)})


def _path(key: str) -> Path:
    return cache_folder() / "members" / f"{key}.safetensors"
