"""What targets and their calls are given, checked before anything is done with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.event import Event
from tiltlm.events.expressions import shown
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.target import Target

if TYPE_CHECKING:
    import torch


EXAMPLES = {
    "uniform": "uniform(contains('x'))",
    "tilt": "tilt(contains('x'), 1.0)",
    "match": "match(contains('x'), 0.1)",
    "balance": "balance({word('he'): 0.5, word('she'): 0.5})",
    "mix": "mix(tilt(contains('x'), 1.0), 0.5)",
    "when": "when('coffee', tilt(contains('x'), 1.0))",
}
"""How each target that is made of events or of another target is written, for errors."""


def check_event(name: str, event: object) -> None:
    """Refuse what is no event.

    Args:
        name: of the target that is to be about the event, a key of `EXAMPLES`.
        event: what was given for the event.

    Raises:
        TargetError: it is none.
    """
    if not isinstance(event, Event):
        raise TargetError(
            f"{name} takes an event, not {shown(event)}", fix=f"write {EXAMPLES[name]}, say"
        )


def check_target(name: str, target: object) -> None:
    """Refuse what is no target.

    Args:
        name: of the target that is to be made of the other one, a key of `EXAMPLES`.
        target: what was given for the other one.

    Raises:
        TargetError: it is none.
    """
    if not isinstance(target, Target):
        raise TargetError(
            f"{name} takes a target, not {shown(target)}", fix=f"write {EXAMPLES[name]}, say"
        )


def given_rows(
    target: BoundTarget, reference: torch.Tensor | None, states: Sequence[State] | None
) -> tuple[torch.Tensor, Sequence[State]]:
    """The arguments of `BoundTarget.log_probs`, for a target that needs a reference.

    Args:
        target: whose ``log_probs`` was called.
        reference: (N, V) log-probabilities, or None where they were left out.
        states: N states, or None where they were left out.

    Returns:
        both, with the state None for each row where the target does not depend on the context.

    Raises:
        TargetError: there is no reference, or no states though the target depends on them.
    """
    if reference is None:
        raise TargetError(
            f"{target.text} is built from the reference model's distribution, and none was given",
            fix="give (N, V) log-probabilities of the reference model",
        )
    if states is None:
        if target.depends_on_context:
            raise TargetError(
                f"{target.text} depends on the context, and no states were given",
                fix="give N states, which target.read(token_ids) returns",
            )
        states = [None] * len(reference)
    return reference, states
