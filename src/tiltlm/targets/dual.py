"""The convex dual of a match: strengths that give events wanted mean probabilities.

Of all ways to give K events the mean probabilities p over contexts, the one closest to the
reference in KL is P0·exp(Σ β_k m_k), and β maximises β·p − mean log Σ_a mass_a·exp(β·a), which is
concave (Csiszár 1975; the sums run over the patterns a of membership). Newton's method finds it;
Newton's method on the log-odds of the means then makes demands near 0 or 1 as exact as others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog, minimize, root
from scipy.special import logit

from tiltlm.errors import TargetError
from tiltlm.targets.reweighing import LARGEST_STRENGTH

Array = np.ndarray[Any, Any]

_LARGEST_ERROR = 1e-6
"""By what share of min(p, 1 − p) a mean probability may miss its demand p."""

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
    with np.errstate(all="ignore"):  # Demands that cannot be met lead to means of 0 and 1.
        polished = root(dual.log_odds_missed, solution.x, jac=True, options={"xtol": 1e-13})
        strengths = min(solution.x, polished.x, key=dual.error)
        error, largest = dual.error(strengths), float(np.abs(strengths).max())
    # An error that is no number must not pass.
    if not (error <= _LARGEST_ERROR and largest <= LARGEST_STRENGTH):
        missed = f"off by {error:.2g} of min(p, 1 − p) at best"
        beyond = f"it would take {largest:.3g} nats, and at most {LARGEST_STRENGTH:g} are given"
        raise TargetError(
            "no strengths give these probabilities on these contexts "
            f"({beyond if largest > LARGEST_STRENGTH else missed})",
            where=text,
            fix="ask for less, or give contexts in which the events can happen",
        )
    return [float(strength) for strength in strengths]


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
        share, log_total = self._shares(beta)
        value = float(log_total.mean() - beta @ self.means)
        return value, (share @ self.membership).mean(0) - self.means

    def log_odds_missed(self, beta: Array) -> tuple[Array, Array]:
        """(K,) by how much the means' log-odds miss those wanted, and (K, K) how that grows in β.

        In one context the log-odds of one event grow by exactly β, so that this is nearly linear
        where the means themselves are exponentials.
        """
        mean, other = self._means(beta)
        missed = np.log(mean) - np.log(other) - logit(self.means)
        return missed, self.hessian(beta) / (mean * other)[:, None]

    def error(self, beta: Array) -> float:
        """The largest share of min(p, 1 − p) by which a mean misses its demand p."""
        mean, other = self._means(beta)
        wanted = np.minimum(self.means, 1 - self.means)
        rarer = np.where(self.means < 0.5, mean, other)
        return float(np.abs(rarer / wanted - 1).max())

    def _means(self, beta: Array) -> tuple[Array, Array]:
        """(K,) mean probabilities of the events and of their complements, each summed by itself."""
        share = self._shares(beta)[0].mean(0)
        return share @ self.membership, share @ (1 - self.membership)

    def _shares(self, beta: Array) -> tuple[Array, Array]:
        """(N, 1 + A) probability of each pattern in each context, and (N, 1) log-normalisers."""
        weight = self.logs + self.membership @ beta
        log_total = np.logaddexp.reduce(weight, axis=1, keepdims=True)
        return np.exp(weight - log_total), log_total

    def hessian(self, beta: Array) -> Array:
        """(K, K) the mean over contexts of the covariance of membership in the events."""
        share, _ = self._shares(beta)
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
    # Each demand is put as one of the rarer side, in units of that, as the solver's tolerances
    # are absolute.
    rarer = np.minimum(means, 1 - means)
    sides = np.where(means < 0.5, membership, 1 - membership)
    solution = linprog(
        np.zeros(count),
        A_eq=np.vstack([sides.T / rarer[:, None], np.ones(count)]),
        b_eq=np.ones(len(means) + 1),
        bounds=[(1e-9 * float(rarer.min()), 1)] * count,
    )
    return bool(solution.status == 0)
