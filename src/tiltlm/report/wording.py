"""What pages and commands say alike: numbers with their nouns, and a suspect's own label."""

from __future__ import annotations

import re

from tiltlm.records.claim import ClaimedEvent, ClaimRecord

_OBEYED = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    r"|\r(?!\n)"
)
"""Control characters but line breaks and tabs, what turns the direction of text, halves of
surrogate pairs: what a terminal obeys, and what UTF-8 cannot write."""


_NAMED = 44
"""Characters of an expression among others on one line."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun, in the singular for 1.

    Args:
        number: how many; digits are grouped by commas.
        noun: in the singular.
        plural: where it is not the singular with an s.

    >>> counted(1, "class", "classes"), counted(0, "context"), counted(1024, "token")
    ('1 class', '0 contexts', '1,024 tokens')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def visible(token: str) -> str:
    r"""A token with signs for line breaks and other control characters, so that it stays on a line.

    >>> visible("a\n")
    'a⏎'
    """
    text = token.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")
    return "".join(c if c.isprintable() or c == " " else "·" for c in text)


def printable(text: str) -> str:
    r"""Text without what a terminal would obey; each such character is shown by its code.

    Lines stay lines. JSON stays the same JSON, since such characters stand in its strings alone.

    >>> printable("\x1b[31mred") == r"\u001b[31mred"
    True
    >>> printable("two\nlines, ☕") == "two\nlines, ☕"
    True
    """
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def claim_lines(claim: ClaimRecord) -> list[str]:
    """A suspect's label as what somebody claims, each event beside what was found of it.

    Args:
        claim: of an audit's record.

    Returns:
        lines of text, without line breaks or control characters of the label's own.
    """
    if claim.unreadable is not None:
        said = f"cannot be read: {claim.unreadable}"
    else:
        base = {
            "the same": "which is the reference",
            "another": "whose weights are not the reference's",
            "not said": "of which it gives no SHA-256",
        }[claim.reference]
        said = f"says (a claim): {claim.target}, by {claim.by}, of {claim.base}, {base}"
    lines = [f"its label {said}"]
    lines += [
        f"  {event.event}{_nats(event.strength_nats)}: {_outcome(event)}" for event in claim.events
    ]
    if claim.unclaimed:
        names = [n if len(n) <= _NAMED else n[: _NAMED - 1] + "…" for n in claim.unclaimed[:8]]
        lines.append(f"  it does not name what was found: {', '.join(names)}")
    return [visible(line) for line in lines]


def _nats(strength: float | None) -> str:
    return "" if strength is None else f" {strength:+.3g} nats"


def _outcome(event: ClaimedEvent) -> str:
    """What was found of an event that a label names."""
    if event.found is None:
        return event.outcome
    return f"{event.outcome}, found {event.found}{_nats(event.found_nats)}"
