"""Events: which tokens, over any vocabulary and at any state of a context.

vocabulary   what each token decodes to, as bytes
event        what every event can be asked; ``&``, ``|`` and ``~`` of events
tokens       events that a single token decides: contains, matches, word, tokens, special
patterns     regular expressions of linear time: Python's syntax, run by RE2
phrase       events that the bytes of the context decide
texts        the texts that events are written with, and files of them
device_copies  masks of states, on each device where they are asked for
automaton    following a context token by token, in a state
expressions  reading text as calls of known names, for events and targets alike
parse        the table of all kinds of events; reading an event from text
variants     how else a word may be written, and in what longer words it occurs

Importing this package imports no torch.
"""

from tiltlm.events.automaton import Automaton, Product, State, Stateless, rows_by_state
from tiltlm.events.event import BoundEvent, Event, FixedEvent
from tiltlm.events.parse import EVENTS, parse_event
from tiltlm.events.phrase import phrase
from tiltlm.events.texts import lines
from tiltlm.events.tokens import contains, matches, special, tokens, word
from tiltlm.events.variants import Variant, accidents, variants
from tiltlm.events.vocabulary import Vocabulary

__all__ = [
    "EVENTS",
    "Automaton",
    "BoundEvent",
    "Event",
    "FixedEvent",
    "Product",
    "State",
    "Stateless",
    "Variant",
    "Vocabulary",
    "accidents",
    "contains",
    "lines",
    "matches",
    "parse_event",
    "phrase",
    "rows_by_state",
    "special",
    "tokens",
    "variants",
    "word",
]
