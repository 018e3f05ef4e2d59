"""`tiltlm tokens`, the Python function behind the command: which tokens an event catches."""

from __future__ import annotations

from collections.abc import Sequence

from tiltlm.events.parse import parse_event
from tiltlm.events.variants import accidents, variants
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import load_tokenizer
from tiltlm.records.tokens import CaughtToken, TokensRecord, VariantRecord

VARIANTS = 40
"""The most ways of writing a text that are listed."""

LONGER_WORDS = 8
"""The most tokens that are listed of those in which a text is part of a longer word."""


def run_tokens(event: str, model: str, *, examples: int = 20) -> TokensRecord:
    """Count the tokens of an event and list some of them.

    Args:
        event: as `parse_event` reads it. One that depends on the context is asked at the beginning
            of a text.
        model: whose tokens, a name for `load_tokenizer`.
        examples: how many tokens to list, evenly spread over the event's ids.

    Raises:
        TiltError: the event cannot be read or holds no token, or there is no such model.
    """
    return tokens_of(event, Vocabulary.from_tokenizer(load_tokenizer(model)), examples=examples)


def tokens_of(event: str, vocabulary: Vocabulary, *, examples: int = 20) -> TokensRecord:
    """The same for a vocabulary that is there already.

    Args:
        event: as for `run_tokens`.
        vocabulary: whose tokens.
        examples: how many tokens to list.

    Raises:
        EventError: the event cannot be read or holds no token.
    """
    parsed = parse_event(event, where="command line")
    bound = parsed.bind(vocabulary)
    ids: list[int] = bound.mask_at(bound.start()).nonzero().flatten().tolist()
    in_longer_words = accidents(parsed, vocabulary)
    special_ids = sorted(set(ids) & vocabulary.special_ids)

    def caught(some: Sequence[int]) -> list[CaughtToken]:
        return [CaughtToken(id=index, text=vocabulary.text(index)) for index in some]

    written = [v for v in variants(parsed, vocabulary) if v.token is not None][:VARIANTS]
    return TokensRecord(
        event=str(parsed),
        depends_on_context=bound.depends_on_context,
        tokens=len(ids),
        vocabulary=len(vocabulary),
        share=len(ids) / len(vocabulary),
        special_ids=special_ids,
        variants=[
            VariantRecord(text=variant.text, id=variant.token, inside=variant.inside)
            for variant in written
        ],
        inside_longer_words=len(in_longer_words),
        examples=caught(_spread(ids, examples)),
        special=caught(special_ids),
        longer_words=caught(_spread(in_longer_words, examples)[:LONGER_WORDS]),
    )


def _spread(ids: Sequence[int], count: int) -> Sequence[int]:
    """At most ``count`` of some ids, evenly spread."""
    return ids[:: max(1, len(ids) // count)][:count] if count else []
