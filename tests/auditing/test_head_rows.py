"""The rows of a head a block at a time give what they give as one float64 matrix."""

import numpy as np
import pytest
import torch

from tests.tiny import three_syllables
from tiltlm.auditing import head_rows
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.head_geometry import HeadGeometry

V, D = 500, 12


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Of some forty tokens, so that sums go over many."""
    monkeypatch.setattr(head_rows, "_BLOCK_NUMBERS", 640)


def made(dtype=torch.bfloat16, scale=0.5):
    draws = torch.Generator().manual_seed(0)
    weight = (torch.randn(V, D, generator=draws) + 1).to(dtype)
    return HeadRows(weight, scale), weight.double().numpy() * scale


def test_sums_over_blocks_are_those_of_the_whole_matrix():
    rows, matrix = made()
    draws = np.random.default_rng(0)
    values, directions = draws.normal(size=(3, V)), draws.normal(size=(2, D))
    assert len(list(rows.blocks())) > 5
    assert np.allclose(rows.products_with(values), values @ matrix, rtol=1e-12)
    assert np.allclose(rows.along(directions), directions @ matrix.T, rtol=1e-12)
    assert np.allclose(rows.centred().mean, 0, atol=1e-12)
    tokens = np.array([[3, 499], [0, 77]])
    assert np.array_equal(rows.at(tokens), matrix[tokens])
    joined = np.concatenate([block.numpy() for _, block in rows.tensors()])
    assert np.array_equal(joined, matrix.astype(np.float32))


@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_the_basis_is_as_orthonormal_as_that_of_a_qr_decomposition(spread):
    draws = np.random.default_rng(0)
    matrix = draws.normal(size=(V, D))
    matrix[:, 1] = matrix[:, 0] + spread * matrix[:, 1]
    rows = HeadRows(torch.from_numpy(matrix), before=np.ones((V, 2)))
    whole = np.hstack([np.ones((V, 2)), matrix])
    basis = whole @ rows.orthonormal_mixing()
    assert basis.shape == (V, D + 1)  # The two columns of ones are one.
    assert np.allclose(basis.T @ basis, np.eye(D + 1), atol=1e-9)
    by_qr = np.linalg.qr(whole[:, 1:])[0]
    assert np.allclose(basis @ (basis.T @ matrix), by_qr @ (by_qr.T @ matrix), atol=1e-8)


def test_a_column_that_is_the_same_for_every_token_is_no_direction_once_it_is_centred():
    matrix = np.random.default_rng(0).normal(size=(V, D))
    matrix[:, 3] = 0.1
    rows = HeadRows(torch.from_numpy(matrix)).centred()
    mixing = rows.orthonormal_mixing()
    assert mixing.shape == (D, D - 1)
    assert not mixing[3].any()


def test_moves_and_residuals_are_the_least_squares_ones():
    rows, matrix = made(torch.float32, 1.0)
    draws = np.random.default_rng(0)
    geometry = HeadGeometry(rows, draws.dirichlet(np.ones(V)))
    shifts = draws.normal(size=(4, V))
    centred = shifts - shifts.mean(1, keepdims=True)
    direct = np.linalg.lstsq(matrix - matrix.mean(0), centred.T, rcond=None)[0].T
    assert np.allclose(geometry.solve_moves(shifts), direct, rtol=1e-9)
    assert geometry.solve_moves(np.empty((0, V))).shape == (0, D)
    residual = ResidualFilter(geometry, build_classes(three_syllables(V))).residual(shifts)
    columns = np.hstack([geometry.residual_columns.before, matrix])
    explained = columns @ np.linalg.lstsq(columns, shifts.T, rcond=None)[0]
    assert np.allclose(residual, shifts - explained.T, atol=1e-9)
