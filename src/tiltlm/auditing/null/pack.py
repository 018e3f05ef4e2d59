"""The null: how benign changes of a reference shift it. A pack is made once and kept.

A pack is a folder: ``null.json`` says what was done, ``null.safetensors`` holds the contexts and
the shift of every member. While it is being made each member is a file of its own, so a build that
was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.auditing.shifts.place_covariance import learn_place_covariance
from tiltlm.auditing.shifts.strata import Change
from tiltlm.auditing.shifts.trigger_probes import TriggerProbes
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError, RunError
from tiltlm.files import remove, staged, write_json

_BY_MODEL, _BY_PLACE = ("shifts", "stratum_moves", "masses"), ("ids", "ratios")


_SCHEMA = 2
"""Packs of before strata had none of their moves."""


LARGEST_KL = 2.0
"""Nats a position: a model further from its reference than this is another model."""


@dataclass
class NullPack:
    """Shifts of benign changes.

    Attributes:
        reference: name and SHA-256 of the reference's weights.
        vocabulary: fingerprint of its tokens.
        contexts: where shifts were read; suspects are read there too.
        probes: words that may be triggers, and their contexts.
        strata: (N,) of the positions of ``contexts``.
        shifts: (B, V) float32, nats.
        stratum_moves: (B, S, D) float32, as in `Change`.
        top: ``ids`` (B, N, `TOP_TOKENS`) int32 and ``ratios`` float16, as in `TopTokens`.
        moves: (D, D) float32, covariance of benign Δh (`learn_place_covariance`).
        masses: (B, V) float32, mean probability of each token under the member.
        waiting: (B,) largest score of a class that waits for a word.
        kl: (B,) KL(reference ‖ member), nats a position.
        members: what was done to each.
    """

    reference: dict[str, str]
    vocabulary: str
    contexts: TokenContexts
    probes: TriggerProbes
    strata: torch.Tensor
    shifts: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    stratum_moves: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    top: dict[str, torch.Tensor] = field(default_factory=dict)
    moves: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    masses: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    waiting: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changes(self) -> Change:
        """Of all members."""
        return Change(self.shifts.double().numpy(), self.stratum_moves.double().numpy())

    def check(self, sha256: str, vocabulary: str, where: str) -> None:
        """Refuse a pack that was made for something else.

        Raises:
            ConfigError: it was.
        """
        if self.vocabulary != vocabulary:
            raise ConfigError(
                "the null pack was made for other tokens than the reference's", where=where
            )
        if self.reference["sha256"] != sha256:
            raise ConfigError(
                f"the null pack was made for another reference, {self.reference['name']} "
                f"({self.reference['sha256'][:12]}…)",
                where=where,
                fix="make one for this reference: tiltlm null build --reference M --out DIR",
            )


def member_path(folder: Path, number: int) -> Path:
    """Where a member lies until the pack is whole."""
    return folder / "members" / f"{number:04d}.safetensors"


def write_member(
    folder: Path, number: int, shift: Shift, moves: Array, waiting: float, about: dict[str, Any]
) -> None:
    """Keep one member.

    Args:
        folder: of the pack.
        number: of the member.
        shift: of it.
        moves: (S, D) by stratum.
        waiting: its score as a class that waits for a word.
        about: what was done to it.
    """
    with staged(member_path(folder, number)) as path:
        text = json.dumps({"about": about, "kl": shift.kl, "waiting": waiting})
        tensors = {
            "shifts": shift.mean.float().contiguous(),
            "stratum_moves": torch.from_numpy(moves).float().contiguous(),
            "masses": shift.suspect_mass.float().contiguous(),
            "ids": shift.top.ids,
            "ratios": shift.top.ratios.half(),
        }
        save_file(tensors, path, metadata={"json": text})


def assemble_pack(folder: Path, pack: NullPack, count: int, rows: Array) -> NullPack:
    """Make a whole pack of its members; they are removed.

    Args:
        folder: of the pack.
        pack: what all members share.
        count: of members.
        rows: (V, D) of the reference's head.
    """
    found_of: dict[str, list[torch.Tensor]] = {name: [] for name in (*_BY_MODEL, *_BY_PLACE)}
    for number in range(count):
        with safe_open(member_path(folder, number), "pt") as file:
            found = json.loads(file.metadata()["json"])
            for name, kept in found_of.items():
                kept.append(file.get_tensor(name))
        pack.kl.append(found["kl"])
        pack.waiting.append(found["waiting"])
        pack.members.append(found["about"])
    stacked = {name: torch.stack(kept) for name, kept in found_of.items()}
    pack.shifts, pack.stratum_moves, pack.masses = (stacked[name] for name in _BY_MODEL)
    pack.top = {name: stacked[name] for name in _BY_PLACE}
    moves = learn_place_covariance(stacked["ids"].numpy(), stacked["ratios"].numpy(), rows)
    pack.moves = torch.from_numpy(moves).float()
    tensors = {
        **stacked,
        "moves": pack.moves,
        "strata": pack.strata,
        "groups": torch.from_numpy(pack.probes.groups),
        **_tensors("contexts", pack.contexts),
        **_tensors("probes", pack.probes.contexts),
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
            "waiting": pack.waiting,
            "kl": pack.kl,
            "members": pack.members,
        },
    )
    remove(folder / "members")
    return pack


def _tensors(name: str, contexts: TokenContexts) -> dict[str, torch.Tensor]:
    return {
        f"{name}.ids": torch.cat(contexts.sequences),
        f"{name}.weights": torch.cat(contexts.weights),
        f"{name}.lengths": torch.tensor([len(ids) for ids in contexts.sequences]),
    }


def _contexts(name: str, kind: str, file: Any) -> TokenContexts:
    lengths = file.get_tensor(f"{name}.lengths").tolist()
    return TokenContexts(
        [ids.tolist() for ids in file.get_tensor(f"{name}.ids").split(lengths)],
        kind,
        weights=[w.tolist() for w in file.get_tensor(f"{name}.weights").split(lengths)],
    )


def load_pack(folder: Path) -> NullPack:
    """Read a pack.

    Raises:
        ConfigError: there is none, it is not finished, empty, or damaged.
    """
    if not (folder / "null.json").is_file():
        begun = (folder / "members").is_dir()
        raise ConfigError(
            "the null pack is not finished" if begun else "there is no null pack",
            where=str(folder),
            fix="go on with --resume" if begun else "tiltlm null build --reference M --out DIR",
        )
    try:
        about = json.loads((folder / "null.json").read_text(encoding="utf-8"))
        if about["schema_version"] != _SCHEMA:
            raise ConfigError(
                "the null pack is of another version of tiltlm",
                where=str(folder),
                fix="make it anew: tiltlm null build --reference M --out DIR",
            )
        with safe_open(folder / "null.safetensors", "pt") as file:
            contexts = _contexts("contexts", about["contexts"], file)
            placed = _contexts("probes", about["probes"], file)
            probes = TriggerProbes(about["words"], placed, file.get_tensor("groups").numpy())
            shifts, stratum_moves, masses = (file.get_tensor(name) for name in _BY_MODEL)
            top = {name: file.get_tensor(name) for name in _BY_PLACE}
            moves, strata = file.get_tensor("moves"), file.get_tensor("strata")
        pack = NullPack(
            about["reference"],
            about["vocabulary"],
            contexts,
            probes,
            strata,
            shifts,
            stratum_moves,
            top,
            moves,
            masses,
            about["waiting"],
            about["kl"],
            about["members"],
        )
        by_member = (
            shifts,
            stratum_moves,
            masses,
            *top.values(),
            pack.kl,
            pack.waiting,
            pack.members,
        )
        lengths = {len(found) for found in by_member}
        whole = len(lengths) == 1
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise ConfigError(f"the null pack is damaged: {error}", where=str(folder)) from None
    if not whole or not pack.members:
        raise ConfigError(
            "the null pack is empty" if whole else "the null pack is damaged: lengths differ",
            where=str(folder),
            fix="make it anew",
        )
    return pack


def check_size(pack: NullPack, rate: float, where: str) -> None:
    """Refuse a rate that so few members cannot vouch for.

    Raises:
        ConfigError: 1 / (B + 1) is above it.
    """
    needed = int(np.ceil(1 / rate - 1e-9)) - 1
    if len(pack.members) < needed:
        raise ConfigError(
            f"a null of {len(pack.members)} models cannot vouch for a false-positive rate of "
            f"{rate:g}; it takes {needed}",
            where=where,
            fix=f"--fpr {1 / (len(pack.members) + 1):.3g}, or a larger pack",
        )


def member_kinds(pack: NullPack) -> dict[str, int]:
    """How many members of each kind, for people."""
    return dict(Counter(f"{m['method']} {m['corpus'] or ''}".strip() for m in pack.members))


def member_families(pack: NullPack) -> list[str]:
    """(B,) what each member has in common with others: its corpus, or its bits."""
    return [m["corpus"] or f"{m['bits']} bits" for m in pack.members]


def check_same_build(folder: Path, plan: dict[str, Any]) -> None:
    """Refuse to go on with a pack that was begun otherwise; note the plan of a new one.

    Raises:
        RunError: its plan is another.
    """
    path = folder / "plan.json"
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != plan:
            raise RunError(
                "the pack was begun with other settings", where=str(path), fix="name a new folder"
            )
        return
    write_json(path, plan)
