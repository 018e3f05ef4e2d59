"""What `tiltlm tokens` says of an event."""

from __future__ import annotations

from pydantic import Field

from tiltlm.records.base import Record


class CaughtToken(Record):
    """A token of an event."""

    id: int
    text: str


class VariantRecord(Record):
    """One way to write a text of an event."""

    text: str = Field(description="with its case and its leading space")
    id: int | None = Field(description="of the token that is this text; null where there is none")
    inside: bool | None = Field(description="whether that token is in the event")


class TokensRecord(Record):
    """How many tokens an event catches, and which."""

    event: str = Field(description="as it can be written again")
    depends_on_context: bool = Field(description="if so, it is asked at the beginning of a text")
    tokens: int = Field(description="how many are in the event")
    vocabulary: int = Field(description="how many there are")
    share: float = Field(description="tokens / vocabulary")
    special_ids: list[int] = Field(description="control tokens in the event")
    variants: list[VariantRecord] = Field(
        description="its texts in other case, with and without a space, that are single tokens"
    )
    inside_longer_words: int = Field(
        description="tokens in which one of its texts is part of a longer word"
    )
    examples: list[CaughtToken] = Field(description="some of its tokens, evenly spread by id")
    special: list[CaughtToken] = Field(
        exclude=True, description="the control tokens of special_ids, for people"
    )
    longer_words: list[CaughtToken] = Field(
        exclude=True, description="a few of inside_longer_words, for people"
    )
