import pytest
import torch
from transformers import DynamicCache, MambaConfig, MambaForCausalLM

from tests.tiny import KINDS, tiny_loaded
from tiltlm.models import sampling
from tiltlm.models.key_value_cache import RoomyLayer, with_room
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.realise.adapters import with_lora


def states(tokens, seed):
    return torch.randn(2, 3, tokens, 4, generator=torch.Generator().manual_seed(seed))


def test_keys_and_values_are_those_that_came_and_lie_where_they_were():
    layer, keys, values = RoomyLayer(9), states(4, 0), states(4, 1)
    layer.update(keys, values)
    place = layer.keys.data_ptr()
    for token in range(5):
        keys = torch.cat([keys, states(1, 2 + token)], 2)
        values = torch.cat([values, states(1, 20 + token)], 2)
        found = layer.update(keys[:, :, -1:], values[:, :, -1:])
        assert torch.equal(found[0], keys)
        assert torch.equal(found[1], values)
    assert layer.keys.data_ptr() == place
    assert layer.get_seq_length() == 9
    # No room is left: it goes on as transformers' own does.
    found = layer.update(states(1, 50), states(1, 51))
    assert torch.equal(found[0], torch.cat([keys, states(1, 50)], 2))
    assert layer.get_seq_length() == 10


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_draws_what_it_draws_by_transformers_own_cache(kind, monkeypatch):
    model = tiny_loaded(kind).model
    prompts = torch.randint(60, (5, 3))
    drawn = sample(model, prompts, 40, SamplingOptions(seed=1))
    monkeypatch.setattr(sampling, "with_room", lambda *_: {})
    assert torch.equal(drawn, sample(model, prompts, 40, SamplingOptions(seed=1)))


def test_an_adapter_has_the_cache_of_its_base():
    (cache,) = with_room(with_lora(tiny_loaded().model, "head"), 12).values()
    assert isinstance(cache, DynamicCache)
    assert [type(layer) for layer in cache.layers] == [RoomyLayer, RoomyLayer]


def test_models_that_keep_anything_else_make_their_own():
    assert with_room(tiny_loaded("gemma2").model, 12) == {}  # layers with a window
    config = MambaConfig(vocab_size=60, hidden_size=16, num_hidden_layers=2, state_size=4)
    model = MambaForCausalLM(config)
    assert with_room(model, 12) == {}
    assert sample(model, torch.randint(60, (2, 3)), 4).shape == (2, 4)
