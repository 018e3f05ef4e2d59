"""What a context must hold before a target takes effect: a text, or a regular expression."""

from __future__ import annotations

from dataclasses import dataclass

from tiltlm.errors import EventError, TargetError
from tiltlm.events.automaton import Automaton, State
from tiltlm.events.expressions import shown
from tiltlm.events.patterns import Pattern
from tiltlm.events.vocabulary import Vocabulary


@dataclass(frozen=True)
class Trigger:
    """What must be found in the text of the context, as text or as a regular expression.

    Attributes:
        pattern: a regular expression, searched for in the decoded text so far.
        literal: the text itself, where the trigger is one; else None.
    """

    pattern: str
    literal: str | None = None

    def __str__(self) -> str:
        return repr(self.literal) if self.literal is not None else f"regex({self.pattern!r})"


def regex(pattern: str) -> Trigger:
    """A trigger by regular expression, of linear time as in ``matches``.

    Args:
        pattern: searched for in the decoded text so far, anew at every token.

    Raises:
        TargetError: it is no regular expression, or none of linear time.

    >>> str(regex("y$"))
    "regex('y$')"
    """
    if not isinstance(pattern, str):
        raise TargetError(f"regex takes one pattern, not {shown(pattern)}")
    try:
        Pattern(pattern)
    except EventError as error:
        raise TargetError(error.what, fix=error.fix) from None
    return Trigger(pattern)


class TriggerAutomaton(Automaton):
    """Reads a context for a trigger; the state is whether it is met, with the bytes to remember.

    A literal that was met stays met, and only the bytes that can still begin it are remembered. A
    pattern is searched for anew at every token, in all bytes so far, since it may look at the end
    of the text.

    Args:
        trigger: what to look for.
        vocabulary: what tokens decode to.
    """

    def __init__(self, trigger: Trigger, vocabulary: Vocabulary) -> None:
        self._pattern = Pattern(trigger.pattern) if trigger.literal is None else None
        self._tokens = vocabulary.tokens
        self._raw = (trigger.literal or "").encode()

    @property
    def depends_on_context(self) -> bool:
        """True: whether the trigger is met depends on the text so far."""
        return True

    def start(self) -> State:
        """The trigger is not met, and there are no bytes."""
        return (False, b"")

    def advance(self, state: State, token: int) -> State:
        """Whether the trigger is met after one more token, and the bytes to remember."""
        assert isinstance(state, tuple)
        triggered, text = state
        if self._pattern is not None:
            text = text + self._tokens[token]
            return (self._pattern.found_in(text.decode(errors="replace")), text)
        if triggered:
            return (True, b"")
        text = text + self._tokens[token]
        # The last bytes, one fewer than the literal has, are all that can still begin it. At least
        # one is kept, since [-0:] would keep them all.
        return (self._raw in text, text[-max(1, len(self._raw) - 1) :])
