"""What is in a pack, and what it lacks, for people."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from tiltlm.auditing.null.begun import begun_path
from tiltlm.auditing.null.hub import FILES, pack_folder
from tiltlm.auditing.null.member_files import members_there
from tiltlm.auditing.null.pack import NullPack, member_families
from tiltlm.auditing.null.pack_files import is_assembled, load_pack
from tiltlm.records.null import NullShown
from tiltlm.treatments.benign import TRAININGS, WEIGHTS
from tiltlm.treatments.corpora import DEFAULT_CORPORA, FEWEST_CORPORA


def show_pack(name: str | Path) -> NullShown:
    """Read a pack and say what is in it.

    Args:
        name: a folder, which may be of a pack that is being made, or ``org/name`` on the Hub.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    folder = pack_folder(name)
    pack = load_pack(folder)
    probed = int(pack.probed.sum())
    finished = is_assembled(folder) and not members_there(folder)
    return NullShown(
        pack=str(name),
        reference=pack.reference,
        models=len(pack.members),
        trainings=len({m["unit"] for m in pack.members if m["corpus"]}),
        finished=finished,
        extendable=begun_path(folder).is_file(),
        bytes=_bytes_of(folder),
        families=dict(Counter(member_families(pack))),
        methods=dict(Counter(map(_method, pack.members))),
        corpora=pack.corpora,
        kl_nats=kl_quantiles(pack),
        contexts=len(pack.contexts),
        tokens=pack.contexts.tokens,
        words=len(pack.probes.words),
        smallest_p=1 / (len(pack.members) + 1),
        smallest_trigger_p=1 / (probed + 1) if probed else None,
        lacks=_lacking(pack),
        notes=pack_notes(pack),
    )


def kl_quantiles(pack: NullPack) -> dict[str, float]:
    """Quantiles of the members' KL, nats a position, by what they are called.

    Args:
        pack: with at least one member.
    """
    quantiles = np.quantile(pack.kl, [0, 0.25, 0.5, 0.75, 1]).tolist()
    names = ("least", "25 %", "50 %", "75 %", "largest")
    return dict(zip(names, quantiles, strict=True))


def pack_notes(pack: NullPack) -> list[str]:
    """What the maker and the user of a pack should know of it.

    Args:
        pack: as it was read or made.
    """
    if len(pack.corpora) >= FEWEST_CORPORA:
        return []
    return [
        f"Kinds of text that the pack was trained on: {len(pack.corpora)}. It knows little of a "
        f"suspect that was trained on another; name more with --corpus, to have {FEWEST_CORPORA}."
    ]


def _method(member: dict[str, object]) -> str:
    """How a member was made, with what was done after training."""
    method = str(member["method"])
    if not member["corpus"]:
        return method
    after = [name for name in ("bits", "pruned", "noise") if member[name] is not None]
    if after:
        return f"{method}, then {'rounded' if after == ['bits'] else after[0]}"
    return method if member["scale"] is None else f"{method}, scaled"


def _lacking(pack: NullPack) -> dict[str, str]:
    """Texts of the default mix, and kinds of change, of which no member is."""
    families = {*member_families(pack)}
    lacking = dict(pack.missing)
    for corpus in DEFAULT_CORPORA:
        if corpus not in pack.corpora:
            lacking.setdefault(corpus, "the default mix was left out")
        elif corpus not in families:
            lacking[corpus] = "no member was trained on it; a larger pack has some"
    methods = {member["method"] for member in pack.members}
    kinds = {method: method in methods for method in TRAININGS}
    kinds |= {kind: kind in families for kind in WEIGHTS}
    lacking |= {kind: "a larger pack has some" for kind, there in kinds.items() if not there}
    return lacking


def _bytes_of(folder: Path) -> int:
    paths = [folder / name for name in FILES]
    paths += (folder / "members").glob("*.safetensors")
    return sum(path.stat().st_size for path in paths if path.is_file())
