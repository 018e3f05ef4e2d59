"""How much of a target lies where the body can reach it: in the column space of the head.

If only the body is trained, logits change by W·Δh, so what tells a class of tokens from all others
must be linear in the rows of W. How much of it is can be computed before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tiltlm.models.head import Head
from tiltlm.models.placement import float64_device

_ROWS = 8192
"""Rows of the head that are converted to float64 at once."""


def share_in_column_space(head: Head, classes: torch.Tensor) -> list[float]:
    """R² of each class's mask regressed on the head's rows and a constant.

    Args:
        head: with weights (V, D).
        classes: (A, V) boolean.

    Returns:
        A numbers: 1 where a change of the hidden state can shift exactly that class, 0 where it can
        shift nothing of it.

    >>> head = Head("", torch.tensor([[1.0], [1.0], [0.0], [0.0]]), None, 1.0, None)
    >>> masks = torch.tensor([[True, True, False, False], [True, False, True, False]])
    >>> [round(share, 3) for share in share_in_column_space(head, masks)]
    [1.0, 0.0]
    """
    size, width = head.weight.shape
    device = float64_device(head.weight)
    masks = classes.to(device).double().T
    masks = masks - masks.mean(0)

    def blocks() -> Iterator[tuple[slice, torch.Tensor]]:
        for first in range(0, size, _ROWS):
            tokens = slice(first, first + _ROWS)
            yield tokens, head.weight[tokens].to(device).double()

    mean = torch.zeros(width, dtype=torch.float64, device=device)
    for _, rows in blocks():
        mean += rows.sum(0) / size
    gram = torch.zeros(width, width, dtype=torch.float64, device=device)
    cross = torch.zeros(width, len(classes), dtype=torch.float64, device=device)
    for tokens, rows in blocks():
        rows -= mean
        gram.addmm_(rows.T, rows)
        cross.addmm_(rows.T, masks[tokens])
    explained = (cross * (torch.linalg.pinv(gram, hermitian=True) @ cross)).sum(0)
    total = (masks**2).sum(0).clamp_min(1e-300)
    return [float(share) for share in (explained / total).clamp(0, 1)]
