"""What a server may be serving, as exact distributions after every prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tiltlm.auditing.arrays import Array
from tiltlm.serving.verify.hypotheses import Hypothesis, Prompted

_KEPT_BYTES = 512 << 20
"""Distributions that are kept; those of further prompts are made anew each time."""

_MOST_NATS = 5.0
"""A divergence counts as so much at most: what is impossible shows at once, but must be met."""

_LOG_PROB_FLOOR = -100.0
"""Nats, in place of minus infinity, where divergences are computed."""

_ALIKE_NATS = 1e-7
"""Two hypotheses that differ by no more than this at any prompt are the same."""

TELLING = 12
"""Among so many prompts that tell most a server is asked after one, see `design`."""

_TOO_CLOSE = 0.5
"""A hypothesis is not tried where it is this much closer to tilt or base than half the tilt is."""


class Candidates:
    """H hypotheses after M prompts over V tokens.

    Hypotheses that say the same as an earlier one after every prompt are left out: a target that
    is the same whatever the base, say, has no double.

    Nor is anything tried that moves tilt or base much less than halving the tilt does, after the
    prompts that show most of it: to rule that out would take many times as long.

    Args:
        hypotheses: the tilt first, the base second.
        prompts: base and target after each.

    Attributes:
        hypotheses: those that are tried, the tilt first, the base second.
        untried: names of those that are too close to tilt or base.
        prompts: as given.
        divergences: (M, H, H) KL of the first from the second, nats; `_MOST_NATS` at most.
    """

    def __init__(self, hypotheses: Sequence[Hypothesis], prompts: Sequence[Prompted]) -> None:
        self.hypotheses, self.prompts = list(hypotheses), list(prompts)
        self._kept: dict[int, torch.Tensor] = {}
        divergences = torch.stack([_divergences(self.at(m)) for m in range(len(prompts))])
        both = (divergences + divergences.transpose(1, 2)).amax(0)
        distinct = [h for h in range(len(both)) if not (both[h, :h] <= _ALIKE_NATS).any()]
        close = self._too_close(divergences, distinct)
        self.untried = [self.hypotheses[h].name for h in close]
        distinct = [h for h in distinct if h not in close]
        self.hypotheses = [self.hypotheses[h] for h in distinct]
        self._kept = {number: rows[distinct] for number, rows in self._kept.items()}
        self.divergences: Array = divergences[:, distinct][:, :, distinct].double().numpy()

    def _too_close(self, divergences: torch.Tensor, distinct: list[int]) -> list[int]:
        """Numbers of the hypotheses that are too close to tilt or base to be told from them."""
        best = divergences.sort(0, descending=True).values[:TELLING].mean(0)
        closest = torch.minimum(best[:2], best[:, :2].T).amin(0)  # (H,) to tilt or base
        strengths = [h for h in distinct[2:] if self.hypotheses[h].is_strength]
        if not strengths:
            return []
        least = _TOO_CLOSE * float(closest[strengths].min())
        return [h for h in distinct[2:] if h not in strengths and float(closest[h]) < least]

    def at(self, prompt: int) -> torch.Tensor:
        """(H, V) log-probabilities of the next token after a prompt, nats, on the processor.

        Args:
            prompt: its number.
        """
        if prompt in self._kept:
            return self._kept[prompt]
        rows = torch.stack([h.log_probs(self.prompts[prompt]) for h in self.hypotheses]).cpu()
        if (len(self._kept) + 1) * rows.nbytes <= _KEPT_BYTES:
            self._kept[prompt] = rows
        return rows

    def seen(self, prompt: int, ids: Array) -> Array:
        """(H,) log-probabilities that the next token is one of some, nats.

        Args:
            prompt: its number.
            ids: the tokens.
        """
        rows = self.at(prompt)[:, torch.from_numpy(ids)].double()
        seen: Array = rows.logsumexp(-1).numpy()
        return seen


def _divergences(log_probs: torch.Tensor) -> torch.Tensor:
    """(H, H) KL of the first from the second, from (H, V) log-probabilities."""
    finite = log_probs.double().clamp_min(_LOG_PROB_FLOOR)
    probabilities = log_probs.double().exp()
    own = (probabilities * finite).sum(-1, keepdim=True)
    return (own - probabilities @ finite.T).clamp(0.0, _MOST_NATS)
