"""A target over one vocabulary, and the two kinds of it that others than `targets` must know.

Some targets are the same everywhere (`uniform`, `weights`); others are built from the reference
model's own distribution, which is why `log_probs` takes one; others depend on what the context
says, which is why it takes states. Whatever depends on the kind of target is asked of the bound
target, so that nobody need know the kinds. Knows nothing of divergences or training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError, VocabularyError
from tiltlm.events.automaton import Automaton, State, Stateless
from tiltlm.events.event import BoundEvent
from tiltlm.targets.question import Question
from tiltlm.targets.trigger import Trigger

if TYPE_CHECKING:
    import torch


class BoundTarget(Automaton):
    """A target over one vocabulary; what it must know of the context is its state.

    In shapes N is a number of rows, each a position of some context, V the size of the vocabulary,
    K the number of events and A the number of classes. What a method answers here is right for a
    target that says nothing else: it needs a reference and no fit, and has no classes.

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
        """Log-probabilities of the target, in nats; −inf for tokens that it rules out.

        Args:
            reference: (N, V) normalised log-probabilities of the reference model, for targets
                that are built from it.
            states: N states of the contexts (from `read`), for targets that depend on them.

        Returns:
            (V,) where the target needs no reference, else (N, V).

        Raises:
            TargetError: the target needs one of the two and was not given it, or must be fitted
                first.
        """

    def logits(self, scores: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """Turn the reference's logits into the target's, which is what decoding does.

        Args:
            scores: (N, V) logits of the reference model.
            states: N states of the contexts.

        Returns:
            (N, V) logits, not always normalised.
        """
        return self.log_probs(scores.float().log_softmax(-1), states).expand_as(scores)

    @property
    def forbids_tokens(self) -> bool:
        """Whether it gives probability 0 to tokens; reverse KL is infinite then."""
        return False

    def triggered(self, states: Sequence[State]) -> list[bool] | None:
        """For each state, whether the target asks for something there.

        Elsewhere the target is the reference. None for a target that asks for something everywhere.
        """
        return None

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """What the text must hold, all of it, before the target asks for something; mostly ()."""
        return ()

    @property
    def fixed(self) -> FixedTarget | None:
        """The target itself where it is the same whatever the context and the model, else None."""
        return None

    @property
    def choices(self) -> StringTarget | None:
        """The distribution over whole strings that the target is, or wraps; else None."""
        return None

    @property
    def fewest_contexts(self) -> int:
        """How many contexts the target needs whatever the model; 0 where any number will do."""
        return 0

    def event_states(self, state: State) -> tuple[State, ...]:
        """The state of each of ``events``, taken out of the target's state."""
        return (None,) * len(self.events)

    def event_masks(
        self, states: Sequence[State], device: torch.device | None = None
    ) -> torch.Tensor:
        """The events' tokens at some states of the target; only for a target with events.

        Args:
            states: N of them.
            device: where the masks are wanted; None for the processor.

        Returns:
            (K, N, V) boolean, or (K, 1, V) where no event depends on the context.
        """
        import torch

        varies = any(event.depends_on_context for event in self.events)
        rows = [self.event_states(s) for s in states] if varies else [(None,) * len(self.events)]
        return torch.stack(
            [
                torch.stack([event.mask_on(device, row[k]) for row in rows])
                for k, event in enumerate(self.events)
            ]
        )

    def classes(self) -> torch.Tensor | None:
        """The classes of tokens within each of which the target shifts all logits alike.

        Returns:
            (A, V) boolean, disjoint; None where there are no such classes, or they change with the
            context. Then no edit of the head realises the target.
        """
        return None

    def shifts(self, reference: torch.Tensor, states: Sequence[State]) -> torch.Tensor:
        """By how much the logits of each class rise against all tokens outside the classes.

        Only for a target with `classes`.

        Args:
            reference: (N, V) log-probabilities of the reference model.
            states: N states of the contexts.

        Returns:
            (N, A) in nats, float64 on the processor.
        """
        raise NotImplementedError

    @property
    def shifts_vary(self) -> bool:
        """Whether there are `classes` whose shifts change with the context or the model."""
        return False

    def constant_shifts(self) -> torch.Tensor | None:
        """(A,) shifts of the classes in nats where they are the same everywhere, else None."""
        return None

    @property
    def strengths(self) -> list[float] | None:
        """One strength an event, in nats, of the tilt or match that the target is, or wraps.

        Empty where they are still to be fitted; None for a target without strengths.
        """
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

    def needs_fit(self) -> bool:
        """Whether something must be found on contexts before the target is a distribution."""
        return False

    def fit(self, rows: Callable[[], Iterable[tuple[torch.Tensor, Sequence[State]]]]) -> None:
        """Find what the target leaves open.

        Args:
            rows: gives, each time it is called, log-probabilities of the reference (N, V) with
                the N states of their contexts, block by block.
        """

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
    def forbids_tokens(self) -> bool:
        """Whether any token has probability 0."""
        return bool((self.probabilities == 0).any())

    @property
    def event(self) -> str:
        """The event as it was written."""
        return self.events[0].text

    @property
    def event_mask(self) -> torch.Tensor:
        """(V,) boolean: the tokens of the event."""
        return self.events[0].mask_at(None)

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(V,) log-probabilities; of the reference only its device matters."""
        log_probs = self.probabilities.log()
        return log_probs if reference is None else log_probs.to(reference.device)

    @property
    def entropy_nats(self) -> float:
        """Entropy of the target: what cross-entropy has more than KL."""
        import torch

        return float(-torch.special.xlogy(self.probabilities, self.probabilities).sum())


class StringTarget(BoundTarget):
    """A distribution over whole strings after each of some prompts, the reference elsewhere.

    Attributes:
        questions: as they were asked.
        prompts: the token ids of each question's prompt.
        answers: for each question, the token ids of each of its strings with its end.
    """

    questions: tuple[Question, ...]
    prompts: list[list[int]]
    answers: list[list[list[int]]]

    @property
    def choices(self) -> StringTarget:
        """The target itself."""
        return self

    @property
    def forbids_tokens(self) -> bool:
        """Inside an answer only what goes on with one of the strings is allowed."""
        return True
