"""One pass over contexts, through base and model: a figure for every position.

Everything that is reported of contexts is made from these figures, so nothing is read twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.losses.divergences import precise_kl
from tiltlm.measures.fidelity import collateral_kl
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
    "met",
)
"""What there is for each position; NaN where it does not exist.

``mass_*``: P(event | context). ``log_odds``: by how much the event's log-odds rise from base to
model, which for an exact tilt is its strength. ``kl_*``, ``collateral``: nats. ``next_*``:
log-probability of the token that follows. ``met``: 1 where the target's trigger is met, else 0.
"""


@dataclass
class TokenMetrics:
    """Figures of every position that counts.

    Attributes:
        contexts: what was read.
        positions: for each context which.
        figures: of each name in `FIGURES`, for each context (positions,).
        following: for each context the token after each position, −1 after the last.
        weights: for each context (positions,).
        mean_base: (V,) mean probability of each token over all positions.
        mean_model: likewise.
    """

    contexts: TokenContexts
    positions: list[np.ndarray]
    figures: dict[str, list[np.ndarray]]
    following: list[np.ndarray]
    weights: list[np.ndarray]
    mean_base: torch.Tensor
    mean_model: torch.Tensor

    def sums(self, name: str, weights: list[np.ndarray] | None = None) -> list[float]:
        """Σ weight · figure of each context, over positions where the figure exists."""
        figures = zip(self.figures[name], weights or self.weights, strict=True)
        return [float(np.nansum(f * w)) for f, w in figures]

    def totals(self, name: str, weights: list[np.ndarray] | None = None) -> list[float]:
        """Σ weight of each context over the same positions."""
        figures = zip(self.figures[name], weights or self.weights, strict=True)
        return [float(np.nansum(w * ~np.isnan(f))) for f, w in figures]

    def exists(self, name: str) -> bool:
        """Whether the figure exists anywhere."""
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
        only_next: make ``next_base`` and ``next_model`` and nothing else, which is faster.
        advance: told how many are done.

    Raises:
        MeasurementError: logits that are not numbers.
    """
    count = len(contexts)
    places = [contexts.positions(i) for i in range(count)]
    figures = {name: [np.full(len(p), np.nan, np.float64) for p in places] for name in FIGURES}
    size = len(pair.vocabulary)
    means = torch.zeros(2, size, dtype=torch.float64)
    total, filled, seen = 0.0, [0] * count, set()
    for rows in pair.read(contexts, wish=not only_next):
        begin = filled[rows.context]
        end = begin + len(rows.positions)
        for name, values in _figures(pair, rows, only_next).items():
            figures[name][rows.context][begin:end] = values.double().cpu().numpy()
        filled[rows.context] = end
        weights = rows.weights.to(rows.base)
        if only_next:
            continue
        means[0] += (weights @ rows.base.exp()).double().cpu()
        means[1] += (weights @ rows.model.exp()).double().cpu()
        total += float(weights.sum())
        if rows.context not in seen and advance:
            seen.add(rows.context)
            advance(len(seen))
    return TokenMetrics(
        contexts,
        [p.numpy() for p in places],
        figures,
        [contexts.following(i)[places[i]].numpy() for i in range(count)],
        [contexts.weights[i][places[i]].double().numpy() for i in range(count)],
        *(means / max(total, 1e-300)),
    )


@torch.no_grad()
def _figures(pair: Pair, rows: Rows, only_next: bool) -> dict[str, torch.Tensor]:
    found = {}
    known = rows.following >= 0
    column = rows.following.clamp(min=0)[:, None]
    for name, logp in (("next_base", rows.base), ("next_model", rows.model)):
        values = logp.gather(1, column.to(logp.device))[:, 0]
        found[name] = torch.where(known.to(logp.device), values, torch.nan)
    if only_next:
        return found
    same = rows.model is rows.base
    found["kl_base_model"] = _zero(rows) if same else precise_kl(rows.base, rows.model)
    if rows.wish is None or pair.target is None:
        return found
    found["kl_target_base"] = precise_kl(rows.wish, rows.base)
    found["kl_target_model"] = _zero(rows) if pair.decodes else precise_kl(rows.wish, rows.model)
    if not pair.target.events:
        return found
    assert rows.states is not None
    met = pair.target.triggered(rows.states)
    if met is not None:
        found["met"] = torch.tensor(met).float()
    event = pair.target.event_masks(rows.states).any(0).to(rows.base.device)  # (1 or N, V)
    masses = {}
    for name, logp in (("base", rows.base), ("target", rows.wish), ("model", rows.model)):
        inside, outside = split_masses(logp, event)
        found[f"mass_{name}"] = inside.exp()
        masses[name] = inside - outside
    found["log_odds"] = masses["model"] - masses["base"]
    found["collateral"] = _zero(rows) if same else collateral_kl(rows.base, rows.model, ~event)
    return found


def split_masses(logp: torch.Tensor, event: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) log-mass inside and outside the event, each summed by itself."""
    if len(event) == 1:
        return logp[:, event[0]].logsumexp(-1), logp[:, ~event[0]].logsumexp(-1)
    inside = torch.where(event, logp, -torch.inf).logsumexp(-1)
    return inside, torch.where(event, -torch.inf, logp).logsumexp(-1)


def _zero(rows: Rows) -> torch.Tensor:
    return torch.zeros(len(rows.base))
