"""The rows of an output head, float64 a block of tokens at a time.

As one float64 matrix the rows of a head in bfloat16 would be four times as large as the head. All
that an audit needs of them are sums over tokens and products with a few vectors, which take a block
after another, where the head lies: on a GPU that is hundreds of times as fast as beside it. Knows
no classes and no benign changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csr_matrix

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.sparse_products import in_float64, squared, times
from tiltlm.errors import ModelError
from tiltlm.models.head import Head

_BLOCK_NUMBERS = 1 << 23
"""Numbers of a block, which are 64 MiB in float64."""

_EIGENVALUE_TOLERANCE = 1e-12
"""Directions with less than this share of the largest eigenvalue are left out of a basis."""

_CONSTANT = 1e-24
"""A column of which centring leaves a smaller share of its squared length is constant."""

_WELL_CONDITIONED = 1e-6
"""Above this share of the largest eigenvalue a basis is orthonormal to ten digits at once."""


@dataclass(frozen=True)
class HeadRows:
    """(V, C) numbers for each token: a head's rows as they act on logits, with others before them.

    Attributes:
        weight: (V, D) of the head, shared with the model, in its own type.
        scale: of the rows.
        before: (V, C - D) columns that stand before those of the head; None for none.
        centre: (C,) that is taken off each row; None for nothing.
    """

    weight: torch.Tensor
    scale: float = 1.0
    before: Array | None = None
    centre: Array | None = None

    @classmethod
    def of(cls, head: Head | None) -> HeadRows:
        """The rows of a head.

        Args:
            head: of the reference; None where its logits are not a product with one.

        Raises:
            ModelError: there is no head.
        """
        if head is None:
            raise ModelError(
                "the reference's logits are no product of a linear head, and without one there is "
                "no telling what a moved body explains",
                fix="audit a model whose head transformers knows as its output embeddings",
            )
        return cls(head.weight.detach(), head.scale)

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def width(self) -> int:
        """C, numbers for each token."""
        return self.weight.shape[1] + (0 if self.before is None else self.before.shape[1])

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """The tokens of each block, and their rows.

        Yields:
            a slice of the V tokens, and (n, C) float64 where the head lies, or on the processor if
            there is no float64 there.
        """
        size = max(1, _BLOCK_NUMBERS // max(1, self.width))
        for begin in range(0, len(self), size):
            tokens = slice(begin, min(begin + size, len(self)))
            yield tokens, self._made(self.weight[tokens], tokens)

    def tensors(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """The head's own rows, for products that are made where the head lies.

        Yields:
            a slice of the V tokens, and (n, D) float32.
        """
        size = max(1, _BLOCK_NUMBERS // max(1, self.weight.shape[1]))
        for begin in range(0, len(self), size):
            tokens = slice(begin, min(begin + size, len(self)))
            yield tokens, self.weight[tokens].float() * self.scale

    def at(self, tokens: Array) -> Array:
        """The rows of some tokens.

        Args:
            tokens: (...) ids.

        Returns:
            (..., C) float64.
        """
        flat = tokens.reshape(-1)
        index = torch.as_tensor(flat, device=self.weight.device, dtype=torch.long)
        return self._made(self.weight[index], flat).cpu().numpy().reshape(*tokens.shape, -1)

    def _made(self, weight: torch.Tensor, tokens: Array | slice) -> torch.Tensor:
        """(n, C) float64 rows of some tokens, from their (n, D) weights."""
        rows = in_float64(weight) * self.scale
        if self.before is not None:
            rows = torch.cat([torch.as_tensor(self.before[tokens]).to(rows), rows], 1)
        return rows if self.centre is None else rows.sub_(torch.as_tensor(self.centre).to(rows))

    @cached_property
    def mean(self) -> Array:
        """(C,) mean over tokens."""
        return _summed(rows.sum(0) for _, rows in self.blocks()) / len(self)

    def centred(self) -> HeadRows:
        """The same rows with their mean taken off."""
        centre = self.mean if self.centre is None else self.centre + self.mean
        return replace(self, centre=centre)

    def products_with(self, values: Array | csr_matrix) -> Array:
        """Sums of the rows, weighted by values.

        Args:
            values: (N, V), also a sparse matrix.

        Returns:
            (N, C) values @ rows.
        """
        columns = values if isinstance(values, Array) else values.tocsc()
        return _summed(times(columns[:, tokens], rows) for tokens, rows in self.blocks())

    def along(self, directions: Array) -> Array:
        """The rows along some directions.

        Args:
            directions: (N, C).

        Returns:
            (N, V) directions @ rows transposed.
        """
        products = np.empty((len(directions), len(self)))
        for tokens, rows in self.blocks():
            products[:, tokens] = (torch.as_tensor(directions).to(rows) @ rows.T).cpu().numpy()
        return products

    @cached_property
    def gram(self) -> Array:
        """(C, C) products of the columns with each other."""
        return _summed(squared(rows) for _, rows in self.blocks())

    def orthonormal_mixing(self, gram: Array | None = None) -> Array:
        """Turns the columns into an orthonormal basis of what they span.

        By the eigenvectors of the Gram matrix, twice where once is not exact, which is as exact as
        a QR decomposition, several times as fast, and takes no memory of the size of the rows.

        Args:
            gram: as the attribute, where it is known already.

        Returns:
            (C, R) of rank R: rows @ mixing has orthonormal columns.

        >>> rows = HeadRows(torch.tensor([[3.0, 6.0], [4.0, 8.0]]))
        >>> basis = rows.at(np.arange(2)) @ rows.orthonormal_mixing()
        >>> basis.shape, [round(abs(float(x)), 6) for x in basis[:, 0]]
        ((2, 1), [0.6, 0.8])
        """
        gram = self.gram if gram is None else gram
        squares = np.diag(gram)
        # Of a column that is the same for every token, centring leaves rounding.
        before = squares if self.centre is None else squares + len(self) * self.centre**2
        mixing = np.diag(1 / np.sqrt(np.where(squares > _CONSTANT * before, squares, np.inf)))
        mixing, condition = _whiten(mixing, mixing @ gram @ mixing)
        if condition < _WELL_CONDITIONED:
            mixing, _ = _whiten(mixing, self._mixed_gram(mixing))
        return mixing

    def _mixed_gram(self, mixing: Array) -> Array:
        """(R, R) the same of columns that a (C, R) matrix mixes before they are squared.

        Which keeps the digits that mixing their products would lose.
        """
        mixed = (rows @ torch.as_tensor(mixing).to(rows) for _, rows in self.blocks())
        return _summed(squared(columns) for columns in mixed)


def _summed(parts: Iterator[torch.Tensor]) -> Array:
    """The sum of tensors, held once."""
    total = next(parts)
    for part in parts:
        total += part
    return total.cpu().numpy()


def _whiten(mixing: Array, gram: Array) -> tuple[Array, Array]:
    """A mixing after which the Gram matrix is the identity, and how even the old one was.

    Args:
        mixing: (C, R) so far.
        gram: (R, R) of the columns so mixed.

    Returns:
        (C, R') and the least eigenvalue that counts as a share of the largest.
    """
    values, vectors = np.linalg.eigh(gram)
    large = values > _EIGENVALUE_TOLERANCE * values.max()
    mixed = mixing @ (vectors[:, large] / np.sqrt(values[large]))
    return np.asarray(mixed), values[large].min() / values.max()
