"""Which distribution: what the user wishes the next token's probabilities to be.

A `Target` is written down without a model; `bind` fixes it to a vocabulary, and the `BoundTarget`
gives log-probabilities. Some targets are the same everywhere (`uniform`, `weights`); others are
built from the reference model's own distribution, which is why `log_probs` takes one; others depend
on what the context says, which is why it takes states. Knows nothing of divergences or training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tiltlm.defaults import CONTEXTS
from tiltlm.errors import TargetError, VocabularyError
from tiltlm.events.automaton import Automaton, State, Stateless
from tiltlm.events.event import BoundEvent
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.question import Question
from tiltlm.targets.trigger import Trigger

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


class BoundTarget(Automaton):
    """A target over one vocabulary; what it must know of the context is its state.

    Attributes:
        text: the target as it was written.
        events: the events whose probability the target is about; none where it is about strings.
        fingerprint: of the vocabulary.
        vocabulary_size: V.
    """

    text: str
    events: tuple[BoundEvent, ...]
    fingerprint: str
    vocabulary_size: int

    needs_reference = True
    """Whether `log_probs` needs the reference model's log-probabilities."""

    @abstractmethod
    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """Log-probabilities of the target, in nats; −inf where it allows nothing.

        Args:
            reference: (N, V) normalised log-probabilities of the reference model, for targets
                that are built from it.
            states: N states of the contexts, for targets that depend on them (`read`).

        Returns:
            (V,) where the target is the same in every context, else (N, V).
        """

    def event_states(self, state: State) -> tuple[State, ...]:
        """The state of each of ``events``, from the target's."""
        return (None,) * len(self.events)

    def event_masks(self, states: Sequence[State]) -> torch.Tensor:
        """(K, N or 1, V) boolean masks of the events; 1 where no event depends on the context."""
        import torch

        moving = any(event.depends_on_context for event in self.events)
        rows = [self.event_states(s) for s in states] if moving else [(None,) * len(self.events)]
        return torch.stack(
            [
                torch.stack([event.mask_at(row[k]) for row in rows])
                for k, event in enumerate(self.events)
            ]
        )

    def classes(self) -> torch.Tensor | None:
        """(A, V) boolean, disjoint: within a class the target shifts all logits alike.

        None where there are no such classes: then no edit of the head realises the target.
        """
        return None

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, A) by how much the logits of each class rise against all others, in nats."""
        raise NotImplementedError

    @property
    def shifts_vary(self) -> bool:
        """Whether the shifts of its classes change with the context, as those of balance do."""
        return self.needs_reference and self.classes() is not None and self.strengths is None

    def constant_shifts(self) -> torch.Tensor | None:
        """(A,) shifts of the classes in nats where they are the same everywhere, else None."""
        return None

    @property
    def strengths(self) -> list[float] | None:
        """One strength an event, in nats, where the target is a tilt, or a fitted match."""
        return None

    def restore_strengths(self, strengths: Sequence[float]) -> None:
        """Take the strengths that an earlier fit found, instead of fitting again.

        Raises:
            TargetError: the target has none, or another number of them.
        """
        raise TargetError(
            f"{self.text} has no strengths that could be restored",
            fix='give the tilt itself: --target "tilt(EVENT, STRENGTH)"',
        )

    @property
    def choices(self) -> StringTarget | None:
        """The distribution over whole strings that the target is, or wraps."""
        return None

    @property
    def trigger(self) -> Trigger | None:
        """What the text must hold before the target asks for something, where there is such."""
        return None

    @property
    def context_count(self) -> int:
        """How many contexts it takes to fit the target and to measure what came of it."""
        return CONTEXTS

    @property
    def fixed(self) -> FixedTarget | None:
        """The target itself where it is the same whatever the context and the model."""
        return None

    def triggered(self, states: Sequence[State]) -> list[bool] | None:
        """Where the target asks for something; None where it does everywhere."""
        return None

    def logits(self, scores: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """(N, V) logits of the target, given those of the reference; what `decode` does."""
        return self.log_probs(scores.float().log_softmax(-1), states).expand_as(scores)

    def needs_fit(self) -> bool:
        """Whether something must be found on contexts before the target is a distribution."""
        return False

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Find what the target leaves open, from reference rows (N, V) with their states."""

    def check_vocabulary(self, size: int, *, where: str) -> None:
        """Refuse a model whose head has another number of tokens.

        Raises:
            VocabularyError: ``size`` is not the target's.
        """
        if size != self.vocabulary_size:
            raise VocabularyError(
                f"the target {self.text} is over {self.vocabulary_size} tokens, "
                f"the model's head over {size}",
                where=where,
                fix="bind the target to this model's own vocabulary",
            )


class Target(ABC):
    """A wish for the next token's distribution. ``str(target)`` is text that reads back."""

    @abstractmethod
    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundTarget:
        """Fix the target to a vocabulary.

        Args:
            vocabulary: of the model.
            tokenizer: needed by targets about whole strings.

        Raises:
            EventError: an event matches no token, or every token.
            TargetError: what results is no distribution.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def sentence(self) -> str:
        """The target in words."""


class FixedTarget(Stateless, BoundTarget):
    """The same distribution in every context.

    Args:
        text: the target as it was written.
        event: its event over the vocabulary.
        fingerprint: of the vocabulary.
        probabilities: (V,).
    """

    needs_reference = False

    def __init__(
        self, text: str, event: BoundEvent, fingerprint: str, probabilities: torch.Tensor
    ) -> None:
        self.text, self.events, self.fingerprint = text, (event,), fingerprint
        self.probabilities, self.vocabulary_size = probabilities, probabilities.numel()

    @property
    def fixed(self) -> FixedTarget:
        """The target itself."""
        return self

    @property
    def event(self) -> str:
        """Text of the event."""
        return self.events[0].text

    @property
    def event_mask(self) -> torch.Tensor:
        """(V,) boolean."""
        return self.events[0].mask_at(None)

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(V,) log-probabilities; neither argument is used."""
        return self.probabilities.log()

    @property
    def entropy_nats(self) -> float:
        """Entropy of the target: what cross-entropy has more than KL."""
        import torch

        return float(-torch.special.xlogy(self.probabilities, self.probabilities).sum())


class StringTarget(BoundTarget):
    """A distribution over whole strings after each of some prompts, the reference elsewhere.

    Attributes:
        questions: as they were asked.
        prompts: their token ids.
        answers: for each question, the token ids of each string with its end.
    """

    questions: tuple[Question, ...]
    prompts: list[list[int]]
    answers: list[list[list[int]]]

    @property
    def choices(self) -> StringTarget:
        """The target itself."""
        return self
