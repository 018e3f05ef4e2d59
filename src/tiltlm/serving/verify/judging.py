"""What a verification comes to: verdict, name, strength, and what any test would have needed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiltlm.records.base import Interval
from tiltlm.records.verify import DrawRecord, HypothesisRecord, Verdict
from tiltlm.serving.verify.asking import Verification
from tiltlm.serving.verify.elimination import least_tokens
from tiltlm.serving.verify.hypotheses import BASE, TILT


@dataclass(frozen=True)
class Judgement:
    """What the draws say.

    Attributes:
        verdict: what is served.
        recognised: its name, where it has one.
        sentence: the verdict in words.
        least: mean number of tokens that any test would have needed at these prompts, and the
            closest rival of what is served; None where nothing is decided.
    """

    verdict: Verdict
    recognised: str | None
    sentence: str
    least: tuple[float, str] | None


def judge(verification: Verification) -> Judgement:
    """The verdict on what was drawn.

    Args:
        verification: after it has asked.
    """
    hypotheses = verification.candidates.hypotheses
    survivors = verification.survivors
    left = [hypotheses[number].name for number in survivors]
    if left == [TILT]:
        return Judgement("tilt", TILT, "serves the tilt", _least(verification, survivors[0]))
    if left == [BASE]:
        return Judgement(
            "base", BASE, "serves the base, without the tilt", _least(verification, survivors[0])
        )
    if TILT in left or BASE in left:
        names = " or ".join(left[:4]) + (f" or {len(left) - 4} others" if len(left) > 4 else "")
        return Judgement("undecided", None, f"undecided: it may serve {names}", None)
    if not left:
        return Judgement(
            "neither", None, "serves neither tilt nor base, nor anything that has a name", None
        )
    likelihoods = verification.test.log_likelihoods
    likeliest = max(survivors, key=lambda number: float(likelihoods[number]))
    if not verification.is_decided:
        names = " or ".join(left[:4])
        return Judgement("neither", None, f"serves neither tilt nor base; perhaps {names}", None)
    name = hypotheses[likeliest].name
    said = f"serves neither tilt nor base, but {name}"
    return Judgement("neither", name, said, _least(verification, likeliest))


def _least(verification: Verification, true: int) -> tuple[float, str] | None:
    """Wald's bound against the closest rival, at the prompts that were asked after."""
    asked = [token.prompt for token in verification.drawn]
    hypotheses = verification.candidates.hypotheses
    rivals = [n for n, h in enumerate(hypotheses) if h.family != hypotheses[true].family]
    information = verification.candidates.divergences[asked, true].mean(0)
    closest = min(rivals, key=lambda number: float(information[number]))
    if information[closest] <= 0:
        return None
    least = least_tokens(float(information[closest]), verification.error)
    return least, hypotheses[closest].name


def hypothesis_records(verification: Verification) -> list[HypothesisRecord]:
    """All that was tried, with the evidence against it.

    Args:
        verification: after it has asked.
    """
    test = verification.test
    own = float(test.log_likelihoods[verification.names.index(TILT)])
    records = []
    for number, name in enumerate(verification.names):
        log_e, value = float(test.largest_log_e[number]), float(test.log_likelihoods[number])
        relative = value - own if math.isfinite(own) and math.isfinite(value) else None
        records.append(
            HypothesisRecord(
                name=name,
                log10_e=log_e / math.log(10) if math.isfinite(log_e) else None,
                ruled_out=log_e >= test.threshold,
                log_likelihood_nats=relative,
            )
        )
    return records


def draw_records(verification: Verification) -> list[DrawRecord]:
    """Every token that was counted.

    Args:
        verification: after it has asked.
    """
    return [
        DrawRecord(prompt=token.prompt, token_ids=np.asarray(token.ids).tolist())
        for token in verification.drawn
    ]


def in_nats(value: Interval, unit: float) -> Interval:
    """An interval of strengths in nats, in order.

    Args:
        value: in units of the labelled strength.
        unit: that strength, nats.
    """
    low, high = sorted((value[0] * unit, value[1] * unit))
    return low, high
