"""Take a tilt back and prove it: the public function behind ``tiltlm undo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError
from tiltlm.models.loading import LoadedModel
from tiltlm.models.placement import placement_of
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.audit import AuditRecord
from tiltlm.records.undo import LeftRecord, UndoBy, UndoRecord
from tiltlm.stopwatch import Stopwatch
from tiltlm.undoing.case import Case
from tiltlm.undoing.opening import (
    name_of,
    open_case,
    open_reference,
    open_tilted_model,
    wanted_of,
)
from tiltlm.undoing.proof import Proof, Proved, prove
from tiltlm.undoing.result import UndoneModel
from tiltlm.undoing.settings import WAYS, UndoSettings
from tiltlm.undoing.undone import Undone
from tiltlm.versions import versions


def undo(
    model: LoadedModel | str | Path,
    reference: LoadedModel | str | Path | None = None,
    *,
    by: UndoBy = "edit",
    finding: AuditRecord | Path | str | None = None,
    target: str | None = None,
    contexts: str | None = None,
    settings: UndoSettings | None = None,
    proof: Proof | None = None,
    placement: Placement | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> UndoneModel:
    """Take a tilt back, whoever made it, and prove how far.

    Args:
        model: the tilted model: a name for `load`, a folder of ``tiltlm tilt``, or a loaded model.
        reference: what it should be like; None for the base that its label names, if it has one.
        by: ``label`` (exact, a tilt of our own), ``edit`` (the opposite change of the head),
            ``train`` (KL back to the reference), ``decode`` (a logits processor), ``interpolate``
            (weights towards the reference).
        finding: the record of an audit by logits, or where it lies: its findings are taken back.
        target: instead of that an event, or a target whose events are taken back.
        contexts: as for `make_contexts`; by default own samples of both models.
        settings: how the way goes about it.
        proof: what else is to be looked at.
        placement: of what is given by name, as for `load`.
        seed: of contexts, their split, and training.
        progress: told how far work has come.

    Raises:
        ConfigError: nothing says what to take back, or the way needs a reference or a label.
        TiltError: any other of the tree in `errors`.
    """
    if by not in WAYS:
        raise ConfigError(f"no such way: {by!r}", where="--by", fix="one of " + ", ".join(WAYS))
    if finding is not None and target is not None:
        raise ConfigError(
            "what to take back is said twice", fix="give either --finding or --target"
        )
    watch, proof = Stopwatch(), proof or Proof()
    proof.check()
    progress = progress or NoProgress()
    tilted, label = open_tilted_model(model, placement)
    base = open_reference(reference, label, by, placement)
    watch.lap("loading")
    wanted = wanted_of(finding, target, label, tilted, base)
    case = open_case(tilted, base, label, wanted, contexts, seed=seed, progress=progress)
    watch.lap("contexts")
    undone = (settings or UndoSettings()).apply(case, by)
    watch.lap("undo")
    proved = None if base is None else prove(case, undone, proof)
    watch.lap("prove")
    seconds = {**watch.seconds, "total": watch.total}
    record = _record(case, undone, proved, proof, name_of(model, tilted), seconds)
    return UndoneModel(undone, record, label, case.itself)


def _record(
    case: Case,
    undone: Undone,
    proved: Proved | None,
    proof: Proof,
    name: str,
    seconds: dict[str, float],
) -> UndoRecord:
    """Put together what is known of it."""
    fields: dict[str, Any] = dict(vars(proved)) if proved else _unproved(case)
    return UndoRecord(
        by=undone.by,
        model=name,
        reference=None
        if case.base is None
        else {"name": case.base.name, "sha256": case.base.sha256 or ""},
        target=" and ".join(str(event) for event in case.wanted.events),
        restored=None,
        curve=list(undone.curve),
        relapse_rate=proof.relapse.learning_rate if proof.relapse and fields["relapse"] else None,
        details=undone.details,
        contexts=case.parts.held_out.kind,
        held_out_contexts=len(case.parts.held_out),
        seed=case.seed,
        placement=placement_of(case.model.model),
        versions=versions(),
        seconds=seconds,
        **fields,
    )


def _unproved(case: Case) -> dict[str, Any]:
    """Fields of a record where there is no reference to compare with."""
    left = [
        LeftRecord(event=str(event), before=None, after=None, by_audit=said)
        for event, said in zip(case.wanted.events, case.wanted.said, strict=True)
    ]
    names = ("kl_before_nats", "kl_after_nats", "audit_before", "audit_after")
    nothing = dict.fromkeys([*names, "measured_before", "measured_after"])
    return {"left": left, "covariance": [], "relapse": [], **nothing}
