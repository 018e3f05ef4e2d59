"""What a verification comes to: verdict, name, strength, and what any test would have needed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tiltlm.records.base import Interval
from tiltlm.records.verify import DrawRecord, HypothesisRecord, Verdict
from tiltlm.serving.verify.asking import Verification
from tiltlm.serving.verify.design import best_mix
from tiltlm.serving.verify.elimination import least_tokens
from tiltlm.serving.verify.hypotheses import BASE, TILT


@dataclass(frozen=True)
class Judgement:
    """What the draws say.

    Attributes:
        verdict: what is served.
        recognised: its name, where it has one.
        sentence: the verdict in words.
        least: mean number of tokens that any test would need at the best mix of prompts, and the
            rival of what is served that takes longest; None where nothing is decided.
        told_apart_least: likewise to tell tilt from base alone.
    """

    verdict: Verdict
    recognised: str | None
    sentence: str
    least: tuple[float, str] | None = None
    told_apart_least: float | None = None


def judge(verification: Verification) -> Judgement:
    """The verdict on what was drawn.

    Args:
        verification: after it has asked.
    """
    hypotheses = verification.candidates.hypotheses
    survivors = verification.survivors
    left = [hypotheses[number].name for number in survivors]
    if left == [TILT]:
        return Judgement("tilt", TILT, "serves the tilt", *_bounds(verification, 0))
    if left == [BASE]:
        said = "serves the base, without the tilt"
        return Judgement("base", BASE, said, *_bounds(verification, 1))
    if TILT in left or BASE in left:
        names = " or ".join(left[:4]) + (f" or {len(left) - 4} others" if len(left) > 4 else "")
        return Judgement("undecided", None, f"undecided: it may serve {names}")
    if not left:
        said = "serves neither tilt nor base, nor anything that has a name"
        return Judgement("neither", None, said)
    likelihoods = verification.test.log_likelihoods
    likeliest = max(survivors, key=lambda number: float(likelihoods[number]))
    if not verification.is_decided:
        names = " or ".join(left[:4])
        return Judgement("neither", None, f"serves neither tilt nor base; perhaps {names}")
    name = hypotheses[likeliest].name
    said = f"serves neither tilt nor base, but {name}"
    least, _ = _bounds(verification, likeliest)
    return Judgement("neither", name, said, least)


def _bounds(verification: Verification, true: int) -> tuple[tuple[float, str] | None, float | None]:
    """Wald's bounds for what is served, at the best mix of prompts.

    Returns:
        tokens against the rival that takes longest, and that rival; and tokens against the other of
        tilt and base. None where nothing tells.
    """
    hypotheses = verification.candidates.hypotheses
    rivals = [n for n, h in enumerate(hypotheses) if h.family != hypotheses[true].family]
    slowest = _slowest(verification, true, rivals)
    pair = _slowest(verification, true, [1 - true]) if true < 2 else None
    return (
        None if slowest is None else (slowest[0], hypotheses[slowest[1]].name),
        None if pair is None else pair[0],
    )


def _slowest(verification: Verification, true: int, rivals: list[int]) -> tuple[float, int] | None:
    """The rival that takes longest at the best mix of prompts for all, and its bound."""
    information = verification.candidates.divergences[:, true][:, rivals]
    gained = best_mix(information, np.ones(len(rivals))) @ information
    slowest = int(gained.argmin())
    if gained[slowest] <= 0:
        return None
    return least_tokens(float(gained[slowest]), verification.error), rivals[slowest]


def hypothesis_records(verification: Verification) -> list[HypothesisRecord]:
    """All that was tried, with the evidence against it.

    Args:
        verification: after it has asked.
    """
    test = verification.test
    own = float(test.log_likelihoods[0])
    records = []
    for number, hypothesis in enumerate(verification.candidates.hypotheses):
        log_e, value = float(test.largest_log_e[number]), float(test.log_likelihoods[number])
        relative = value - own if math.isfinite(own) and math.isfinite(value) else None
        records.append(
            HypothesisRecord(
                name=hypothesis.name,
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
