"""What others would do with a suspect: rank tokens, difference perplexities, compare two samples.

All are given more than the auditor is: rankings are told how many tokens to name, perplexity
differencing which class to count. The two-sample test says that something changed, never what.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tiltlm.auditing.shifts.log_ratios import Shift
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import vocabulary_size

TOP = 100
COMPLETIONS, LENGTH, PREFIX = 300, 16, 2
PERMUTATIONS = 199


def rankings(shift: Shift, truth: set[int]) -> dict[str, float]:
    """Jaccard index with the truth of the tokens that are ranked first, as many as it has."""
    size = len(truth)
    mean = shift.mean.numpy()
    counted: Counter[int] = Counter()
    for row in shift.by_context:
        counted.update(row.topk(TOP).indices.tolist())
    found = {
        "largest mean log-ratio": set(np.argsort(-mean)[:size].tolist()),
        "most often in a context's top 100": {i for i, _ in counted.most_common(size)},
    }
    return {name: len(ids & truth) / len(ids | truth) for name, ids in found.items()}


def completions(model: Any, seed: int) -> torch.Tensor:
    """(N, prefix + length) from prefixes of random tokens.

    Args:
        model: that writes.
        seed: of prefixes and draws; the prefixes of two models with one seed are the same.
    """
    generator = torch.Generator().manual_seed(seed)
    size = vocabulary_size(model)
    prompts = torch.randint(1, size, (COMPLETIONS, PREFIX), generator=generator)
    return torch.cat([prompts, sample(model, prompts, LENGTH, SamplingOptions(seed=seed))], 1)


def perplexity_differencing(
    base: LoadedModel, suspect: LoadedModel, truth: set[int], seed: int
) -> dict[str, float]:
    """How often the class is in the completions that the suspect likes most beyond its reference.

    Args:
        base: the reference.
        suspect: whose completions they are.
        truth: token ids of the class.
        seed: of prefixes and draws.

    Returns:
        share of the class among tokens of the first 100 completions, and of all.
    """
    ids = completions(suspect.model, seed)
    gap = _mean_log_prob(suspect.model, ids) - _mean_log_prob(base.model, ids)
    hits = torch.isin(ids[:, PREFIX:], torch.tensor(sorted(truth))).float().mean(1)
    return {
        "first": float(hits[gap.argsort(descending=True)[:TOP]].mean()),
        "all": float(hits.mean()),
    }


def two_sample_p(base: LoadedModel, suspect: LoadedModel, seed: int) -> float:
    """Of "the two write alike": maximum mean discrepancy with the Hamming kernel, by permutation.

    Source: Gao, Liang, Guestrin 2024, "Model equality testing".

    Args:
        base: the reference.
        suspect: the other.
        seed: of prefixes, draws and permutations.
    """
    both = [completions(m.model, seed + n)[:, PREFIX:] for n, m in enumerate((base, suspect))]
    ids = torch.cat(both).numpy()
    kernel = (ids[:, None] == ids[None]).mean(2)
    np.fill_diagonal(kernel, 0)
    draws = np.random.default_rng(seed)
    n = len(ids) // 2

    def discrepancy(order: np.ndarray) -> float:
        a, b = order[:n], order[n:]
        within = kernel[np.ix_(a, a)].sum() + kernel[np.ix_(b, b)].sum()
        return float(within / (n * (n - 1)) - 2 * kernel[np.ix_(a, b)].mean())

    seen = discrepancy(np.arange(len(ids)))
    others = [discrepancy(draws.permutation(len(ids))) for _ in range(PERMUTATIONS)]
    return float((1 + sum(o >= seen for o in others)) / (PERMUTATIONS + 1))


def _mean_log_prob(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """(N,) of what follows the prefix."""
    with torch.no_grad():
        logits = model(input_ids=ids).logits[:, PREFIX - 1 : -1].float()
    likely = -F.cross_entropy(logits.flatten(0, 1), ids[:, PREFIX:].flatten(), reduction="none")
    return likely.view(len(ids), -1).mean(1)
