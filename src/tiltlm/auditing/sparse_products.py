"""Products in float64 of a dense or sparse array with a tensor, where the tensor lies.

Classes of tokens are sparse masks. On a processor scipy multiplies them; on a GPU torch does, for
there the tensor would otherwise be moved for each product.
"""

from __future__ import annotations

import torch
from scipy.sparse import csc_matrix, csr_matrix

from tiltlm.auditing.arrays import Array
from tiltlm.models.placement import float64_device


def in_float64(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in float64 where it lies, or on the processor if there is no float64 there.

    Args:
        tensor: anywhere.
    """
    return tensor.to(float64_device(tensor)).double()


def times(values: Array | csr_matrix | csc_matrix, rows: torch.Tensor) -> torch.Tensor:
    """Sums of rows, weighted by values.

    Args:
        values: (N, n), also a sparse matrix.
        rows: (n, C) float64.

    Returns:
        (N, C) float64 values @ rows, where the rows lie.

    >>> from scipy.sparse import csr_matrix
    >>> times(csr_matrix([[1.0, 2.0]]), torch.tensor([[1.0], [10.0]], dtype=torch.float64)).tolist()
    [[21.0]]
    """
    if isinstance(values, Array):
        return torch.as_tensor(values).to(rows) @ rows
    if rows.device.type == "cpu":
        return torch.from_numpy(values @ rows.numpy())
    by_row = values.tocsr()
    arrays = (by_row.indices, by_row.indptr[:-1], by_row.data)
    columns, begins, weights = (torch.from_numpy(array).to(rows.device) for array in arrays)
    return torch.nn.functional.embedding_bag(
        columns, rows, begins, mode="sum", per_sample_weights=weights.to(rows.dtype)
    )


def squared(columns: torch.Tensor) -> torch.Tensor:
    """The products of columns with each other.

    Args:
        columns: (n, C) float64.

    Returns:
        (C, C), where the columns lie.

    >>> squared(torch.tensor([[3.0], [4.0]], dtype=torch.float64)).tolist()
    [[25.0]]
    """
    if columns.device.type == "cpu":
        # numpy sees that the product is symmetric, and computes half of it.
        return torch.from_numpy(columns.numpy().T @ columns.numpy())
    return columns.T @ columns
