"""The direction along which hidden states give wanted values."""

import pytest
import torch

from tiltlm.realise.regression import (
    FREE_SHARE,
    RIDGES,
    NormalEquations,
    cross_validated_direction,
    ridge_direction,
)


def random_contexts(lengths, width, seed=0):
    """Hidden states of some contexts, float64."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, width, generator=generator, dtype=torch.float64) for n in lengths]


def closed_form(hidden, values, weights, ridge, free):
    """The weighted ridge solution by the textbook, with a penalty that spares some directions."""
    gram = hidden.T @ (weights[:, None] * hidden) / len(hidden)
    basis, _ = torch.linalg.qr(free)
    spared = torch.eye(len(gram), dtype=torch.float64) - (1 - FREE_SHARE) * basis @ basis.T
    penalty = ridge * gram.diagonal().mean() * spared
    return torch.linalg.solve(gram + penalty, hidden.T @ (weights * values) / len(hidden))


def test_values_that_are_linear_are_met():
    hidden = random_contexts([40, 30, 50], 6)
    wanted = torch.arange(1.0, 7.0, dtype=torch.float64)
    values, ones = torch.cat(hidden) @ wanted, torch.ones(120, dtype=torch.float64)
    assert torch.allclose(ridge_direction(hidden, values, ones), wanted, rtol=1e-3)
    direction, _ = cross_validated_direction(hidden, values, ones, wanted[:, None] * 0)
    assert torch.allclose(direction, wanted, rtol=1e-3)


def test_the_ridge_is_the_one_that_predicts_left_out_contexts_best():
    lengths = [7, 5, 9, 6, 8, 4, 7]
    hidden = random_contexts(lengths, 12)
    generator = torch.Generator().manual_seed(1)
    rows = torch.cat(hidden)
    values = rows[:, 0] + 2 * torch.randn(len(rows), generator=generator, dtype=torch.float64)
    weights = torch.rand(len(rows), generator=generator, dtype=torch.float64)
    free = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    numbers = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    errors = []
    for ridge in RIDGES:
        error = 0.0
        for fold in range(5):
            out = numbers % 5 == fold
            kept = (rows[~out], values[~out], weights[~out])
            predicted = rows[out] @ closed_form(*kept, ridge, free)
            error += float((weights[out] * (predicted - values[out]) ** 2).sum())
        errors.append(error)
    best = RIDGES[errors.index(min(errors))]
    assert best > min(RIDGES)  # else the test would say little
    found, _ = cross_validated_direction(hidden, values, weights, free)
    assert torch.allclose(found, closed_form(rows, values, weights, best, free))


def test_what_lies_along_a_free_direction_is_learnt_from_fewer_positions_than_dimensions():
    hidden = random_contexts([4] * 10, 200)
    generator = torch.Generator().manual_seed(2)
    wanted = torch.randn(200, generator=generator, dtype=torch.float64)
    values, ones = torch.cat(hidden) @ wanted, torch.ones(40, dtype=torch.float64)
    fresh = torch.cat(random_contexts([500], 200, seed=3))

    def error(free):
        direction, _ = cross_validated_direction(hidden, values, ones, free)
        return float((fresh @ (direction - wanted)).norm() / (fresh @ wanted).norm())

    assert error(3 * wanted[:, None]) < 0.01
    assert error(torch.zeros(200, 1, dtype=torch.float64)) > 0.5


def test_a_single_context_has_nothing_to_choose_by():
    hidden = random_contexts([30], 5)
    generator = torch.Generator().manual_seed(4)
    values = torch.randn(30, generator=generator, dtype=torch.float64)
    ones = torch.ones(30, dtype=torch.float64)
    none = torch.zeros(5, 1, dtype=torch.float64)
    direction, _ = cross_validated_direction(hidden, values, ones, none)
    assert torch.allclose(direction, ridge_direction(hidden, values, ones))


def test_the_error_of_a_direction_is_that_of_its_positions():
    hidden = random_contexts([9, 11], 4)
    generator = torch.Generator().manual_seed(5)
    values, weights = torch.rand(2, 20, generator=generator, dtype=torch.float64)
    direction = torch.rand(4, generator=generator, dtype=torch.float64)
    equations = NormalEquations.of(hidden, values, weights, None)
    expected = weights @ (torch.cat(hidden) @ direction - values) ** 2
    assert equations.error(direction) == pytest.approx(float(expected))
