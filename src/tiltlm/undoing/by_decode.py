"""Undo while decoding, for models that may not be changed: the opposite tilt of their logits."""

from __future__ import annotations

from tiltlm.errors import ConfigError
from tiltlm.undoing.case import Case
from tiltlm.undoing.readers import ModelReader
from tiltlm.undoing.strengths import joint_tilt
from tiltlm.undoing.tilts import bound_tilt
from tiltlm.undoing.undone import Undone


def undo_by_decode(case: Case) -> Undone:
    """Lower every event by one strength everywhere, estimated jointly at the fitting contexts.

    Args:
        case: opened; without a reference the strengths are those that an audit or a target says.

    Raises:
        ConfigError: nobody says how strong an event is tilted.
    """
    events = case.wanted.events
    if case.reference is not None:
        before, after = (case.class_masses_of(s) for s in (case.reference_fit, case.fit))
        strengths = joint_tilt(after, before, case.classes)
    else:
        strengths = [-said.mean for said in case.wanted.said if said is not None]
        if len(strengths) < len(events):
            raise ConfigError(
                "nobody says how strongly the event is tilted, and there is no reference",
                where="--target",
                fix='give --reference BASE, or the tilt itself: --target "tilt(EVENT, STRENGTH)"',
            )
    masses = _masses(case)
    correction = bound_tilt(events, strengths, case.model.vocabulary, masses)
    sentence = "its logits are corrected while decoding; the weights are as they were"
    return Undone(
        "decode", case.model, sentence, correction, details={"strengths": correction.strengths}
    )


def _masses(case: Case) -> list[float]:
    """The mean probability of each event in the reference; in the model where there is none."""
    states = case.fit if case.reference is None else case.reference_fit
    rows = ModelReader(states).class_masses(case.classes)
    mean = sum(r[:, :-1].exp().sum(0) for r in rows) / sum(map(len, rows))
    return [float(mass) for mass in case.classes.patterns.T.double() @ mean]
