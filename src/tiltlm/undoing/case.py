"""A tilted model and its reference, opened for undoing, with contexts that both have written."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.sources import asked_for, make_contexts
from tiltlm.contexts.splits import Split, split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import CONTEXTS
from tiltlm.labels.label import Label
from tiltlm.labels.step import LabelBase
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import NoProgress, Progress
from tiltlm.undoing.class_masses import Classes
from tiltlm.undoing.readers import ModelReader
from tiltlm.undoing.wanted import Wanted


@dataclass(frozen=True)
class Case:
    """All that a way of undoing may need.

    Attributes:
        model: the tilted model; never changed, but by `undoing.by_train` with all weights.
        reference: what it should be like; None where there is none.
        base: the reference as a label names it.
        itself: the tilted model as a label names it.
        label: of the tilted model, where it has one.
        wanted: the events whose tilt is to be taken back.
        parts: contexts to fit on, to stop training by, and to take figures from.
        seed: of contexts, their split, and training.
        progress: told how far work has come.
    """

    model: LoadedModel
    reference: LoadedModel | None
    base: LabelBase | None
    itself: LabelBase
    label: Label | None
    wanted: Wanted
    parts: Split
    seed: int = 0
    progress: Progress = field(default_factory=NoProgress)

    @cached_property
    def classes(self) -> Classes:
        """The disjoint classes that the wanted events fall into."""
        return Classes.of(self.wanted.masks(self.model.vocabulary))

    @cached_property
    def fit(self) -> Reference:
        """The tilted model at the fitting contexts."""
        return Reference(self.model.model, self.parts.fit)

    @cached_property
    def held_out(self) -> Reference:
        """The tilted model at the held-out contexts."""
        return Reference(self.model.model, self.parts.held_out, head=self.fit.head)

    @cached_property
    def reference_fit(self) -> Reference:
        """The reference at the fitting contexts."""
        assert self.reference is not None
        return Reference(self.reference.model, self.parts.fit)

    @cached_property
    def reference_held_out(self) -> Reference:
        """The reference at the held-out contexts."""
        assert self.reference is not None
        head = self.reference_fit.head
        return Reference(self.reference.model, self.parts.held_out, head=head)

    def class_masses_of(self, states: Reference) -> list[torch.Tensor]:
        """Log-masses of the classes in a model at contexts; see `ModelReader.class_masses`."""
        return ModelReader(states).class_masses(self.classes)


def contexts_of_both(
    model: LoadedModel,
    reference: LoadedModel | None,
    source: str | None,
    *,
    seed: int,
    keys: tuple[str | None, str | None],
    progress: Progress,
) -> Split:
    """Contexts in three parts: by default half of what either model writes of itself.

    Args:
        model: the tilted one.
        reference: None where there is none; the model then writes all of them.
        source: as for `make_contexts`; None or ``own:N`` for own samples of both.
        seed: of the draws and the split.
        keys: of the weights of model and reference, by which samples are cached.
        progress: told how far work has come.
    """
    own = source is None or source.split(":")[0] == "own"
    count = asked_for(source, CONTEXTS) if source else CONTEXTS
    progress.begin("making contexts", count)
    if not own:
        assert source is not None
        made = make_contexts(source, reference or model, count=count, seed=seed)
        return split(made, seed, shuffle=not source.startswith(("text:", "dataset:")))
    writers = [(model, keys[0])] if reference is None else [(model, keys[0]), (reference, keys[1])]
    share = max(1, count // len(writers))
    sequences = [
        ids.tolist()
        for number, (writer, key) in enumerate(writers)
        for ids in make_contexts("own", writer, count=share, seed=seed + number, key=key).sequences
    ]
    kind = "own samples" if reference is None else "own samples of model and reference"
    return split(TokenContexts(sequences, kind), seed)
