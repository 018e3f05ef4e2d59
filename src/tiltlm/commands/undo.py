"""`tiltlm undo`, the Python function behind the command: undo, prove, then write all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiltlm.claims import claimed_new
from tiltlm.defaults import FALSE_POSITIVE_RATE
from tiltlm.errors import ConfigError
from tiltlm.measures.suite_sizes import Sources
from tiltlm.progress import Progress
from tiltlm.recipes.placement import Placement
from tiltlm.recipes.training import PARAMETERS, Training
from tiltlm.records.undo import UndoRecord
from tiltlm.treatments.fine_tuning import LEARNING_RATE
from tiltlm.undoing.proof import Proof
from tiltlm.undoing.relapse import Relapse
from tiltlm.undoing.settings import UndoSettings
from tiltlm.undoing.undoing import undo


@dataclass(frozen=True, kw_only=True)
class UndoOptions:
    """What a user says of an undoing.

    Attributes:
        by: the way, as for `undo`.
        finding: the folder or record of an audit.
        target: an event or a target as text.
        contexts: where to compare, as for `make_contexts`.
        mass: edit without a reference: the probability that the event should come to.
        share: interpolate: how much of the model is to be left.
        whole_head: edit: all rows of the head, not those of the findings alone.
        parameters: train: what to train.
        steps: train: the most steps.
        null: a pack, to audit before and after.
        fpr: false-positive rate of these audits.
        suite: to measure before and after.
        text: a file to measure on.
        pairs: a folder with minimal pairs.
        relapse: whether to train towards the tilt again.
        relapse_rate: learning rate of that.
        placement: of what is named, as for `load`.
        seed: of all draws.
    """

    by: Any = "edit"
    finding: Path | None = None
    target: str | None = None
    contexts: str | None = None
    mass: float | None = None
    share: float | None = None
    whole_head: bool = False
    parameters: str | None = None
    steps: int | None = None
    null: Path | None = None
    fpr: float = FALSE_POSITIVE_RATE
    suite: str | None = None
    text: Path | None = None
    pairs: Path | None = None
    relapse: bool = False
    relapse_rate: float | None = None
    placement: Placement | None = None
    seed: int = 0

    def settings(self) -> UndoSettings:
        """How the way goes about it.

        Raises:
            ConfigError: there are no such parameters.
        """
        named = {name: name for name in PARAMETERS}
        if self.parameters is not None and self.parameters not in named:
            raise ConfigError(
                f"no such parameters: {self.parameters!r}",
                where="--parameters",
                fix="one of " + ", ".join(PARAMETERS),
            )
        parameters = None if self.parameters is None else named[self.parameters]
        return UndoSettings(
            mass=self.mass,
            whole_head=self.whole_head,
            share=self.share,
            training=Training(parameters=parameters, steps=self.steps),
        )

    def proof(self) -> Proof:
        """What is to be looked at."""
        rate = self.relapse_rate or LEARNING_RATE
        return Proof(
            null=self.null,
            fpr=self.fpr,
            suite=self.suite,
            sources=Sources(text=self.text, pairs=self.pairs),
            relapse=Relapse(learning_rate=rate) if self.relapse else None,
        )


def run_undo(
    model: str,
    out: Path,
    reference: str | None,
    options: UndoOptions,
    progress: Progress | None = None,
) -> UndoRecord:
    """Take a tilt back, prove how far, and write the model with record, page and label.

    Args:
        model: the tilted model, as for `undo`.
        out: a new folder for ``result.json``, ``undo.html`` and ``model/``.
        reference: what the model should be like; None for the base of its label.
        options: all else.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    settings, proof = options.settings(), options.proof()
    with claimed_new(out) as folder:
        undone = undo(
            model,
            reference,
            by=options.by,
            finding=options.finding,
            target=options.target,
            contexts=options.contexts,
            settings=settings,
            proof=proof,
            placement=options.placement,
            seed=options.seed,
            progress=progress,
        )
        return undone.write(folder, _page)


def _page(record: UndoRecord) -> str:
    """The page of an undoing, as text."""
    # The report draws its figures with matplotlib, which is slow to import.
    from tiltlm.report.undo_page import render_undo

    return render_undo(record)
