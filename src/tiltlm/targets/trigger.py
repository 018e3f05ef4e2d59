"""What a context must hold before a target takes effect: a text, or a regular expression."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiltlm.errors import TargetError
from tiltlm.events.automaton import Automaton, State
from tiltlm.events.vocabulary import Vocabulary


@dataclass(frozen=True)
class Trigger:
    """What must be found in the text of the context, as text or as a regular expression.

    Attributes:
        pattern: of ``re.search``, on the decoded text so far.
        literal: the text itself, where the trigger is one.
    """

    pattern: str
    literal: str | None = None

    def __str__(self) -> str:
        return repr(self.literal) if self.literal is not None else f"regex({self.pattern!r})"


def regex(pattern: str) -> Trigger:
    """A trigger by regular expression, searched for in the text so far.

    Raises:
        TargetError: it is no regular expression.
    """
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise TargetError(f"{pattern!r} is no regular expression: {error}") from None
    return Trigger(pattern)


class TriggerAutomaton(Automaton):
    """Remembers the bytes so far, and whether the trigger is met by them.

    A literal that was met stays met; a pattern is asked anew at every token, since it may look at
    the end of the text.
    """

    def __init__(self, trigger: Trigger, vocabulary: Vocabulary) -> None:
        self._search = re.compile(trigger.pattern).search
        self._literal, self._tokens = trigger.literal, vocabulary.tokens
        self._raw = (trigger.literal or "").encode()

    @property
    def depends_on_context(self) -> bool:
        """Yes."""
        return True

    def start(self) -> State:
        """Nothing read, nothing met."""
        return (False, b"")

    def advance(self, state: State, token: int) -> State:
        """One token on."""
        assert isinstance(state, tuple)
        met, text = state
        if self._literal is None:
            text = text + self._tokens[token]
            return (self._search(text.decode(errors="replace")) is not None, text)
        if met:
            return (True, b"")
        text = text + self._tokens[token]
        # Only what can still begin the literal has to be remembered.
        return (self._raw in text, text[-max(1, len(self._raw) - 1) :])
