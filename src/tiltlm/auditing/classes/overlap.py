"""How much two sets of tokens have in common, and how much makes them one class."""

from __future__ import annotations

from collections.abc import Set

SAME_CLASS_JACCARD = 0.5
"""Jaccard index from which on two classes of tokens count as one that was found before."""

SAME_CLASS_OVERLAP = 0.5
"""Overlap coefficient from which on they do, where fewer tokens are seen of a class."""

PART_SHARE = 0.8
"""A class with this share of its tokens in another counts as a part of it."""


def jaccard(first: Set[int], second: Set[int]) -> float:
    """Tokens in both sets over tokens in either (Jaccard 1912).

    Args:
        first: token ids.
        second: token ids.

    Returns:
        between 0 and 1; 0 for two empty sets.

    >>> jaccard({1, 2, 3}, {2, 3, 4})
    0.5
    """
    return len(first & second) / max(1, len(first | second))


def overlap_coefficient(first: Set[int], second: Set[int]) -> float:
    """Tokens in both sets over the tokens of the smaller one (Szymkiewicz and Simpson).

    It is 1 where one set is a part of the other, however large the other is.

    Args:
        first: token ids.
        second: token ids.

    Returns:
        between 0 and 1; 1 where either is empty.

    >>> overlap_coefficient({1, 2}, {2, 3, 4, 5})
    0.5
    """
    smaller = min(len(first), len(second))
    return len(first & second) / smaller if smaller else 1.0


def share_within(part: Set[int], whole: Set[int]) -> float:
    """The share of one set's tokens that another set holds too.

    Args:
        part: token ids.
        whole: token ids.

    Returns:
        between 0 and 1; 1 where ``part`` is empty.

    >>> share_within({1, 2, 3, 4}, {2, 3, 9})
    0.5
    """
    return len(part & whole) / len(part) if part else 1.0
