"""What is to be taken back: the events of an audit's findings, of a target, or of a label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from tiltlm.errors import ConfigError, TiltError
from tiltlm.events.event import Event
from tiltlm.events.parse import parse_event
from tiltlm.events.tokens import special, tokens
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.labels.label import Label
from tiltlm.models.loading import LoadedModel
from tiltlm.records.audit import AuditRecord, FindingRecord
from tiltlm.records.base import Estimate
from tiltlm.targets.from_label import bind_labelled
from tiltlm.targets.parse import parse_target


@dataclass(frozen=True)
class Wanted:
    """Events whose tilt is to be taken back.

    Attributes:
        events: K of them, each decided by the token alone.
        said: the strength that somebody says each has, in nats; None where nobody does.
        seen: where an audit saw each, ``outside`` or ``inside`` the head's column space.
    """

    events: tuple[Event, ...]
    said: tuple[Estimate | None, ...]
    seen: tuple[str, ...] = ()

    def masks(self, vocabulary: Vocabulary) -> torch.Tensor:
        """(K, V) boolean.

        Args:
            vocabulary: of the model.
        """
        return torch.stack([event.mask(vocabulary) for event in self.events])


def wanted_of_audit(record: AuditRecord, vocabulary: Vocabulary) -> Wanted:
    """What an audit found: all that looks planted, or, where nothing does, all that was shifted.

    Args:
        record: of the audit.
        vocabulary: of the suspect.

    Raises:
        ConfigError: it found nothing.
    """
    found = [finding for finding in record.findings if finding.planted] or record.findings
    if not found:
        raise ConfigError(
            "the audit found nothing that could be taken back",
            where="--finding",
            fix='name it yourself: --target "tilt(EVENT, STRENGTH)"',
        )
    return Wanted(
        tuple(_event_of(finding, vocabulary) for finding in found),
        tuple(Estimate(finding.strength_nats, finding.interval) for finding in found),
        tuple(finding.seen for finding in found),
    )


def _event_of(finding: FindingRecord, vocabulary: Vocabulary) -> Event:
    """The event as it was written, where that means the same tokens; else the tokens.

    An audit's classes have no control tokens, whatever is in their names.
    """
    try:
        written = parse_event(finding.event)
        for event in (written, written & ~special()):
            if event.mask(vocabulary).nonzero()[:, 0].tolist() == sorted(finding.token_ids):
                return event
    except TiltError:
        pass
    return tokens(finding.token_ids)


def wanted_of_target(text: str, loaded: LoadedModel) -> Wanted:
    """The events of a target that a user names, and the strengths that it says.

    Args:
        text: a target, or an event.
        loaded: the tilted model.

    Raises:
        ExpressionError, EventError, TargetError: it is neither, or its events depend on the text.
    """
    try:
        event = parse_event(text, where="--target")
    except TiltError:
        bound = parse_target(text, where="--target").bind(loaded.vocabulary, loaded.tokenizer)
        strengths = bound.strengths
        events = tuple(parse_event(event.text) for event in bound.events)
        _check_fixed(events, text, bound.depends_on_context)
        return Wanted(events, _said(strengths, len(events)))
    _check_fixed((event,), text, event.bind(loaded.vocabulary).depends_on_context)
    return Wanted((event,), (None,))


def wanted_of_label(label: Label, base: LoadedModel) -> Wanted:
    """The events of a label, and the strengths that it says.

    Args:
        label: of the tilted model.
        base: with the model's vocabulary.

    Raises:
        ConfigError: the label's target has no events that the token alone decides.
    """
    bound = bind_labelled(label, base)
    events = tuple(parse_event(event.text) for event in bound.events)
    _check_fixed(events, label.target, bound.depends_on_context)
    return Wanted(events, _said(bound.strengths, len(events)))


def _said(strengths: Sequence[float] | None, count: int) -> tuple[Estimate | None, ...]:
    if not strengths or len(strengths) != count:
        return (None,) * count
    return tuple(Estimate(strength, None) for strength in strengths)


def _check_fixed(events: Sequence[Event], text: str, depends: bool) -> None:
    """Refuse what no set of tokens, the same everywhere, stands for."""
    if not events or depends:
        raise ConfigError(
            f"what {text[:80]} is about is no set of tokens that is the same everywhere",
            where="--target",
            fix="undo it by label or by interpolation, or name its events: "
            "--target \"contains('x')\"",
        )


def read_audit(path: Path) -> AuditRecord:
    """The record of an audit by logits.

    Args:
        path: ``result.json``, or the folder that holds it.

    Raises:
        ConfigError: there is none.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        return AuditRecord.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise ConfigError(
            f"it is no record of an audit by logits: {str(error).splitlines()[0][:100]}",
            where=str(file),
            fix="name the --out of `tiltlm audit`",
        ) from None
