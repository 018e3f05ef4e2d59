"""The files of a null pack: put together of its members, and read again.

A pack is a folder: ``null.json`` says what was done, ``null.safetensors`` holds the contexts and
what every member shifts. Members that were made since, or of a pack that is not finished, are files
of their own beside these (`member_files`), and are read with them.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tiltlm.auditing.classes.class_files import classes_as_tensors, classes_of_tensors
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.null.begun import begun_path, read_begun
from tiltlm.auditing.null.checking import damage_in
from tiltlm.auditing.null.drawn import probes_as_tensors, probes_of_tensors
from tiltlm.auditing.null.family_covariance_files import read_family_covariances
from tiltlm.auditing.null.knowledge_files import read_knowledge
from tiltlm.auditing.null.member_files import TENSORS, members_there, read_member
from tiltlm.auditing.null.pack import NullPack, member_families
from tiltlm.auditing.shifts.place_covariance import learn_place_covariance
from tiltlm.contexts.tensors import contexts_as_tensors, contexts_of_tensors
from tiltlm.errors import ConfigError, RunError
from tiltlm.files import remove, staged, write_json
from tiltlm.reading import read_json

_SCHEMA = 3
"""Version of the files. Packs of version 1 lack what members move in each stratum, those of version
2 the numbers and families of members, where their texts come from, and their classes."""


def assemble_pack(folder: Path, head_rows: HeadRows) -> NullPack:
    """Make one pack of the members that there are, whose own files are then removed.

    Args:
        folder: of the pack.
        head_rows: (V, D) rows of the reference's head.

    Raises:
        ConfigError: what lies there is damaged.
        StorageError: the disk is full, or may not be written.
    """
    pack = load_pack(folder)
    complete_pack(pack, head_rows)
    _write_pack(folder, pack)
    remove(folder / "members")
    return pack


def complete_pack(pack: NullPack, head_rows: HeadRows) -> None:
    """Learn from the members of a pack what lies in no file of theirs, if it is not there.

    Args:
        pack: as `load_pack` reads it; filled in.
        head_rows: (V, D) rows of the reference's head.
    """
    if not len(pack.place_covariance):
        covariance = learn_place_covariance(
            pack.top["ids"].numpy(), pack.top["ratios"].numpy(), head_rows
        )
        pack.place_covariance = torch.from_numpy(covariance).float()


def is_assembled(folder: Path) -> bool:
    """Whether a folder holds a pack that was put together, besides perhaps further members.

    Args:
        folder: of a pack.
    """
    return (folder / "null.json").is_file()


def numbers_there(folder: Path) -> set[int]:
    """Numbers of the members that a folder holds, in whichever file.

    Args:
        folder: of a pack, or of none yet.

    Raises:
        ConfigError: what lies there is damaged.
    """
    assembled = load_pack(folder, alone=True).numbers if is_assembled(folder) else []
    return {*assembled, *members_there(folder)}


def load_pack(folder: Path, *, alone: bool = False) -> NullPack:
    """Read a pack, as far as it has been made.

    Args:
        folder: that `build_null` wrote, or is at work on.
        alone: without members that it has not been put together with yet.

    Raises:
        ConfigError: there is none, or it has no members yet, is of another version, or damaged.
    """
    further = [] if alone else members_there(folder)
    try:
        if is_assembled(folder):
            pack = _read_pack(folder)
        elif further and begun_path(folder).is_file():
            pack = read_begun(folder).pack
        else:
            raise _no_pack(folder)
        _add_members(pack, folder, further)
        pack.knowledge = read_knowledge(
            folder, pack.hypotheses, len(pack.members), len(pack.strata)
        )
        pack.family_covariances = read_family_covariances(
            folder, member_families(pack), pack.stratum_moves.shape[-1]
        )
        damage = damage_in(pack) if pack.members else None
    except (
        *(ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, OSError),
        *(SafetensorError, RunError, RecursionError),
    ) as error:
        raise ConfigError(f"the null pack is damaged: {error}", where=str(folder)) from None
    if damage or not pack.members:
        raise ConfigError(
            f"the null pack is damaged: {damage}" if damage else "the null pack is empty",
            where=str(folder),
            fix="make it anew",
        )
    return pack


def _no_pack(folder: Path) -> ConfigError:
    begun = (folder / "plan.json").is_file()
    return ConfigError(
        "the null pack has no members yet" if begun else "there is no null pack",
        where=str(folder),
        fix="go on with `tiltlm null build … --resume`"
        if begun
        else "tiltlm null build --reference M --out DIR",
    )


def _add_members(pack: NullPack, folder: Path, numbers: list[int]) -> None:
    """Add members from files of their own, and put all in the order of their numbers."""
    known = set(pack.numbers)
    new = [number for number in numbers if number not in known]
    if not new:
        return
    members = [read_member(folder, number) for number in new]
    pack.kl += [member.kl for member in members]
    pack.trigger_scores += [_score(member.trigger_score) for member in members]
    pack.members += [member.about for member in members]
    stacked = {name: torch.stack([m.tensors[name] for m in members]) for name in TENSORS}
    if known:
        before = _tensors_of(pack)
        stacked = {name: torch.cat([before[name], more]) for name, more in stacked.items()}
    _set_tensors(pack, stacked)
    pack.place_covariance = torch.empty(0)  # it was learnt from fewer
    pack.choose(sorted(range(len(pack.members)), key=lambda i: pack.numbers[i]))


def _tensors_of(pack: NullPack) -> dict[str, torch.Tensor]:
    """Tensors of all members, by the names that they have in files."""
    return {
        "shifts": pack.shifts,
        "stratum_moves": pack.stratum_moves,
        "masses": pack.masses,
        "stratum_spreads": pack.stratum_spreads,
        **pack.top,
    }


def _set_tensors(pack: NullPack, tensors: dict[str, torch.Tensor]) -> None:
    """The reverse of `_tensors_of`."""
    pack.shifts, pack.stratum_moves = tensors["shifts"], tensors["stratum_moves"]
    pack.masses, pack.stratum_spreads = tensors["masses"], tensors["stratum_spreads"]
    pack.top = {name: tensors[name] for name in ("ids", "ratios")}


def _score(said: float | None) -> float:
    return math.nan if said is None else float(said)


def _write_pack(folder: Path, pack: NullPack) -> None:
    tensors = {
        **_tensors_of(pack),
        "numbers": torch.tensor(pack.numbers),
        "moves": pack.place_covariance,
        "strata": pack.strata,
        **contexts_as_tensors(pack.contexts, "contexts."),
        **probes_as_tensors(pack.probes),
        **classes_as_tensors(pack.hypotheses),
    }
    with staged(folder / "null.safetensors") as path:
        save_file(tensors, path)
    # A pack that is killed before the next line has more members in one file than in the other, and
    # their own files still; `_read_pack` goes by the shorter list.
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
            "classes": [list(pack.hypotheses.names), list(pack.hypotheses.kinds)],
            "waiting": [None if math.isnan(s) else s for s in pack.trigger_scores],
            "kl": pack.kl,
            "members": pack.members,
            "corpora": pack.corpora,
            "missing": pack.missing,
        },
    )


def _read_pack(folder: Path) -> NullPack:
    """The pack that ``null.json`` and the file of its tensors hold.

    Raises:
        ConfigError: it is of another version.
    """
    about = read_json(folder / "null.json")
    if about["schema_version"] != _SCHEMA:
        raise ConfigError(
            "the null pack is of another version of tiltlm",
            where=str(folder),
            fix="make it anew: tiltlm null build --reference M --out DIR",
        )
    return _pack_of(about, load_file(folder / "null.safetensors"))


def _pack_of(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> NullPack:
    pack = NullPack(
        reference=about["reference"],
        vocabulary=about["vocabulary"],
        contexts=contexts_of_tensors(tensors, about["contexts"], "contexts."),
        probes=probes_of_tensors(tensors, about["words"], about["probes"]),
        strata=tensors["strata"],
        hypotheses=classes_of_tensors(tensors, *about["classes"]),
        place_covariance=tensors["moves"],
        trigger_scores=[_score(score) for score in about["waiting"]],
        kl=about["kl"],
        members=about["members"],
        corpora=about["corpora"],
        missing=about["missing"],
    )
    _set_tensors(pack, tensors)
    numbers = tensors["numbers"].tolist()
    if numbers != pack.numbers:
        rows = [numbers.index(number) for number in pack.numbers]
        _set_tensors(pack, {name: part[rows] for name, part in _tensors_of(pack).items()})
    return pack
