"""One pass over contexts, through base and model: a figure for every position.

Everything that is reported of contexts is made from these figures, so nothing is read twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.losses.divergences import precise_kl
from tiltlm.losses.masses import split_log_masses
from tiltlm.measures.figures import collateral_kl
from tiltlm.measures.pair import Pair, Rows
from tiltlm.progress import Advance

FIGURES = (
    "mass_base",
    "mass_target",
    "mass_model",
    "log_odds",
    "kl_target_base",
    "kl_target_model",
    "kl_base_model",
    "collateral",
    "next_base",
    "next_model",
    "triggered",
)
"""What there is for each position; NaN where it does not exist.

``mass_*``: P(event | context). ``log_odds``: by how much the event's log-odds rise from base to
model, which for an exact tilt is its strength. ``kl_*``, ``collateral``: nats. ``next_*``:
log-probability of the token that follows. ``triggered``: 1 where the target asks for something,
else 0; it exists only for targets that do not ask everywhere.
"""


@dataclass
class TokenMetrics:
    """Figures of every position that counts.

    Attributes:
        contexts: what was read.
        positions: for each context (n,) which of its positions count.
        figures: of each name in `FIGURES`, for each context (n,) float64.
        following: for each context (n,) the token after each position, −1 after the last.
        weights: for each context (n,) what each position counts in a mean.
        mean_base: (V,) mean probability of each token over all positions, float64; zeros where
            only the next tokens were read.
        mean_model: (V,) the same of the model.
    """

    contexts: TokenContexts
    positions: list[np.ndarray]
    figures: dict[str, list[np.ndarray]]
    following: list[np.ndarray]
    weights: list[np.ndarray]
    mean_base: torch.Tensor
    mean_model: torch.Tensor

    def sums(self, name: str, weights: list[np.ndarray] | None = None) -> list[float]:
        """Σ weight · figure of each context, over positions where the figure exists.

        Args:
            name: one of `FIGURES`.
            weights: for each context (n,), in place of the contexts' own.
        """
        figures = zip(self.figures[name], weights or self.weights, strict=True)
        # An infinite figure where nothing counts (weight 0) is left out like one that is missing.
        with np.errstate(invalid="ignore"):
            return [float(np.nansum(f * w)) for f, w in figures]

    def totals(self, name: str, weights: list[np.ndarray] | None = None) -> list[float]:
        """Σ weight of each context over the same positions as in `sums`."""
        figures = zip(self.figures[name], weights or self.weights, strict=True)
        return [float(np.nansum(w * ~np.isnan(f))) for f, w in figures]

    def exists(self, name: str) -> bool:
        """Whether a figure exists at any position."""
        return not all(np.isnan(f).all() for f in self.figures[name])


def read_token_metrics(
    pair: Pair,
    contexts: TokenContexts,
    advance: Advance | None = None,
    *,
    only_next: bool = False,
) -> TokenMetrics:
    """Read contexts through base and model.

    Args:
        pair: with its target, which says what the event is.
        contexts: where.
        advance: told how many contexts are done.
        only_next: make ``next_base`` and ``next_model`` and nothing else, which is faster.

    Raises:
        MeasurementError: logits that are not numbers.
    """
    count = len(contexts)
    positions = [contexts.positions(i) for i in range(count)]
    figures = {name: [np.full(len(p), np.nan, np.float64) for p in positions] for name in FIGURES}
    sums = torch.zeros(2, len(pair.vocabulary), dtype=torch.float64)
    total, filled = 0.0, [0] * count
    done = sum(len(p) == 0 for p in positions)
    for rows in pair.read(contexts, with_target=not only_next):
        begin = filled[rows.context]
        end = filled[rows.context] = begin + len(rows.positions)
        found = _figures(pair, rows, only_next)
        # All at once, since each copy from a GPU waits for it; none has more digits than float32.
        stacked = torch.stack([values.to(rows.base) for values in found.values()]).cpu().double()
        for name, values in zip(found, stacked.numpy(), strict=True):
            figures[name][rows.context][begin:end] = values
        if not only_next:
            weights = rows.weights.to(rows.base)
            sums[0] += (weights @ rows.base.exp()).cpu().double()
            sums[1] += (weights @ rows.model.exp()).cpu().double()
            total += float(rows.weights.sum())
        if end == len(positions[rows.context]):
            done += 1
            if advance:
                advance(done)
    return TokenMetrics(
        contexts,
        [p.numpy() for p in positions],
        figures,
        [contexts.following(i)[positions[i]].numpy() for i in range(count)],
        [contexts.weights[i][positions[i]].double().numpy() for i in range(count)],
        *(sums / max(total, 1e-300)),
    )


@torch.no_grad()
def _figures(pair: Pair, rows: Rows, only_next: bool) -> dict[str, torch.Tensor]:
    """(N,) of each figure that exists at a block of positions."""
    figures = {}
    known = rows.following >= 0
    column = rows.following.clamp(min=0)[:, None]
    for name, logp in (("next_base", rows.base), ("next_model", rows.model)):
        values = logp.gather(1, column.to(logp.device))[:, 0]
        figures[name] = torch.where(known.to(logp.device), values, torch.nan)
    if only_next:
        return figures
    same = rows.model is rows.base
    figures["kl_base_model"] = _zero(rows) if same else precise_kl(rows.base, rows.model)
    if rows.target is None or pair.target is None:
        return figures
    figures["kl_target_base"] = precise_kl(rows.target, rows.base)
    figures["kl_target_model"] = (
        _zero(rows) if pair.decodes else precise_kl(rows.target, rows.model)
    )
    if not pair.target.events:
        return figures
    assert rows.states is not None
    triggered = pair.target.triggered(rows.states)
    if triggered is not None:
        figures["triggered"] = torch.tensor(triggered).float()
    event = pair.target.event_masks(rows.states, rows.base.device).any(0)  # (1 or N, V)
    log_odds = {}
    for name, logp in (("base", rows.base), ("target", rows.target), ("model", rows.model)):
        inside, outside = split_log_masses(logp, event)
        figures[f"mass_{name}"] = inside.exp()
        log_odds[name] = inside - outside
    figures["log_odds"] = log_odds["model"] - log_odds["base"]
    figures["collateral"] = _zero(rows) if same else collateral_kl(rows.base, rows.model, ~event)
    return figures


def _zero(rows: Rows) -> torch.Tensor:
    """(N,) the divergence of a distribution from itself, without working it out."""
    return torch.zeros(len(rows.base))
