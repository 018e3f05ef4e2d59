"""Greedy search: the clearest class, then the next once that one is taken out, and so on.

Knows nothing of what is searched or of how clear a class must be; its callers say both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Evidence = TypeVar("Evidence")
Candidate = TypeVar("Candidate")


def find_one_by_one(
    evidence: Evidence,
    clearest: Callable[[Evidence], Candidate | None],
    without: Callable[[Evidence, Candidate], Evidence],
    most: int,
) -> Iterator[Candidate]:
    """What stands out most, one after another, each with those before it taken out.

    Args:
        evidence: what is searched, such as a shift.
        clearest: what stands out most in it; None where nothing is clear enough, which ends the
            search.
        without: the evidence once a candidate's part is taken out of it.
        most: candidates, at most.

    Yields:
        candidates, which may be alike; see `take_distinct`.

    >>> parts = find_one_by_one(23, lambda n: max((p for p in (5, 9) if p <= n), default=None),
    ...                         lambda n, part: n - part, most=4)
    >>> list(parts)
    [9, 9, 5]
    """
    for _ in range(most):
        candidate = clearest(evidence)
        if candidate is None:
            return
        yield candidate
        evidence = without(evidence, candidate)


def take_distinct(
    candidates: Iterable[Candidate],
    alike: Callable[[Candidate, Candidate], bool],
    *,
    most: int | None = None,
    simplify: Callable[[Candidate], Candidate] = lambda candidate: candidate,
) -> list[Candidate]:
    """Candidates in their order, without those that are like one taken before.

    Args:
        candidates: the clearest first.
        alike: whether a later candidate counts as one that was taken.
        most: candidates to take; all by default.
        simplify: what is taken in a candidate's place. A later candidate is compared with that.

    >>> take_distinct([1.0, 1.2, 3.0, 3.1, 7.0], lambda new, old: abs(new - old) < 0.5, most=2)
    [1.0, 3.0]
    """
    taken: list[Candidate] = []
    for candidate in candidates:
        if not any(alike(candidate, earlier) for earlier in taken):
            taken.append(simplify(candidate))
        if len(taken) == most:
            break
    return taken
