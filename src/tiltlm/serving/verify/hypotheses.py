"""What a server may be serving: the tilt, the base, or one of the mistakes that are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from tiltlm.serving.verify.samplers import Sampler
from tiltlm.targets.bound import BoundTarget

Whose = Literal["tilt", "base"]

TILT, BASE = "the tilt", "the base"
"""Names of the two that a verdict is about."""

AS_IT_IS = Sampler()
"""Draws from all tokens as they are."""

_SAMPLERS = (
    ("temperature", "at temperature {}", [(t, Sampler(t)) for t in (0.5, 0.7, 0.8, 1.3)]),
    ("filter", "from the {} likeliest tokens", [(k, Sampler(top_k=k)) for k in (20, 40, 100)]),
    ("filter", "with top-p {}", [(p, Sampler(top_p=p)) for p in (0.8, 0.9, 0.95)]),
    ("filter", "with min-p {}", [(p, Sampler(min_p=p)) for p in (0.05, 0.1)]),
    ("penalty", "with a repetition penalty of {}", [(r, Sampler(penalty=r)) for r in (1.1, 1.3)]),
    (
        "temperature and filters",
        "with {} defaults (temperature 0.8, top-k 40, top-p 0.95, min-p 0.05)",
        [("llama.cpp's", Sampler(0.8, 40, 0.95, 0.05, filters_first=True))],
    ),
)
"""How servers draw where they do not draw from all tokens as they are: a family, how it is said,
and its values. Between the values of one family nothing is told apart."""

_EDGE = 0.01
"""Share of draws that a filter is taken to let through whatever the token is."""

_TILT_WEIGHT, _BASE_WEIGHT, _HALF_WEIGHT, _TWICE_WEIGHT = 0.38, 0.38, 0.08, 0.06
"""Weights in the mixtures; all others share the rest. The first two are what is asked about, and
the half is what is the hardest to tell from either."""


@dataclass(frozen=True)
class Prompted:
    """Logits of base and target after one prompt.

    Attributes:
        ids: of the prompt.
        base: (V,) float32 logits of the base.
        tilt: (V,) of the target.
        twice: (V,) of the target of the target.
        templated: base and tilt after the prompt inside the tokenizer's chat template; None
            without one.
    """

    ids: Sequence[int]
    base: torch.Tensor
    tilt: torch.Tensor
    twice: torch.Tensor
    templated: tuple[torch.Tensor, torch.Tensor] | None = None


@dataclass(frozen=True)
class Hypothesis:
    """One thing that a server may be serving.

    Attributes:
        name: as it is told to people, such as "the tilt twice".
        family: among the members of one family nothing is told apart.
        weight: in the mixtures of `Elimination`.
        whose: whether the tilt is in it.
        strength: of the tilt, in units of its own; 1 the tilt itself, 0 the base.
        sampler: how tokens are drawn.
        templated: whether prompts are put into the tokenizer's chat template.
    """

    name: str
    family: str
    weight: float
    whose: Whose
    strength: float
    sampler: Sampler = AS_IT_IS
    templated: bool = False

    @property
    def is_strength(self) -> bool:
        """Whether it is the target at another strength, and nothing else."""
        return self.strength not in (0.0, 1.0)

    def log_probs(self, prompted: Prompted) -> torch.Tensor:
        """(V,) log-probabilities with which the next token is drawn, nats.

        Args:
            prompted: base and target after the prompt.
        """
        base, tilt = prompted.base, prompted.tilt
        if self.templated:
            assert prompted.templated is not None
            base, tilt = prompted.templated
        if self.strength == 2.0:
            logits = prompted.twice
        elif self.strength in (0.0, 1.0):
            logits = tilt if self.strength else base
        else:
            logits = between(base, tilt, self.strength)
        drawn = self.sampler.apply(logits, prompted.ids).log_softmax(-1)
        if not self.sampler.filters:
            return drawn
        # An engine's numbers differ a little, so at the edge of a filter it lets others through.
        edge = (logits / self.sampler.temperature).log_softmax(-1)
        return torch.logaddexp(drawn + math.log1p(-_EDGE), edge + math.log(_EDGE))


def between(base: torch.Tensor, tilt: torch.Tensor, strength: float) -> torch.Tensor:
    """The base times a power of what the target multiplies it by; of a tilt, a tilt less strong.

    Args:
        base: (V,) logits.
        tilt: (V,) logits of the target; −inf where it forbids a token.
        strength: the power; above 0 where the target forbids tokens.

    Returns:
        (V,) logits, normalised only where the strength is 0 or 1.
    """
    reference = base.log_softmax(-1)
    return reference + strength * (tilt.log_softmax(-1) - reference)


def hypotheses_for(*, templated: bool) -> list[Hypothesis]:
    """All that a server may be serving, the tilt first and the base second.

    Args:
        templated: whether the tokenizer has a chat template that prompts could be put into.
    """
    leading = [
        Hypothesis(TILT, "the tilt", _TILT_WEIGHT, "tilt", 1.0),
        Hypothesis(BASE, "the base", _BASE_WEIGHT, "base", 0.0),
        Hypothesis("half the tilt", "strength", _HALF_WEIGHT, "tilt", 0.5),
        Hypothesis("the tilt twice", "twice", _TWICE_WEIGHT, "tilt", 2.0),
    ]
    others: list[tuple[str, str, Whose, float, Sampler, bool]] = []
    whose: Whose
    for whose, name, strength in (("tilt", TILT, 1.0), ("base", BASE, 0.0)):
        for family, said, values in _SAMPLERS:
            for value, sampler in values:
                drawn = f"{name}, drawn {said.format(value)}"
                others.append((drawn, f"{name}, {family}", whose, strength, sampler, False))
        if templated:
            wrapped = f"{name}, prompts put into the chat template"
            others.append((wrapped, f"{name}, template", whose, strength, AS_IT_IS, True))
    share = (1 - sum(h.weight for h in leading)) / len(others)
    return leading + [
        Hypothesis(name, family, share, whose, strength, sampler, wrapped)
        for name, family, whose, strength, sampler, wrapped in others
    ]


def prompted(
    ids: Sequence[int],
    base: torch.Tensor,
    target: BoundTarget,
    templated: tuple[Sequence[int], torch.Tensor] | None = None,
) -> Prompted:
    """Base and target after one prompt.

    Args:
        ids: of the prompt.
        base: (V,) logits of the base.
        target: bound, and fitted if it needs that.
        templated: ids and (V,) logits of the base where the prompt is in a chat template.
    """
    tilt = _decoded(target, ids, base)
    return Prompted(
        ids,
        base,
        tilt,
        _decoded(target, ids, tilt),
        None if templated is None else (templated[1], _decoded(target, *templated)),
    )


def _decoded(target: BoundTarget, ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """(V,) logits of a target after some tokens."""
    return target.logits(logits[None], [target.read(ids)[-1]])[0]
