import math
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2LMHeadModel

from tests.conftest import TINY
from tests.tiny import tiny_loaded
from tiltlm.errors import ConfigError, ModelError
from tiltlm.models.loading import load
from tiltlm.models.model5 import (
    Model5Config,
    Model5ForCausalLM,
    as_gpt2,
    build_model5,
    from_gpt2,
)

pytestmark = pytest.mark.processor("what it is made of is the same on every device")


def test_the_default_sizes_are_the_articles():
    config = Model5Config()
    sizes = (config.n_layer, config.n_head, config.n_embd, config.n_positions, config.vocab_size)
    assert sizes == (12, 12, 768, 256, 50257)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0, 0, 0)
    assert config.tie_word_embeddings
    assert not config.return_log_probs


def test_with_default_sizes_it_has_124_million_weights():
    with torch.device("meta"):
        model = Model5ForCausalLM(Model5Config())
    assert model.num_parameters() == 123_849_984


def test_logits_are_gpt2s_divided_by_the_root_of_the_width(tiny_model):
    ids = torch.randint(64, (2, 9))
    reference = GPT2LMHeadModel(tiny_model.config).eval()
    reference.load_state_dict(tiny_model.state_dict())
    with torch.no_grad():
        expected = reference(ids).logits / math.sqrt(16)
        assert torch.allclose(tiny_model.eval()(ids).logits, expected, atol=1e-6)


def test_a_scaling_of_ones_own_is_used():
    ids = torch.randint(64, (1, 5))
    plain = build_model5(0, **TINY, logits_scaling=1.0).eval()
    scaled = build_model5(0, **TINY, logits_scaling=2.0).eval()
    with torch.no_grad():
        assert torch.allclose(plain(ids).logits, 2 * scaled(ids).logits)


def test_weights_begin_as_torchs_own_defaults_with_standard_normal_embeddings():
    model = build_model5(0, vocab_size=2000, n_layer=2, n_head=2, n_embd=64, n_positions=64)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert float(model.transformer.wte.weight.detach().std()) == pytest.approx(1, abs=0.01)
    assert float(model.transformer.wpe.weight.detach().std()) == pytest.approx(1, abs=0.03)
    for weight, fan_in in (
        (model.transformer.h[0].mlp.c_fc.weight, 64),
        (model.transformer.h[1].mlp.c_proj.weight, 256),
        (model.transformer.h[0].attn.c_attn.bias, 64),
    ):
        bound = 1 / math.sqrt(fan_in)
        assert float(weight.detach().abs().max()) <= bound
        # A uniform distribution on ±bound has standard deviation bound/√3.
        assert float(weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_the_other_initialisation_is_gpt2s():
    model = build_model5(0, vocab_size=2000, n_layer=2, n_head=2, n_embd=64, initialisation="gpt2")
    assert float(model.transformer.wte.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_the_head_can_be_untied():
    model = build_model5(0, **TINY, tie_word_embeddings=False)
    assert model.lm_head.weight is not model.transformer.wte.weight
    assert float(model.lm_head.weight.detach().abs().max()) <= 1 / math.sqrt(16)


def test_it_can_return_log_probabilities(tiny_model):
    ids = torch.randint(64, (2, 7))
    logp = build_model5(0, **TINY, return_log_probs=True).eval()(ids).logits
    assert torch.allclose(logp.exp().sum(-1), torch.ones(2, 7), atol=1e-5)
    assert torch.allclose(logp, tiny_model.eval()(ids).logits.log_softmax(-1), atol=1e-5)


def test_dropout_is_used_when_asked_for():
    model = build_model5(0, **TINY, resid_pdrop=0.5).train()
    ids = torch.randint(64, (1, 7))
    assert not torch.equal(model(ids).logits, model(ids).logits)


def test_the_same_seed_gives_the_same_weights_and_leaves_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = build_model5(1, **TINY), build_model5(1, **TINY), build_model5(2, **TINY)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(a.transformer.wte.weight, b.transformer.wte.weight)
    assert not torch.equal(a.transformer.wte.weight, c.transformer.wte.weight)


def test_it_saves_and_loads_through_the_auto_classes(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert isinstance(AutoConfig.from_pretrained(tmp_path), Model5Config)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(again, Model5ForCausalLM)
    assert again.lm_head.weight is again.transformer.wte.weight
    for a, b in zip(tiny_model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_its_own_loss_is_cross_entropy_of_scaled_logits(tiny_model):
    ids = torch.randint(64, (2, 9))
    output = tiny_model.eval()(ids, labels=ids)
    expected = torch.nn.functional.cross_entropy(
        output.logits[:, :-1].reshape(-1, 64), ids[:, 1:].reshape(-1)
    )
    assert torch.allclose(output.loss, expected)


def test_fresh_it_repeats_the_token_just_read():
    model = build_model5(0, n_layer=2).eval()  # full width: the effect grows with it
    ids = torch.randint(50257, (4, 32))
    with torch.no_grad():
        probabilities = model(ids).logits.softmax(-1)
    repeats = probabilities.gather(-1, ids[..., None])
    assert float(repeats.mean()) > 0.9


@pytest.mark.parametrize(
    "wrong", [{"initialisation": "xavier"}, {"n_embd": 30, "n_head": 4}, {"logits_scaling": 0.0}]
)
def test_fields_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        Model5Config(**wrong)


def test_an_unknown_field_or_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no field 'n_layers'"):
        load("model5", config={"n_layers": 3})
    with pytest.raises(ConfigError, match="model5 only"):
        load("gpt2", config={"n_layer": 3})
    with pytest.raises(ModelError, match="holds no model"):
        load(tmp_path)
    with pytest.raises(ModelError, match="cannot load"):
        load("no-such-model-anywhere")


def test_as_plain_gpt2_it_gives_the_same_logits_and_comes_back_bit_for_bit(tmp_path):
    model = build_model5(0, **TINY).eval()
    as_gpt2(model).save_pretrained(tmp_path / "saved")
    script = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "assert type(model).__name__ == 'GPT2LMHeadModel'\n"
        "torch.save(model(torch.arange(20)[None]).logits, sys.argv[2])"
    )
    logits = tmp_path / "logits"
    subprocess.run([sys.executable, "-c", script, tmp_path / "saved", logits], check=True)
    with torch.no_grad():
        expected = model(torch.arange(20)[None]).logits
    assert torch.allclose(torch.load(logits), expected, atol=1e-5)
    again = build_model5(1, **TINY)
    from_gpt2(AutoModelForCausalLM.from_pretrained(tmp_path / "saved"), again)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_a_model_that_is_no_model5_is_saved_as_it_is():
    model = tiny_loaded().model
    assert as_gpt2(model) is model
