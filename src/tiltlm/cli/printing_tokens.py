"""What `tiltlm tokens` prints of its record. Computes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tiltlm.records.tokens import TokensRecord
from tiltlm.report.event_words import in_words

_EVENT_CHARACTERS = 400
"""Events that were written with long lists are cut off after so many characters."""


def tokens_json(record: TokensRecord) -> str:
    """The record on one line; text stays readable."""
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False)


def tokens_summary(record: TokensRecord) -> str:
    """How many tokens, which, what the event leaves out, and what it may catch by accident."""
    where = " at the beginning of a text" if record.depends_on_context else ""
    words = in_words(record.event)
    lines = [
        *([words] if words else []),
        record.event[:_EVENT_CHARACTERS],
        f"{record.tokens:,} of {record.vocabulary:,} tokens, {record.share:.2%}{where}",
    ]
    lines += [
        f"one of them is the control token {token.text!r}; leave it out with & ~special()"
        for token in record.special
    ]
    lines.append(_row(token.text for token in record.examples))
    for title, inside in (("variants in it", True), ("variants not in it", False)):
        texts = [variant.text for variant in record.variants if variant.inside is inside]
        if texts:
            lines.append(f"{title}: " + _row(texts))
    if record.inside_longer_words:
        count = f"inside longer words, {record.inside_longer_words:,} of them: "
        lines.append(count + _row(token.text for token in record.longer_words))
    return "\n".join(lines)


def _row(texts: Iterable[str]) -> str:
    return "  ".join(map(repr, texts))
