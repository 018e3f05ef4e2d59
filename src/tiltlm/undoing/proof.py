"""What was undone, proved: strengths left, divergence, the same audit, the same measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tiltlm.auditing.auditing import audit
from tiltlm.auditing.inputs import read_inputs
from tiltlm.contexts.reference import Reference
from tiltlm.defaults import FALSE_POSITIVE_RATE
from tiltlm.measures.measuring import measure
from tiltlm.measures.suite_sizes import Sizes, Sources
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit import AuditRecord
from tiltlm.records.base import Estimate
from tiltlm.records.measure import MeasureRecord
from tiltlm.records.undo import LeftRecord, RelapsePoint
from tiltlm.targets.bound import BoundTarget
from tiltlm.undoing.case import Case
from tiltlm.undoing.readers import ModelReader
from tiltlm.undoing.relapse import Relapse, measure_relapse
from tiltlm.undoing.strengths import Strengths, estimate_strengths, joint_tilt
from tiltlm.undoing.tilts import bound_tilt
from tiltlm.undoing.undone import Undone


@dataclass(frozen=True)
class Proof:
    """What is to be looked at besides the strengths left.

    Attributes:
        null: the folder of a pack of benign changes: audit before and after with it.
        suite: ``quick``, ``full`` or sizes: measure before and after; None not to.
        sources: local files to measure on.
        relapse: how the tilt is to return; None not to try.
        fpr: false-positive rate of the audits.
    """

    null: Path | None = None
    suite: str | Sizes | None = None
    sources: Sources = field(default_factory=Sources)
    relapse: Relapse | None = None
    fpr: float = FALSE_POSITIVE_RATE

    def check(self) -> None:
        """Refuse a pack that cannot be read or cannot vouch for the rate, before all else.

        Raises:
            ConfigError: there is no such pack, or it has too few members.
        """
        if self.null is not None:
            read_inputs(self.fpr, None, self.null).check_rate(self.fpr)


@dataclass(frozen=True)
class Proved:
    """What came of it; fields of an `UndoRecord` of the same names."""

    left: list[LeftRecord]
    covariance: list[list[float]]
    kl_before_nats: float
    kl_after_nats: float
    relapse: list[RelapsePoint]
    audit_before: AuditRecord | None
    audit_after: AuditRecord | None
    measured_before: MeasureRecord | None
    measured_after: MeasureRecord | None


def prove(case: Case, undone: Undone, proof: Proof) -> Proved:
    """Look at the model before and after, against the reference, in the same ways.

    Args:
        case: opened, with a reference.
        undone: what a way of undoing made.
        proof: what to look at.
    """
    assert case.reference is not None
    reference = ModelReader(case.reference_held_out)
    before = ModelReader(case.held_out)
    if undone.correction is None:
        after = ModelReader(Reference(undone.model.model, case.parts.held_out))
    else:
        after = ModelReader(case.held_out, undone.correction)
    own = reference.class_masses(case.classes)
    tilted = before.class_masses(case.classes)
    was = estimate_strengths(own, tilted, case.classes)
    left = estimate_strengths(own, after.class_masses(case.classes), case.classes)
    tilt = tilt_found(case, own, tilted)
    audits = [_audited(case, model, proof) for model in _both(case, undone)]
    measured = [_measured(case, model, tilt, proof) for model in _both(case, undone)]
    returns = []
    if proof.relapse is not None and undone.correction is None:
        returns = measure_relapse(case, undone.model, tilt, proof.relapse)
    return Proved(
        left=_left(case, was, left.estimates()),
        covariance=was.covariance.tolist(),
        kl_before_nats=before.kl_from(reference),
        kl_after_nats=after.kl_from(reference),
        relapse=returns,
        audit_before=audits[0],
        audit_after=audits[1],
        measured_before=measured[0],
        measured_after=measured[1],
    )


def tilt_found(
    case: Case, reference: Sequence[torch.Tensor], model: Sequence[torch.Tensor]
) -> BoundTarget:
    """The tilt of the reference that the model was found to have.

    Args:
        case: opened, with a reference.
        reference: for each held-out context (n, A + 1) log-masses of the classes.
        model: the same in the tilted model.
    """
    assert case.reference is not None
    mean = torch.cat(list(model))[:, :-1].exp().mean(0)
    return bound_tilt(
        case.wanted.events,
        joint_tilt(reference, model, case.classes),
        case.reference.vocabulary,
        [float(mass) for mass in case.classes.patterns.T.double() @ mean],
    )


def _left(case: Case, was: Strengths, after: list[Estimate]) -> list[LeftRecord]:
    return [
        LeftRecord(event=str(event), before=before, after=now, by_audit=said)
        for event, before, now, said in zip(
            case.wanted.events, was.estimates(), after, case.wanted.said, strict=True
        )
    ]


def _both(case: Case, undone: Undone) -> tuple[LoadedModel, LoadedModel | None]:
    """The model before and after; None after where only decoding differs, which no audit reads."""
    return case.model, None if undone.correction is not None else undone.model


def _audited(case: Case, model: LoadedModel | None, proof: Proof) -> AuditRecord | None:
    if proof.null is None or model is None:
        return None
    assert case.reference is not None
    record = audit(
        model,
        case.reference,
        null=proof.null,
        fpr=proof.fpr,
        seed=case.seed,
        progress=case.progress,
    )
    assert isinstance(record, AuditRecord)
    return record


def _measured(
    case: Case, model: LoadedModel | None, tilt: BoundTarget, proof: Proof
) -> MeasureRecord | None:
    if proof.suite is None or model is None:
        return None
    return measure(
        model,
        case.reference,
        tilt,
        suite=proof.suite,
        sources=proof.sources,
        seed=case.seed,
        progress=case.progress,
    )
