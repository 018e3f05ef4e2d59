"""Event masses against sums in double precision, and against each other."""

import pytest
import torch

from tiltlm.losses.masses import (
    class_masses,
    event_masses,
    masked_mass,
    picked_mass,
    split_log_masses,
)


@pytest.fixture
def log_probs():
    return torch.randn(7, 50).mul(3).log_softmax(-1)


@pytest.fixture
def masks():
    return torch.rand(3, 50) < 0.3


def test_every_order_of_operation_gives_the_same_masses(log_probs, masks):
    wanted = torch.stack([log_probs.double().exp()[:, m].sum(-1) for m in masks]).float()
    fixed = masks[:, None]
    torch.testing.assert_close(class_masses(log_probs, masks).T, wanted)
    torch.testing.assert_close(torch.stack([picked_mass(log_probs, m) for m in masks]), wanted)
    torch.testing.assert_close(event_masses(log_probs.exp(), fixed), wanted)
    torch.testing.assert_close(event_masses(log_probs.exp(), fixed.expand(-1, 7, -1)), wanted)


def test_an_event_may_hold_other_tokens_at_each_position(log_probs):
    masks = torch.rand(2, 7, 50) < 0.3
    wanted = (log_probs.double().exp() * masks).sum(-1).float()
    torch.testing.assert_close(event_masses(log_probs.exp(), masks), wanted)
    torch.testing.assert_close(masked_mass(log_probs.exp(), masks[1]), wanted[1])
    inside, outside = split_log_masses(log_probs, masks[0])
    torch.testing.assert_close(inside.exp(), wanted[0])
    torch.testing.assert_close(outside.exp(), 1 - wanted[0])


def test_log_odds_are_exact_where_an_event_is_nearly_certain():
    logits = torch.tensor([[60.0, 0.0, 0.0]])
    inside, outside = split_log_masses(logits.log_softmax(-1), torch.tensor([[True, False, False]]))
    # 1 − mass would be 0 in float32, and the log-odds infinite; they are 60 − log 2.
    assert (inside - outside).item() == pytest.approx(60 - 0.693147, abs=1e-4)


def test_an_event_without_a_token_has_no_mass(log_probs):
    inside, _ = split_log_masses(log_probs, torch.zeros(1, 50, dtype=torch.bool))
    assert bool((inside == -torch.inf).all())
