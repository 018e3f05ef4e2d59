import pytest
import torch

from tests.tiny import KINDS, tiny_loaded
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.sampling_together import sample_together


def prompts(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, 300, (2, length), generator=generator) for length in lengths]


def passes_of(model):
    counted = []
    model.register_forward_pre_hook(lambda *_: counted.append(1))
    return counted


@pytest.mark.parametrize("kind", KINDS)
def test_every_batch_gets_the_tokens_that_it_gets_by_itself_in_the_passes_of_one(kind):
    model, batches = tiny_loaded(kind).model, prompts(3, 11, 6)
    apart = [sample(model, b, 12, SamplingOptions(seed=i)) for i, b in enumerate(batches)]
    passes = passes_of(model)
    together = sample_together(model, batches, 12, [0, 1, 2])
    assert len(passes) == 12
    for alone, found in zip(apart, together, strict=True):
        assert torch.equal(alone, found)


def test_where_the_longest_does_not_fit_the_window_slides_as_it_does_alone():
    model, batches = tiny_loaded("gpt2").model, prompts(60, 5)
    apart = [sample(model, b, 12, SamplingOptions(seed=i)) for i, b in enumerate(batches)]
    for alone, found in zip(apart, sample_together(model, batches, 12, [0, 1]), strict=True):
        assert torch.equal(alone, found)


def test_the_callers_random_state_and_the_models_mode_are_left_alone_by_many():
    model = tiny_loaded().model.train()
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    sample_together(model, prompts(3, 4), 5, [0, 1])
    assert torch.equal(torch.rand(1), expected)
    assert model.training
