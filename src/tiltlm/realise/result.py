"""A realised target: the model, what was measured on it, and how it is saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tiltlm.claims import claimed_new
from tiltlm.contexts.reference import Reference
from tiltlm.labels.chain import with_step
from tiltlm.labels.label import Label
from tiltlm.labels.step import LabelBase, LabelFigure, Step
from tiltlm.measures.fidelity import Fidelity
from tiltlm.models.placement import placement_of
from tiltlm.realise.labelling import merge_step, tilt_step
from tiltlm.realise.merging import HALVES, merge_adapter
from tiltlm.realise.saving import check_room, save_folder
from tiltlm.records.base import Estimate
from tiltlm.records.tilt import (
    By,
    EstimateRecord,
    EventDetailRecord,
    EventMassRecord,
    FidelityRecord,
    TiltRecord,
)
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.versions import versions


@dataclass
class Tilted:
    """A realised target with what was measured.

    Attributes:
        by: how it was realised.
        model: the tilted model: plain, or with a peft adapter; for decode the untouched base.
        tokenizer: the base's.
        target: bound and fitted.
        sentence: the target in words.
        processor: the target as a logits processor for ``generate``.
        fidelity: how close the model comes to the target, on held-out contexts.
        contexts: what the held-out contexts are.
        base: the model that it was made from, as its label names it.
        seed: of contexts, their split, and training.
        details: what the realisation has to say of itself (R², steps, …), as JSON can write it.
        seconds: that each part of the work took.
        measure_again: gives the fidelity of a model at the same held-out contexts; None where
            nothing changes that when the model is saved.
        fit: the reference at the fitting contexts, where weights are in half precision.
        earlier: what was done to the base before, as its own label says.
        merged: whether an adapter was taken into the weights.
    """

    by: By
    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    target: BoundTarget
    sentence: str
    processor: TiltLogitsProcessor
    fidelity: Fidelity
    contexts: str
    base: LabelBase
    seed: int
    details: dict[str, Any]
    seconds: dict[str, float]
    measure_again: Callable[[PreTrainedModel], Fidelity] | None = None
    fit: Reference | None = None
    earlier: Sequence[Step] = ()
    merged: bool = False

    def record(self) -> TiltRecord:
        """What was done and measured; ``result.json`` of a saved folder holds the same."""
        fidelity = self.fidelity
        first = fidelity.masses[0] if fidelity.masses else None
        return TiltRecord(
            by=self.by,
            target=self.target.text,
            sentence=self.sentence,
            fidelity=FidelityRecord(
                gap_closed=fidelity.gap_closed,
                interval=fidelity.interval,
                kl_target_model_nats=fidelity.kl_target_model.mean,
                kl_target_base_nats=fidelity.kl_target_base.mean,
            ),
            event_mass=None
            if first is None
            else EventMassRecord(
                base=first.base.mean, target=first.target.mean, model=first.model.mean
            ),
            events=[
                EventDetailRecord(
                    event=masses.event,
                    base=_estimate(masses.base),
                    target=_estimate(masses.target),
                    model=_estimate(masses.model),
                )
                for masses in fidelity.masses
            ],
            collateral_nats=None if fidelity.collateral is None else fidelity.collateral.mean,
            leakage_nats=None if fidelity.leakage is None else fidelity.leakage.mean,
            strengths=self.target.strengths,
            details=self.details,
            contexts=self.contexts,
            held_out_contexts=fidelity.contexts,
            held_out_positions=fidelity.positions,
            base={"name": self.base.name, "sha256": self.base.sha256 or ""},
            seed=self.seed,
            placement=placement_of(self.model),
            versions=versions(),
            seconds=self.seconds,
        )

    def label(self, *, merge: bool = False) -> Label:
        """What a saved copy says of itself; figures come with their units of replication.

        Args:
            merge: whether an adapter is merged into the weights that are saved.
        """
        adapter = isinstance(self.model, PeftModel) and not merge
        label = Label(
            target=self.target.text,
            sentence=self.sentence,
            events=[event.text for event in self.target.events],
            strengths=self.target.strengths,
            by=self.by,
            form="processor" if self.by == "decode" else "adapter" if adapter else "model",
            base=self.base,
            contexts=self.contexts,
            seed=self.seed,
            measured=self._measured(),
            placement=placement_of(self.model),
            versions=versions(),
            chain=list(self.earlier),
        )
        label = with_step(label, tilt_step(label))
        merging = self.merged or (merge and isinstance(self.model, PeftModel))
        return with_step(label, merge_step(label)) if merging else label

    def _measured(self) -> dict[str, LabelFigure]:
        """Figures as a label has them, with their units of replication."""
        fidelity = self.fidelity
        over = f"Student, over {fidelity.contexts} held-out contexts"
        gap = fidelity.gap_closed
        measured = {
            "gap closed": LabelFigure(value=gap, interval=fidelity.interval, unit="", over=over)
        }
        for masses in fidelity.masses:
            for whose in ("base", "target", "model"):
                measured[f"P({masses.event[:200]}), {whose}"] = _figure(
                    getattr(masses, whose), "probability", over
                )
        for name in ("collateral", "leakage"):
            estimate = getattr(fidelity, name)
            if estimate is not None:
                measured[name] = _figure(estimate, "nats a token", over)
        return measured

    def save(self, folder: Path | str, merge: bool = False) -> TiltRecord:
        """Write a new folder, whole or not at all, that plain transformers or peft loads.

        It holds ``result.json`` and ``model/``, the labelled weights or adapter. For ``decode``
        there are no weights: the label lies in the folder itself, beside ``logit_bias.json`` where
        a server can be given the target as one.

        Args:
            folder: a new or empty one.
            merge: write a whole model, its head untied, instead of an adapter. ``model`` is then
                that whole model in memory too, and has no adapter any more. In half precision its
                weights cannot hold all of the adapter: ``fidelity`` is measured again, and the
                details tell what the adapter had closed.

        Returns:
            what ``result.json`` holds.

        Raises:
            StorageError: there is no room for it.
            RunError: the folder holds something already, or another process is at work on it.
        """
        with claimed_new(Path(folder)) as out:
            return self.write(out, merge=merge)

    def write(self, folder: Path, *, merge: bool = False) -> TiltRecord:
        """Do what `save` does, in a folder that is claimed already.

        Args:
            folder: of `claims.claimed_new`.
            merge: as for `save`.

        Raises:
            StorageError: there is no room for it.
        """
        check_room(folder, self.label(merge=merge), self.model)
        if merge and isinstance(self.model, PeftModel):
            self._merge()
        record, label = self.record(), self.label(merge=merge)
        save_folder(folder, record, label, self.model, self.tokenizer, self.target)
        return record

    def _merge(self) -> None:
        """Take the adapter into the weights, and measure what their rounding left of the tilt."""
        assert isinstance(self.model, PeftModel)
        self.model = merge_adapter(self.model, self.fit)
        self.merged = True
        if self.model.dtype in HALVES and self.measure_again is not None:
            self.details["rounding"] = {
                "dtype": str(self.model.dtype).removeprefix("torch."),
                "gap_closed_by_adapter": self.fidelity.gap_closed,
            }
            self.fidelity = self.measure_again(self.model)


def _estimate(estimate: Estimate) -> EstimateRecord:
    """An estimate as a record has it."""
    return EstimateRecord(mean=estimate.mean, interval=estimate.interval)


def _figure(estimate: Estimate, unit: str, over: str) -> LabelFigure:
    """An estimate as a label has it."""
    return LabelFigure(value=estimate.mean, interval=estimate.interval, unit=unit, over=over)
