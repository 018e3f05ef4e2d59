"""What pages and commands say alike: numbers with their nouns, and a suspect's own label."""

from __future__ import annotations

from tiltlm.records.claim import ClaimedEvent, ClaimRecord


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
        lines.append(f"  it does not name what was found: {', '.join(claim.unclaimed[:8])}")
    return [visible(line) for line in lines]


def _nats(strength: float | None) -> str:
    return "" if strength is None else f" {strength:+.3g} nats"


def _outcome(event: ClaimedEvent) -> str:
    """What was found of an event that a label names."""
    if event.found is None:
        return event.outcome
    return f"{event.outcome}, found {event.found}{_nats(event.found_nats)}"
