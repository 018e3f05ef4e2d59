"""A model and its base, read side by side.

Where the two share their body, as after an edit of the head, it is run once for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tiltlm.contexts.logit_reader import LogitReader, batches_of
from tiltlm.contexts.token_contexts import TokenContexts, collate
from tiltlm.errors import MeasurementError, VocabularyError
from tiltlm.events.automaton import State
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import head_of
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.target import BoundTarget

ROWS = 128
"""Positions whose logits are made at once: fewer make the head's product slow."""


CACHED_ROWS = 8
"""Positions handed on at once: a processor's cache holds all that is done with them."""


@dataclass
class Rows:
    """A block of positions of one context.

    Attributes:
        context: its number.
        positions: (N,) which.
        following: (N,) the token after each; −1 after the last.
        weights: (N,).
        states: of the target; None without one.
        base: (N, V) log-probabilities.
        wish: of the target; None without one.
        model: of the model.
    """

    context: int
    positions: torch.Tensor
    following: torch.Tensor
    weights: torch.Tensor
    states: Sequence[State] | None
    base: torch.Tensor
    wish: torch.Tensor | None
    model: torch.Tensor


class Pair:
    """A model and the base it was made from.

    Args:
        base: the reference.
        model: what was done to it; the base itself where ``decodes``.
        target: bound and fitted, or None where none is known.
        decodes: the target is realised by decoding, with nothing done to the weights.

    Raises:
        VocabularyError: the two have different tokens.
    """

    def __init__(
        self,
        base: LoadedModel,
        model: LoadedModel,
        target: BoundTarget | None = None,
        *,
        decodes: bool = False,
    ) -> None:
        self.base, self.model, self.target, self.decodes = base, model, target, decodes
        self.vocabulary = same_vocabulary(base, model)
        base.model.eval()
        model.model.eval()
        self._base = LogitReader(base.model)
        same = model.model is base.model
        self._model = self._base if same else LogitReader(model.model)
        self.shares_body = same or self._same_body()

    @property
    def processor(self) -> TiltLogitsProcessor | None:
        """To sample from the model with; None where its weights say it all."""
        if not self.decodes:
            return None
        assert self.target is not None
        return TiltLogitsProcessor(self.target, self.base.tokenizer.pad_token_id)

    def read(self, contexts: TokenContexts, *, wish: bool = True) -> Iterator[Rows]:
        """Every position that counts, a block at a time, context after context.

        Args:
            contexts: where.
            wish: whether the target's distribution is needed too.

        Raises:
            MeasurementError: logits that are not numbers.
        """
        for indices in batches_of(contexts):
            batch = collate([contexts[i] for i in indices])
            first = self._base.rows(batch["input_ids"], batch["attention_mask"])
            second = first
            if not self.shares_body:
                second = self._model.rows(batch["input_ids"], batch["attention_mask"])
            found = [contexts.positions(i) for i in indices]
            counts = torch.tensor([len(p) for p in found])
            owner = torch.arange(len(indices)).repeat_interleave(counts)
            places = torch.cat(found)
            states = [self._states(contexts, i, wish) for i in indices]
            for at in torch.arange(len(owner)).split(ROWS):
                before = self._base.logits(first[owner[at], places[at]])
                after = before
                if self._model is not self._base:
                    after = self._model.logits(second[owner[at], places[at]])
                for some in _runs(owner[at], _handed_on(before)):
                    place, positions = int(owner[at][some][0]), places[at][some]
                    there = states[place]
                    there = None if there is None else [there[p] for p in positions.tolist()]
                    base, asked, model = self._three(before[some], after[some], there)
                    following = contexts.following(indices[place])[positions]
                    weights = contexts.weights[indices[place]][positions]
                    yield Rows(
                        indices[place], positions, following, weights, there, base, asked, model
                    )

    def _states(self, contexts: TokenContexts, index: int, wish: bool) -> Sequence[State] | None:
        if self.target is None or not (wish or self.decodes):
            return None
        return self.target.read(contexts.sequences[index].tolist())

    def _three(
        self, first: torch.Tensor, second: torch.Tensor, states: Sequence[State] | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        base = first.log_softmax(-1)
        wish = None
        if self.target is not None and states is not None:
            wish = self.target.log_probs(base, states).to(base).expand_as(base)
        if self.decodes:
            assert wish is not None
            model = wish
        elif self._model is self._base:
            model = base
        else:
            model = second.log_softmax(-1)
        for name, found in (("base", base), ("model", model)):
            if bool(found.isnan().any()):
                raise MeasurementError(
                    f"the {name}'s logits are not numbers, so nothing was measured",
                    fix="check its weights",
                )
        return base, wish, model

    def _same_body(self) -> bool:
        """Whether all weights but the head's are the base's, to the bit."""
        first, second = self.base.model, self.model.model
        if type(first) is not type(second) or self._base.head is None or self._model.head is None:
            return False
        name, _ = head_of(first)
        theirs = dict(second.named_parameters()) | dict(second.named_buffers())
        ours = dict(first.named_parameters()) | dict(first.named_buffers())
        return all(
            key in theirs and torch.equal(value, theirs[key])
            for key, value in ours.items()
            if not key.startswith(f"{name}.")
        )


def _runs(owner: torch.Tensor, longest: int) -> Iterator[slice]:
    """Stretches of equal values, none longer than ``longest``.

    >>> [(s.start, s.stop) for s in _runs(torch.tensor([0, 0, 0, 1]), 2)]
    [(0, 2), (2, 3), (3, 4)]
    """
    first = 0
    for count in owner.unique_consecutive(return_counts=True)[1].tolist():
        for begin in range(first, first + count, longest):
            yield slice(begin, min(begin + longest, first + count))
        first += count


def _handed_on(logits: torch.Tensor) -> int:
    return CACHED_ROWS if logits.device.type == "cpu" else len(logits)


def same_vocabulary(base: LoadedModel, model: LoadedModel) -> Vocabulary:
    """The vocabulary that two models share.

    Raises:
        VocabularyError: they do not share it.
    """
    first, second = base.vocabulary, model.vocabulary
    if first.fingerprint != second.fingerprint:
        raise VocabularyError(
            f"base and model have different tokens ({len(first):,} and {len(second):,}), "
            "so their probabilities cannot be compared",
            where="--against",
            fix="name the base that the model was made from",
        )
    return first
