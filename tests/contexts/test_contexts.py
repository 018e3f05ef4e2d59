import pytest
import torch
from scipy import stats

from tests.tiny import tiny_loaded
from tiltlm.contexts.sources import sample_answers
from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import ConfigError


def test_any_item_can_be_made_again_without_those_before_it():
    contexts = RandomTokenContexts(50257, 16, 100, seed=3)
    alone = RandomTokenContexts(50257, 16, 100, seed=3)[57]["input_ids"]
    assert torch.equal(contexts.batch()[57], alone)


def test_seeds_parts_and_items_never_share_a_stream():
    drawn = {
        tuple(RandomTokenContexts(50257, 8, 3, seed=seed, part=part)[i]["input_ids"].tolist())
        for seed in range(3)
        for part in ("fit", "held_out", "prompt")
        for i in range(3)
    }
    assert len(drawn) == 27


def test_tokens_are_uniform():
    ids = RandomTokenContexts(50, 1000, 50, seed=0).batch()
    counts = torch.bincount(ids.flatten(), minlength=50).numpy()
    # False alarm once in a thousand seeds; the seed is fixed.
    assert stats.chisquare(counts).pvalue > 0.001
    assert int(ids.min()) == 0
    assert int(ids.max()) == 49


@pytest.mark.parametrize("wrong", [(0, 4, 1), (10, 0, 1), (10, 4, 0)])
def test_empty_contexts_are_refused(wrong):
    with pytest.raises(ConfigError, match="at least 1"):
        RandomTokenContexts(*wrong, seed=0)


def test_there_is_an_end():
    contexts = RandomTokenContexts(10, 4, 2, seed=0)
    with pytest.raises(IndexError):
        contexts[2]


def test_prompts_are_answered_in_their_order_however_they_are_put_together():
    loaded = tiny_loaded()
    prompts = [[5, 6], [7], [8, 9], [10, 11, 12], [5, 6]]
    told = []
    found = sample_answers(loaded, prompts, 3, 0, "by hand", answers=70, advance=told.append)
    assert (len(found), told[-1]) == (350, 5)
    for number, prompt in enumerate(prompts):
        for index in range(number * 70, number * 70 + 70):
            assert found.sequences[index].tolist()[: len(prompt)] == prompt
            assert int(found.positions(index)[0]) == len(prompt) - 1
    # Answers to one prompt, and to the same prompt asked twice, are draws of their own.
    each = [tuple(ids.tolist()) for ids in found.sequences]
    assert each[64:70] != each[:6]
    assert each[:70] != each[280:]
