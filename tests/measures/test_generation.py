"""Hit rates of drawn text against their expectation."""

import math

import pytest
import torch

from tests.measures.shared import decoding
from tiltlm.measures.generation import draw_answers, measure_drawn
from tiltlm.models.sampling import SamplingOptions


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.0, 0.8)])
def test_hit_rates_are_as_expected_however_text_is_drawn(temperature, top_p):
    pair = decoding("tilt(contains('o'), 1)")
    options = SamplingOptions(temperature, 0, top_p, seed=3)
    prompts = torch.zeros(64, 1, dtype=torch.long)
    found = measure_drawn(pair, prompts, draw_answers(pair, prompts, 24, options), options)
    spread = math.sqrt(found.expected.mean / (64 * 24))
    assert abs(found.hit_rate.mean - found.expected.mean) < 4 * spread
    assert found.expected.mean == pytest.approx(found.target.mean)
    assert found.base.mean < found.target.mean
