"""The files of a null pack: written member by member, put together, read again.

A pack is a folder: ``null.json`` says what was done, ``null.safetensors`` holds the contexts and
what every member shifts. While it is being made each member is a file of its own, so a build that
was stopped goes on where it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.null.drawn import probes_as_tensors, probes_of_tensors
from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.auditing.shifts.place_covariance import learn_place_covariance
from tiltlm.contexts.tensors import contexts_as_tensors, contexts_of_tensors
from tiltlm.errors import ConfigError, RunError
from tiltlm.files import remove, staged, write_json

_BY_MEMBER, _BY_POSITION = ("shifts", "stratum_moves", "masses"), ("ids", "ratios")
"""Tensors of each member: some are fields of the pack, the others are in its ``top``."""


_SCHEMA = 3
"""Version of the files. Packs of version 1 lack what members move in each stratum, those of version
2 where their corpora come from."""


def member_path(folder: Path, number: int) -> Path:
    """Where a member lies until the pack is whole.

    Args:
        folder: of the pack.
        number: of the member, from 0.
    """
    return folder / "members" / f"{number:04d}.safetensors"


def write_member(
    folder: Path,
    number: int,
    shift: Shift,
    moves: Array,
    trigger_score: float,
    treatment: dict[str, Any],
) -> None:
    """Keep one member.

    Args:
        folder: of the pack.
        number: of the member, from 0.
        shift: of it.
        moves: (S, D) by stratum.
        trigger_score: its largest score as a class that waits for a word.
        treatment: what was done to it.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    with staged(member_path(folder, number)) as path:
        text = json.dumps({"about": treatment, "kl": shift.kl, "waiting": trigger_score})
        tensors = {
            "shifts": shift.mean.float().contiguous(),
            "stratum_moves": torch.from_numpy(moves).float().contiguous(),
            "masses": shift.suspect_mass.float().contiguous(),
            "ids": shift.top.ids,
            "ratios": shift.top.ratios.half(),
        }
        save_file(tensors, path, metadata={"json": text})


def assemble_pack(folder: Path, pack: NullPack, count: int, head_rows: HeadRows) -> NullPack:
    """Make one pack of its members, whose own files are then removed.

    Args:
        folder: of the pack.
        pack: what all members share; the rest of its fields is filled in.
        count: of members.
        head_rows: (V, D) rows of the reference's head.

    Returns:
        ``pack``.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    by_member: dict[str, list[torch.Tensor]] = {name: [] for name in (*_BY_MEMBER, *_BY_POSITION)}
    for number in range(count):
        with safe_open(member_path(folder, number), "pt") as file:
            about = json.loads(file.metadata()["json"])
            for name, tensors in by_member.items():
                tensors.append(file.get_tensor(name))
        pack.kl.append(about["kl"])
        pack.trigger_scores.append(about["waiting"])
        pack.members.append(about["about"])
    stacked = {name: torch.stack(tensors) for name, tensors in by_member.items()}
    pack.shifts, pack.stratum_moves, pack.masses = (stacked[name] for name in _BY_MEMBER)
    pack.top = {name: stacked[name] for name in _BY_POSITION}
    covariance = learn_place_covariance(
        stacked["ids"].numpy(), stacked["ratios"].numpy(), head_rows
    )
    pack.place_covariance = torch.from_numpy(covariance).float()
    _write_pack(folder, pack, stacked)
    remove(folder / "members")
    return pack


def _write_pack(folder: Path, pack: NullPack, stacked: dict[str, torch.Tensor]) -> None:
    tensors = {
        **stacked,
        "moves": pack.place_covariance,
        "strata": pack.strata,
        **contexts_as_tensors(pack.contexts, "contexts."),
        **probes_as_tensors(pack.probes),
    }
    with staged(folder / "null.safetensors") as path:
        save_file(tensors, path)
    write_json(
        folder / "null.json",
        {
            "schema_version": _SCHEMA,
            "kind": "null",
            "reference": pack.reference,
            "vocabulary": pack.vocabulary,
            "contexts": pack.contexts.kind,
            "probes": pack.probes.contexts.kind,
            "words": pack.probes.words,
            "waiting": pack.trigger_scores,
            "kl": pack.kl,
            "members": pack.members,
            "corpora": pack.corpora,
            "missing": pack.missing,
        },
    )


def load_pack(folder: Path) -> NullPack:
    """Read a pack.

    Args:
        folder: that `build_null` wrote.

    Raises:
        ConfigError: there is none, or it is not finished, of another version, empty or damaged.
    """
    if not (folder / "null.json").is_file():
        begun = (folder / "members").is_dir()
        raise ConfigError(
            "the null pack is not finished" if begun else "there is no null pack",
            where=str(folder),
            fix="finish it with `tiltlm null build … --resume`"
            if begun
            else "tiltlm null build --reference M --out DIR",
        )
    try:
        about = json.loads((folder / "null.json").read_text(encoding="utf-8"))
        if about["schema_version"] != _SCHEMA:
            raise ConfigError(
                "the null pack is of another version of tiltlm",
                where=str(folder),
                fix="make it anew: tiltlm null build --reference M --out DIR",
            )
        pack = _pack_of(about, load_file(folder / "null.safetensors"))
        counts = _member_counts(pack)
    except (ValueError, KeyError, TypeError, RuntimeError, OSError, SafetensorError) as error:
        raise ConfigError(f"the null pack is damaged: {error}", where=str(folder)) from None
    if len(counts) > 1 or not pack.members:
        empty = len(counts) == 1
        raise ConfigError(
            "the null pack is empty" if empty else "the null pack is damaged: lengths differ",
            where=str(folder),
            fix="make it anew",
        )
    return pack


def _pack_of(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> NullPack:
    """The pack that ``null.json`` and the file of its tensors hold."""
    return NullPack(
        reference=about["reference"],
        vocabulary=about["vocabulary"],
        contexts=contexts_of_tensors(tensors, about["contexts"], "contexts."),
        probes=probes_of_tensors(tensors, about["words"], about["probes"]),
        strata=tensors["strata"],
        **{name: tensors[name] for name in _BY_MEMBER},
        top={name: tensors[name] for name in _BY_POSITION},
        place_covariance=tensors["moves"],
        trigger_scores=about["waiting"],
        kl=about["kl"],
        members=about["members"],
        corpora=about["corpora"],
        missing=about["missing"],
    )


def _member_counts(pack: NullPack) -> set[int]:
    """How many members each part of a pack has: one number where the pack is whole."""
    parts = (
        *(getattr(pack, name) for name in _BY_MEMBER),
        *pack.top.values(),
        pack.kl,
        pack.trigger_scores,
        pack.members,
    )
    return {len(part) for part in parts}


def check_same_build(folder: Path, plan: dict[str, Any]) -> None:
    """Refuse to go on with a pack that was begun otherwise; keep the plan of a new one.

    Args:
        folder: of the pack.
        plan: all that members depend on.

    Raises:
        RunError: the plan that lies there is another.
    """
    path = folder / "plan.json"
    if path.is_file():
        if _read_plan(path) != plan:
            raise RunError(
                "the pack was begun with other settings", where=str(path), fix="name a new folder"
            )
        return
    write_json(path, plan)


def _read_plan(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RunError(
            "the plan of the pack is damaged", where=str(path), fix="name a new folder"
        ) from None
