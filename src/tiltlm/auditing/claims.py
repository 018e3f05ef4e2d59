"""A suspect's own label: quoted as a claim, and compared with what was found.

Whoever made the suspect wrote its label. So nothing in an audit goes by it: it is read when all is
judged, and a label that is damaged, or that makes no sense, stops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from tiltlm.auditing.classes.overlap import SAME_CLASS_JACCARD, jaccard
from tiltlm.errors import TiltError
from tiltlm.events.event import Event
from tiltlm.events.expressions import parse
from tiltlm.events.parse import EVENTS
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.labels.label import FILE, Label, read_label
from tiltlm.records.claim import ClaimedEvent, ClaimRecord

_MOST_EVENTS, _MOST_CHARACTERS = 8, 200
"""Of what a label says, so much is quoted."""


class Found(Protocol):
    """A finding of any access."""

    @property
    def event(self) -> str:
        """The class, as it can be written."""

    @property
    def token_ids(self) -> list[int]:
        """The tokens of the class."""

    @property
    def strength_nats(self) -> float:
        """By how much it was shifted."""


@dataclass(frozen=True)
class Claim:
    """A label that lies beside a suspect.

    Attributes:
        file: that holds it.
        label: what it says; None where it cannot be read.
        unreadable: why it cannot; None where it can.
    """

    file: str
    label: Label | None
    unreadable: str | None = None

    def compared(
        self, found: Sequence[Found] | None, vocabulary: Vocabulary, reference_sha256: str
    ) -> ClaimRecord:
        """The claim beside what was found.

        Args:
            found: all that the audit names; None where it can name nothing for certain.
            vocabulary: of the reference.
            reference_sha256: of its weights.
        """
        label = self.label
        if label is None:
            return ClaimRecord(
                file=self.file, unreadable=self.unreadable, target=None, by=None, base=None,
                reference="not said", events=[], unclaimed=[f.event for f in found or ()],
            )  # fmt: skip
        strengths = label.strengths or []
        events, named = [], set()
        for number, text in enumerate(label.events[:_MOST_EVENTS]):
            strength = strengths[number] if number < len(strengths) else None
            event, like = _judged(text, strength, found, vocabulary)
            events.append(event)
            named.add(like)
        sha256 = label.base.sha256
        reference: Literal["the same", "another", "not said"] = "not said"
        if sha256 is not None:
            reference = "the same" if sha256 == reference_sha256 else "another"
        return ClaimRecord(
            file=self.file,
            unreadable=None,
            target=_cut(label.target),
            by=label.by,
            base=_cut(label.base.name),
            reference=reference,
            events=events,
            unclaimed=[f.event for n, f in enumerate(found or ()) if n not in named],
        )


def read_claim(suspect: str) -> Claim | None:
    """The label of a suspect, however damaged; None without one.

    Args:
        suspect: a folder, or any other name of a model.
    """
    for folder in (Path(suspect), Path(suspect) / "model"):
        try:
            label = read_label(folder)
        except TiltError as error:
            return Claim(str(folder / FILE), None, error.what)
        if label is not None:
            return Claim(str(folder / FILE), label)
    return None


def _judged(
    text: str, strength: float | None, found: Sequence[Found] | None, vocabulary: Vocabulary
) -> tuple[ClaimedEvent, int | None]:
    """An event that a label names beside the finding that is most like it, and its number."""

    def claimed(outcome: Any, like: Found | None = None) -> ClaimedEvent:
        return ClaimedEvent(
            event=_cut(text),
            strength_nats=strength,
            outcome=outcome,
            found=None if like is None else like.event,
            found_nats=None if like is None else like.strength_nats,
        )

    ids = _tokens_of(text, vocabulary)
    if found is None or ids is None:
        return claimed("not judged"), None
    shares = [jaccard(ids, frozenset(finding.token_ids)) for finding in found]
    if not shares or max(shares) < SAME_CLASS_JACCARD:
        return claimed("not found"), None
    best = shares.index(max(shares))
    against = strength is not None and strength * found[best].strength_nats < 0
    return claimed("contradicts" if against else "agrees", found[best]), best


def _tokens_of(text: str, vocabulary: Vocabulary) -> frozenset[int] | None:
    """The tokens that a label's event means; None where it is none, or names a file to read."""
    table = {name: build for name, build in EVENTS.items() if name != "lines"}
    try:
        event = parse(text, table, where=FILE)
        if not isinstance(event, Event):
            return None
        return frozenset(event.mask(vocabulary).nonzero()[:, 0].tolist())
    except Exception:  # Whatever a stranger wrote there, it must not end the audit.
        return None


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…"
