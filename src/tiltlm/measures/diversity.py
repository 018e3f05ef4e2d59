"""What samples look like: variety, repetition, degeneration. Knows token ids, nothing else."""

from __future__ import annotations

import torch

LOOPING = 0.5
"""A sample has degenerated where more than this share of its 4-grams repeat earlier ones."""


def distinct(sequence: list[int], n: int) -> float:
    """Different n-grams over n-grams; 1 where there is no n-gram.

    Source: Li et al. 2016, distinct-n.

    >>> distinct([1, 2, 1, 2], 2)
    0.6666666666666666
    """
    grams = list(zip(*(sequence[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else 1.0


def diversity_of(samples: torch.Tensor) -> dict[str, list[float]]:
    """Figures of each sample.

    Args:
        samples: (samples, tokens) ids.

    Returns:
        one value a sample of each of: ``distinct-1`` and ``distinct-2``; ``repeated 4-grams``,
        1 − distinct-4; ``degenerated``, 1 where that is above `LOOPING`, else 0.

    >>> diversity_of(torch.tensor([[5, 5, 5, 5, 5, 5]]))["repeated 4-grams"]
    [0.6666666666666667]
    """
    rows = samples.tolist()
    repeated = [1 - distinct(row, 4) for row in rows]
    return {
        "distinct-1": [distinct(row, 1) for row in rows],
        "distinct-2": [distinct(row, 2) for row in rows],
        "repeated 4-grams": repeated,
        "degenerated": [float(share > LOOPING) for share in repeated],
    }
