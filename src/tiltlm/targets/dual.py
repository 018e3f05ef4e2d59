"""The convex dual of a match: strengths that give events wanted mean probabilities.

Of all ways to give K events the mean probabilities p over contexts, the one closest to the
reference in KL is P0·exp(Σ β_k m_k), and β maximises β·p − mean log Σ_a mass_a·exp(β·a), which is
concave (Csiszár 1975; the sums run over the patterns a of membership). Newton's method finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog, minimize

from tiltlm.errors import TargetError
from tiltlm.targets.reweighing import LARGEST_STRENGTH

Array = np.ndarray[Any, Any]

_LARGEST_ERROR = 1e-6
"""By how much a mean probability may miss its demand."""

_POSSIBLE = 1e-30
"""A pattern of membership whose probability is above this in some context can be asked for."""


def solve_dual(
    log_masses: Array,
    patterns: Sequence[Sequence[int]],
    means: Sequence[float],
    names: Sequence[str],
    text: str,
) -> list[float]:
    """Find the strengths β, one an event, in nats.

    Args:
        log_masses: (N, A) log-probability of each pattern of membership, in N contexts; the empty
            pattern has what is left of 1.
        patterns: A patterns of K zeros and ones.
        means: K mean probabilities that are wanted.
        names: of the K events, for errors.
        text: the target as it was written, for errors.

    Returns:
        K strengths.

    Raises:
        TargetError: the demands contradict each other, or cannot be reached on these contexts.

    >>> half = np.log([[0.5], [0.5]])
    >>> [round(b, 4) for b in solve_dual(half, [[1]], [0.731058579], ["x"], "match")]
    [1.0]
    """
    membership = np.array([[0] * len(means), *patterns], dtype=float)  # (1 + A, K)
    inside = np.exp(log_masses)
    outside = np.log(np.clip(1 - inside.sum(1, keepdims=True), 1e-300, 1))
    logs = np.concatenate([outside, log_masses], axis=1)
    wanted = np.array(means)
    possible = (np.exp(logs) > _POSSIBLE).any(axis=0)
    _check_possible(membership[possible], wanted, names, text)
    dual = _Dual(logs, membership, wanted)
    solution = minimize(
        dual.negative,
        np.zeros(len(means)),
        jac=True,
        hess=dual.hessian,
        method="trust-exact",
        options={"gtol": 1e-10, "maxiter": 500},
    )
    error = float(np.abs(dual.negative(solution.x)[1]).max())
    if error > _LARGEST_ERROR or np.abs(solution.x).max() > LARGEST_STRENGTH:
        raise TargetError(
            f"no strengths give these probabilities on these contexts (off by {error:.2g} at best)",
            where=text,
            fix="ask for less, or give contexts in which the events can happen",
        )
    return [float(strength) for strength in solution.x]


@dataclass(frozen=True)
class _Dual:
    """The negated dual, which is to be minimised, and its derivatives.

    Attributes:
        logs: (N, 1 + A) log-probability of each pattern in each context, the empty one first.
        membership: (1 + A, K) the patterns, as zeros and ones.
        means: (K,) mean probabilities that are wanted.
    """

    logs: Array
    membership: Array
    means: Array

    def negative(self, beta: Array) -> tuple[float, Array]:
        """The negated dual at (K,) strengths, and its gradient: by how much the means miss."""
        weight = self.logs + self.membership @ beta
        top = weight.max(1, keepdims=True)
        share = np.exp(weight - top)
        total = share.sum(1, keepdims=True)
        mean = (share / total) @ self.membership
        value = float((np.log(total) + top).mean() - beta @ self.means)
        return value, mean.mean(0) - self.means

    def hessian(self, beta: Array) -> Array:
        """(K, K) the mean over contexts of the covariance of membership in the events."""
        weight = self.logs + self.membership @ beta
        share = np.exp(weight - weight.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        mean = share @ self.membership
        second = np.einsum("na,ak,al->kl", share, self.membership, self.membership) / len(share)
        return np.asarray(second - mean.T @ mean / len(share))


def _check_possible(membership: Array, means: Array, names: Sequence[str], text: str) -> None:
    """Refuse demands that no distribution over the patterns meets, naming a smallest such set."""
    if _feasible(membership, means):
        return
    clash = list(range(len(means)))
    for k in list(clash):
        others = [j for j in clash if j != k]
        if others and not _feasible(membership[:, others], means[others]):
            clash = others
    demands = " and ".join(f"{names[k]} = {means[k]:g}" for k in clash)
    raise TargetError(
        f"these demands contradict each other: {demands}"
        if len(clash) > 1
        else f"this demand cannot be met: {demands}",
        where=text,
        fix="events that overlap, or hold each other, bind each other's probabilities",
    )


def _feasible(membership: Array, means: Array) -> bool:
    """Whether some distribution with a little of every pattern has these mean memberships."""
    count = len(membership)
    solution = linprog(
        np.zeros(count),
        A_eq=np.vstack([membership.T, np.ones(count)]),
        b_eq=np.append(means, 1.0),
        bounds=[(1e-9, 1)] * count,
    )
    return bool(solution.status == 0)
