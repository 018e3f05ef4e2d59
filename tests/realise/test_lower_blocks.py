"""Lower blocks that answer with what they gave before."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.devices import placed
from tests.tiny import tiny_config, tiny_tokenizer
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import collate
from tiltlm.models.blocks import block_below, blocks_of, upper_blocks
from tiltlm.models.head import hidden_states
from tiltlm.models.loading import LoadedModel
from tiltlm.realise.adapters import with_lora
from tiltlm.realise.lower_blocks import LowerBlocks

DEPTHS = {"gpt2": "n_layer"}


def deep(kind: str, layers: int = 6, width: int | None = None) -> LoadedModel:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    config = tiny_config(kind, len(tokenizer))
    setattr(config, DEPTHS.get(kind, "num_hidden_layers"), layers)
    if width is not None:
        config.hidden_size, config.head_dim = width, width // config.num_attention_heads
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types * (layers // 2)
    return LoadedModel(placed(AutoModelForCausalLM.from_config(config).eval()), tokenizer)


def reference_of(loaded, count=5):
    contexts = make_contexts("random", loaded, count=count, length=12)
    return Reference(loaded.model, contexts, block=block_below(loaded.model))


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama", "qwen2", "gemma2", "cohere"])
def test_upper_blocks_give_the_same_on_kept_states_as_on_a_whole_pass(kind):
    loaded = deep(kind)
    work = reference_of(loaded)
    model = with_lora(loaded.model, "body+head", within=upper_blocks(loaded.model))
    lower = LowerBlocks.of(model, work)
    assert lower is not None
    model.eval()
    batch = collate([work.contexts[i] for i in (3, 1)])
    ids, mask = (batch[k].to(model.device) for k in ("input_ids", "attention_mask"))

    def gradients():
        model.zero_grad()
        hidden = hidden_states(model, ids, mask)
        hidden.square().sum().backward()
        found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        return hidden.detach(), found

    expected, whole = gradients()
    blocks, ran = blocks_of(model), []
    hook = blocks[0].mlp.register_forward_hook(lambda *_: ran.append(1))
    with lower.replaying([3, 1]):
        found, upper = gradients()
    hook.remove()
    assert not ran
    assert torch.allclose(found, expected, atol=1e-5)
    assert whole.keys() == upper.keys()
    for name, gradient in whole.items():
        assert torch.allclose(upper[name], gradient, rtol=1e-3, atol=1e-4), name


def test_only_the_upper_blocks_and_the_head_get_adapters():
    loaded = deep("llama", layers=6)
    model = with_lora(loaded.model, "body+head", within=upper_blocks(loaded.model))
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert not any(f".layers.{k}." in n for n in names for k in (0, 1))
    for part in [*(f".layers.{k}." for k in range(2, 6)), "lm_head"]:
        assert any(part in n for n in names)


def test_lower_blocks_run_where_something_in_them_is_trained():
    loaded = deep("llama")
    work = reference_of(loaded)
    assert LowerBlocks.of(with_lora(loaded.model, "body+head"), work) is None


def test_lower_blocks_run_where_their_states_are_those_of_another_model():
    loaded = deep("llama")
    work = reference_of(loaded)
    with torch.no_grad():
        blocks_of(loaded.model)[0].mlp.down_proj.weight.mul_(3.0)
    model = with_lora(loaded.model, "body+head", within=upper_blocks(loaded.model))
    assert LowerBlocks.of(model, work) is None


def test_a_model_of_four_blocks_has_none_below():
    loaded = deep("llama", layers=4)
    assert block_below(loaded.model) is None
    assert reference_of(loaded).block_states == []


def test_blocks_are_those_that_are_never_split_and_not_experts():
    class Expert(torch.nn.Module):
        pass

    loaded = deep("llama", layers=6)
    loaded.model.model.layers[0].mlp.experts = torch.nn.ModuleList(Expert() for _ in range(9))
    assert len(blocks_of(loaded.model)) == 6
