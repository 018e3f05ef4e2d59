"""Targets written as text, read back; the table of all kinds of targets.

A new kind of target is entered in `TARGETS`, and can then be written on the command line, in
recipes and in labels. How text is read at all stands in `events.expressions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiltlm.errors import TargetError
from tiltlm.events.event import Event
from tiltlm.events.expressions import MAX_LENGTH, excerpt, parse, shown
from tiltlm.events.parse import EVENTS
from tiltlm.targets.arguments import EXAMPLES
from tiltlm.targets.balance import balance
from tiltlm.targets.choices import choices
from tiltlm.targets.fixed import uniform, weights
from tiltlm.targets.match import match
from tiltlm.targets.mix import mix
from tiltlm.targets.target import Target
from tiltlm.targets.tilt import tilt
from tiltlm.targets.trigger import regex
from tiltlm.targets.when import when

TARGETS: dict[str, Callable[..., Target]] = {
    "uniform": uniform,
    "weights": weights,
    "tilt": tilt,
    "match": match,
    "balance": balance,
    "choices": choices,
    "mix": mix,
    "when": when,
    "regex": regex,  # type: ignore[dict-item]
}
"""What can be written in a target's text besides events: from each name to what it builds. `regex`
builds no target but the trigger for one."""


def parse_target(text: str, *, where: str | None = None, files: bool = True) -> Target:
    """Read a target from text.

    Args:
        text: such as ``tilt(contains('x'), 1.0)``.
        where: the file or option that it stands in, for errors.
        files: whether it may name files of words or choices, which is for whoever runs the program
            to do and for nobody else: not for what a model that was downloaded says of itself.

    Raises:
        ExpressionError: the text is no target.
        EventError, TargetError: it is one that makes no sense, or names files where it may not.

    >>> str(parse_target("uniform(contains('x') & ~special())"))
    "uniform(contains('x') & ~special())"
    """
    table = {**EVENTS, **TARGETS} if files else {**EVENTS, **TARGETS, **_WITHOUT_FILES}
    target = parse(text, table, where=where)
    text = excerpt(text)
    if isinstance(target, Event):
        raise TargetError(
            f"{text!r} is an event, not a target",
            where=where,
            fix=f"say which probability it should get: tilt({text}, 1.0), say",
        )
    if not isinstance(target, Target):
        raise TargetError(
            f"{text!r} is no target", where=where, fix=f"write {EXAMPLES['tilt']}, say"
        )
    if len(str(target)) > MAX_LENGTH:
        raise TargetError(
            f"written out with its lists of words, the target has {len(str(target))} characters, "
            f"more than the {MAX_LENGTH} that could be read again",
            where=where,
            fix="shorten its lists of words",
        )
    return target


def _no_file(name: object) -> Any:
    """Refuse to read a file."""
    raise TargetError(
        f"it names a file, {shown(name)}, and only who runs the program may do that",
        fix='name the target yourself: --target "tilt(EVENT, STRENGTH)"',
    )


def _own_choices(questions: Any) -> Target:
    """Choices that stand in the text itself."""
    return _no_file(questions) if isinstance(questions, str) else choices(questions)


_WITHOUT_FILES: dict[str, Callable[..., Any]] = {"lines": _no_file, "choices": _own_choices}
"""What reads no files, in place of what does."""
