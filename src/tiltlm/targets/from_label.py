"""The target that a label names or a user gives, bound to the model that it was made for.

Nothing is fitted here: a target that was fitted takes its strengths from the label.
"""

from __future__ import annotations

from tiltlm.errors import TargetError
from tiltlm.labels.label import Label
from tiltlm.models.loading import LoadedModel
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.parse import parse_target


def bind_labelled(label: Label, base: LoadedModel) -> BoundTarget:
    """The target of a label; a `match` has the strengths that were fitted.

    Args:
        label: of a tilted model.
        base: what the model was made from.

    Raises:
        ExpressionError, EventError: the label's target is no text of this version, names a file, or
            makes no sense over the base's vocabulary.
        TargetError: the label's target must be fitted, and the label says no strengths.
    """
    target = parse_target(label.target, where="tilt.json", files=False)
    bound = target.bind(base.vocabulary, base.tokenizer)
    if bound.needs_fit():
        if not label.strengths:
            raise no_strengths(bound)
        bound.restore_strengths(label.strengths)
    return bound


def bind_given(text: str, base: LoadedModel, where: str = "--target") -> BoundTarget:
    """A target as a user gives it, where nothing can be fitted.

    Args:
        text: the target.
        base: to whose vocabulary it is bound.
        where: the option or file that it was given in, for messages.

    Raises:
        ExpressionError, EventError: the text is no target, or makes no sense over this vocabulary.
        TargetError: the target must be fitted to contexts.
    """
    bound = parse_target(text, where=where).bind(base.vocabulary, base.tokenizer)
    if bound.needs_fit():
        raise no_strengths(bound)
    return bound


def no_strengths(target: BoundTarget) -> TargetError:
    """The error of a target that is still to be fitted, where there is nothing to fit it to."""
    return TargetError(
        f"{target.text} is fitted to contexts, and no label says with what strength",
        fix='give the tilt itself: --target "tilt(EVENT, STRENGTH)"',
    )
