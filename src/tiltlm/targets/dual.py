"""The convex dual of a match: strengths that give events wished mean probabilities.

Of all ways to give K events the mean masses p over contexts, the one closest to the reference in
KL is P0·exp(Σ β_k m_k), and β maximises β·p − mean log Σ_a mass_a·exp(β·a), which is concave
(Csiszár 1975; the sums run over the patterns a of membership). Newton's method finds it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog, minimize

from tiltlm.errors import TargetError


def solve_dual(
    log_masses: np.ndarray,
    patterns: Sequence[Sequence[int]],
    wishes: Sequence[float],
    names: Sequence[str],
    text: str,
) -> list[float]:
    """Strengths β, one an event, in nats.

    Args:
        log_masses: (N, A) log-probability of each pattern of membership, in N contexts; the empty
            pattern has what is left of 1.
        patterns: A patterns of K zeros and ones.
        wishes: K mean probabilities.
        names: K, for the error.
        text: the target, for the error.

    Raises:
        TargetError: the wishes contradict each other, or cannot be reached here.

    >>> half = np.log([[0.5], [0.5]])
    >>> [round(b, 4) for b in solve_dual(half, [[1]], [0.731058579], ["x"], "match")]
    [1.0]
    """
    membership = np.array([[0] * len(wishes), *patterns], dtype=float)  # (1 + A, K)
    inside = np.exp(log_masses)
    outside = np.log(np.clip(1 - inside.sum(1, keepdims=True), 1e-300, 1))
    logs = np.concatenate([outside, log_masses], axis=1)
    possible = (np.exp(logs) > 1e-30).any(axis=0)
    _check_possible(membership[possible], np.array(wishes), names, text)
    target = np.array(wishes)

    def negative_dual(beta: np.ndarray) -> tuple[float, np.ndarray]:
        weight = logs + membership @ beta
        top = weight.max(1, keepdims=True)
        share = np.exp(weight - top)
        total = share.sum(1, keepdims=True)
        mean = (share / total) @ membership
        value = float((np.log(total) + top).mean() - beta @ target)
        return value, mean.mean(0) - target

    def hessian(beta: np.ndarray) -> np.ndarray:
        weight = logs + membership @ beta
        share = np.exp(weight - weight.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        mean = share @ membership
        second = np.einsum("na,ak,al->kl", share, membership, membership) / len(share)
        found: np.ndarray = second - mean.T @ mean / len(share)
        return found

    found = minimize(
        negative_dual,
        np.zeros(len(wishes)),
        jac=True,
        hess=hessian,
        method="trust-exact",
        options={"gtol": 1e-10, "maxiter": 500},
    )
    error = float(np.abs(negative_dual(found.x)[1]).max())
    if error > 1e-6 or np.abs(found.x).max() > 50:
        raise TargetError(
            f"no strengths give these probabilities on these contexts (off by {error:.2g} at best)",
            where=text,
            fix="ask for less, or give contexts in which the events can happen",
        )
    return [float(b) for b in found.x]


def _check_possible(
    membership: np.ndarray, wishes: np.ndarray, names: Sequence[str], text: str
) -> None:
    """Refuse wishes that no distribution over the patterns has, naming a smallest such set."""
    if _feasible(membership, wishes):
        return
    clash = list(range(len(wishes)))
    for k in list(clash):
        rest = [j for j in clash if j != k]
        if rest and not _feasible(membership[:, rest], wishes[rest]):
            clash = rest
    demands = " and ".join(f"{names[k]} = {wishes[k]:g}" for k in clash)
    raise TargetError(
        f"these demands contradict each other: {demands}"
        if len(clash) > 1
        else f"this demand cannot be met: {demands}",
        where=text,
        fix="events that overlap, or hold each other, bind each other's probabilities",
    )


def _feasible(membership: np.ndarray, wishes: np.ndarray) -> bool:
    """Whether some distribution with a little of every pattern has these mean memberships."""
    count = len(membership)
    found = linprog(
        np.zeros(count),
        A_eq=np.vstack([membership.T, np.ones(count)]),
        b_eq=np.append(wishes, 1.0),
        bounds=[(1e-9, 1)] * count,
    )
    return bool(found.status == 0)
