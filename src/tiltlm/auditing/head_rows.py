"""The rows of an output head, float64 a block of tokens at a time.

As one float64 matrix the rows of a head in bfloat16 would be four times as large as the head. All
that an audit needs of them are sums over tokens and products with a few vectors, which take a block
after another. Knows no classes and no benign changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.errors import ModelError
from tiltlm.models.head import Head

_BLOCK_NUMBERS = 1 << 23
"""Numbers of a block, which are 64 MiB in float64."""

_EIGENVALUE_TOLERANCE = 1e-12
"""Directions with less than this share of the largest eigenvalue are left out of a basis."""

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

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """The tokens of each block, and their rows.

        Yields:
            a slice of the V tokens, and (n, C) float64.
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
        return self._made(self.weight[index], flat).reshape(*tokens.shape, -1)

    def _made(self, weight: torch.Tensor, tokens: Array | slice) -> Array:
        """(n, C) float64 rows of some tokens, from their (n, D) weights."""
        rows = np.asarray(weight.cpu().double().numpy() * self.scale)
        if self.before is not None:
            rows = np.hstack([self.before[tokens], rows])
        return rows if self.centre is None else rows - self.centre

    @cached_property
    def mean(self) -> Array:
        """(C,) mean over tokens."""
        return np.asarray(sum(rows.sum(0) for _, rows in self.blocks()) / len(self))

    def centred(self) -> HeadRows:
        """The same rows with their mean taken off."""
        centre = self.mean if self.centre is None else self.centre + self.mean
        return replace(self, centre=centre)

    def products_with(self, values: Array) -> Array:
        """Sums of the rows, weighted by values.

        Args:
            values: (N, V), also a sparse matrix.

        Returns:
            (N, C) values @ rows.
        """
        sums = np.zeros((values.shape[0], self.width))
        for tokens, rows in self.blocks():
            sums += values[:, tokens] @ rows
        return sums

    def along(self, directions: Array) -> Array:
        """The rows along some directions.

        Args:
            directions: (N, C).

        Returns:
            (N, V) directions @ rows transposed.
        """
        products = np.empty((len(directions), len(self)))
        for tokens, rows in self.blocks():
            products[:, tokens] = directions @ rows.T
        return products

    def orthonormal_mixing(self) -> Array:
        """Turns the columns into an orthonormal basis of what they span.

        By the eigenvectors of the Gram matrix, twice where once is not exact, which is as exact as
        a QR decomposition, several times as fast, and takes no memory of the size of the rows.

        Returns:
            (C, R) of rank R: rows @ mixing has orthonormal columns.

        >>> rows = HeadRows(torch.tensor([[3.0, 6.0], [4.0, 8.0]]))
        >>> basis = rows.at(np.arange(2)) @ rows.orthonormal_mixing()
        >>> basis.shape, [round(abs(float(x)), 6) for x in basis[:, 0]]
        ((2, 1), [0.6, 0.8])
        """
        gram = self._gram(None)
        lengths = np.sqrt(np.diag(gram))
        mixing = np.diag(1 / np.where(lengths > 0, lengths, np.inf))
        mixing, condition = _whiten(mixing, mixing @ gram @ mixing)
        if condition < _WELL_CONDITIONED:
            mixing, _ = _whiten(mixing, self._gram(mixing))
        return mixing

    def _gram(self, mixing: Array | None) -> Array:
        """(R, R) products of the columns with each other, mixed by a (C, R) matrix if there is one.

        With ``mixing`` the rows are mixed before they are squared, which keeps its digits.
        """
        mixed = (rows if mixing is None else rows @ mixing for _, rows in self.blocks())
        return np.asarray(sum(columns.T @ columns for columns in mixed))


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
