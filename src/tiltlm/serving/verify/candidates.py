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


class Candidates:
    """H hypotheses after M prompts over V tokens.

    Hypotheses that say the same as an earlier one after every prompt are left out: a target that
    is the same whatever the base, say, has no double.

    Args:
        hypotheses: the tilt first, the base second.
        prompts: base and target after each.

    Attributes:
        hypotheses: those that differ.
        prompts: as given.
        divergences: (M, H, H) KL of the first from the second, nats; `_MOST_NATS` at most.
    """

    def __init__(self, hypotheses: Sequence[Hypothesis], prompts: Sequence[Prompted]) -> None:
        self.hypotheses, self.prompts = list(hypotheses), list(prompts)
        self._kept: dict[int, torch.Tensor] = {}
        divergences = torch.stack([_divergences(self.at(m)) for m in range(len(prompts))])
        both = (divergences + divergences.transpose(1, 2)).amax(0)
        distinct = [h for h in range(len(both)) if not (both[h, :h] <= _ALIKE_NATS).any()]
        self.hypotheses = [self.hypotheses[h] for h in distinct]
        self._kept = {number: rows[distinct] for number, rows in self._kept.items()}
        self.divergences: Array = divergences[:, distinct][:, :, distinct].double().numpy()

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
