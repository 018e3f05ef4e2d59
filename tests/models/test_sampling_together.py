import pytest
import torch

from tests.tiny import KINDS, passes_of, tiny_loaded
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.sampling_together import sample_together
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.parse import parse_target


def prompts(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, 300, (2, length), generator=generator) for length in lengths]


def seeded(count):
    return [SamplingOptions(seed=seed) for seed in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_batch_gets_the_tokens_that_it_gets_by_itself_in_the_passes_of_one(kind):
    model, batches = tiny_loaded(kind).model, prompts(3, 11, 6)
    apart = [sample(model, b, 12, SamplingOptions(seed=i)) for i, b in enumerate(batches)]
    passes = passes_of(model)
    together = sample_together(model, batches, 12, seeded(3))
    assert len(passes) == 12
    for alone, found in zip(apart, together, strict=True):
        assert torch.equal(alone, found)


def test_ways_of_drawing_are_drawn_side_by_side_as_each_is_alone():
    loaded = tiny_loaded()
    target = parse_target("tilt(contains('o'), 2)").bind(loaded.vocabulary, loaded.tokenizer)
    ways = [
        SamplingOptions(temperature, top_k, top_p, seed=7)
        for temperature, top_k, top_p in (
            (1.0, 0, 1.0),
            (0.7, 0, 1.0),
            (1.0, 9, 1.0),
            (1.0, 0, 0.5),
        )
    ]
    batch, told = prompts(4)[0], []
    processor = TiltLogitsProcessor(target, 0)
    apart = [sample(loaded.model, batch, 9, way, processor=processor) for way in ways]
    together = sample_together(
        loaded.model, [batch] * len(ways), 9, ways, told.append, TiltLogitsProcessor(target, 0)
    )
    assert told == list(range(1, 10))
    for alone, found in zip(apart, together, strict=True):
        assert torch.equal(alone, found)


def test_where_the_longest_does_not_fit_the_window_slides_as_it_does_alone():
    model, batches = tiny_loaded("gpt2").model, prompts(60, 5)
    apart = [sample(model, b, 12, SamplingOptions(seed=i)) for i, b in enumerate(batches)]
    for alone, found in zip(apart, sample_together(model, batches, 12, seeded(2)), strict=True):
        assert torch.equal(alone, found)


def test_the_callers_random_state_and_the_models_mode_are_left_alone_by_many():
    model = tiny_loaded().model.train()
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    sample_together(model, prompts(3, 4), 5, seeded(2))
    assert torch.equal(torch.rand(1), expected)
    assert model.training
