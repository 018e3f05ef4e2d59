"""Undo by the opposite edit of the head: closed form, several findings at once."""

from __future__ import annotations

from tiltlm.errors import ConfigError, TiltError
from tiltlm.models.adapted import plain_copy
from tiltlm.realise.adapters import as_adapter
from tiltlm.realise.editing import edit
from tiltlm.realise.head_edit import HeadEdit
from tiltlm.realise.merging import merge_adapter
from tiltlm.targets.match import match
from tiltlm.targets.target import Target
from tiltlm.undoing.case import Case
from tiltlm.undoing.opposite_edit import opposite_edit, projecting_edit
from tiltlm.undoing.row_edit import RowEdit, row_edit
from tiltlm.undoing.undone import Undone, with_model


def undo_by_edit(case: Case, mass: float | None = None, *, whole: bool = False) -> Undone:
    """Give the tokens of every class back what the reference gives them, in every context.

    A head with a soft cap gets one shift a class instead, which lowers the class by what it rose.

    Without a reference the class is given a stated mass by a fitted edit, or, where none is stated,
    its direction is taken out of the head.

    Args:
        case: opened.
        mass: the mean probability that the one event should come to; only without a reference.
        whole: edit the rows of all other tokens too.

    Raises:
        ConfigError: a mass for several events, or besides a reference.
        TiltError: any other of the tree in `errors`.
    """
    if case.reference is not None:
        if mass is not None:
            raise ConfigError(
                "with a reference the mass of the event is the reference's",
                where="--mass",
                fix="leave out --mass, or --reference",
            )
        if case.fit.head.cap is None:
            return _with_rows(
                case, row_edit(case.fit, case.reference_fit, case.classes, whole=whole)
            )
        shifts = opposite_edit(
            case.fit,
            case.classes,
            case.class_masses_of(case.fit),
            case.class_masses_of(case.reference_fit),
        )
        return _merged(case, shifts, "the log-odds of its classes were lowered by what they rose")
    if mass is None:
        solved = projecting_edit(case.fit.head, case.classes)
        return _merged(case, solved, "the classes' direction was taken out of the head")
    return _matched(case, mass)


def _with_rows(case: Case, solved: RowEdit) -> Undone:
    """A copy of the model with the rows in its head."""
    model = solved.put_into(case.model.model)
    sentence = "each token of it was given back what the reference gives it, by its row of the head"
    details = {"rows": len(solved.tokens), "r_squared": solved.r_squared}
    return Undone("edit", with_model(case.model, model), sentence, details=details)


def _merged(case: Case, solved: HeadEdit, sentence: str) -> Undone:
    """A copy of the model with the edit in its weights."""
    model = plain_copy(case.model.model)
    merged = merge_adapter(as_adapter(model, solved), case.fit)
    details = {"rank": len(solved.masks), "r_squared": solved.r_squared}
    return Undone("edit", with_model(case.model, merged), sentence, details=details)


def _matched(case: Case, mass: float) -> Undone:
    """A copy of the model in which one event has the stated mass."""
    if len(case.wanted.events) != 1:
        raise ConfigError(
            f"one mass was stated, and there are {len(case.wanted.events)} events",
            where="--mass",
            fix="name the one event: --target \"contains('x')\"",
        )
    target: Target = match(case.wanted.events[0], mass)
    copied = with_model(case.model, plain_copy(case.model.model))
    try:
        tilted = edit(copied, target, case.parts.fit, seed=case.seed)
    except TiltError as error:
        raise ConfigError(f"no edit gives that mass: {error.what}", where="--mass") from None
    adapted = tilted.model
    merged = merge_adapter(adapted, tilted.fit)  # type: ignore[arg-type]
    details = {"gap_closed": tilted.fidelity.gap_closed, "strengths": tilted.target.strengths}
    return Undone("edit", with_model(case.model, merged), tilted.sentence, details=details)
