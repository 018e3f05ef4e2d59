"""Models whose weights bitsandbytes rounds when they are loaded, by all that we do to one."""

import importlib.util
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tests.devices import chosen, logits_of
from tests.tiny import SIZES, SPECIAL, make_editable, tiny_tokenizer
from tiltlm.contexts.drawn_contexts import own_samples
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.measures.pair import Pair
from tiltlm.measures.persistence import after_fine_tuning, after_int8, after_merging
from tiltlm.models.adapted import plain_copy
from tiltlm.models.head import hidden_states
from tiltlm.models.loading import load, load_base
from tiltlm.models.rounded_weights import is_rounded
from tiltlm.realise.editing import edit
from tiltlm.realise.training import train
from tiltlm.recipes.placement import Placement
from tiltlm.recipes.training import Training
from tiltlm.targets.parse import parse_target

if importlib.util.find_spec("bitsandbytes") is None:
    pytest.skip("bitsandbytes is not installed: make test-rounded", allow_module_level=True)

TARGET = "tilt(contains('x'), 1)"
KINDS = ("8bit", "4bit")


def contexts(loaded, count=12, length=24, seed=0):
    size = len(loaded.tokenizer)
    ids = RandomTokenContexts(size, length, count, seed=seed).batch()
    return TokenContexts(ids.tolist(), "random tokens")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama whose layers have as many inputs as bitsandbytes takes on a processor."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    sizes = {**SIZES, "hidden_size": 64, "intermediate_size": 128}
    config = LlamaConfig(vocab_size=len(tokenizer), **sizes, **SPECIAL)
    model = AutoModelForCausalLM.from_config(config)
    make_editable(model)
    path = tmp_path_factory.mktemp("models") / "llama"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(params=KINDS)
def rounded(request, folder):
    """The model with its weights rounded."""
    if chosen().type not in ("cpu", "cuda"):
        pytest.skip(f"bitsandbytes does not compute on {chosen().type}")
    return load(folder, placement=Placement(quantization=request.param))


def test_a_text_is_read_alike_whatever_is_read_beside_it(rounded):
    ids = contexts(rounded).sequences
    batch = torch.stack([torch.as_tensor(s) for s in ids]).to(rounded.model.device)
    with torch.no_grad():
        together = hidden_states(rounded.model, batch)
        alone = hidden_states(rounded.model, batch[:1])
        begin = hidden_states(rounded.model, batch[:, :9])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together[:, :9], begin, rtol=1e-4, atol=1e-4)


def test_states_are_kept_of_models_that_draw_as_they_read_alone(rounded, folder):
    assert is_rounded(rounded.model)
    assert own_samples(rounded, 2, 8, 0, key="a key").states is None
    assert own_samples(load(folder), 2, 8, 0, key="another key").states is not None


def test_a_plain_copy_computes_what_the_rounded_model_does_and_can_be_trained(rounded):
    plain = plain_copy(rounded.model)
    ids = torch.stack([torch.as_tensor(s) for s in contexts(rounded).sequences])
    with torch.no_grad():
        torch.testing.assert_close(
            logits_of(plain, ids), logits_of(rounded.model, ids), rtol=0.05, atol=0.5
        )
    assert not is_rounded(plain)
    assert all(p.is_floating_point() for p in plain.parameters())
    plain.requires_grad_(True)
    logits_of(plain, ids).sum().backward()
    assert is_rounded(rounded.model)  # the copy was one


@pytest.mark.parametrize("by", ["edit", "head", "body+head"])
def test_a_tilt_of_a_rounded_model_is_as_close_as_any(rounded, by):
    where = contexts(rounded, 28, 32)
    if by == "edit":
        done = edit(rounded, TARGET, where)
    else:
        steps = None if by == "head" else 2
        done = train(rounded, TARGET, where, training=Training(parameters=by, steps=steps))
    assert done.fidelity.gap_closed > (0.9 if by != "body+head" else -1.0)
    done.model.unload()


def test_all_weights_of_a_rounded_model_cannot_be_trained(rounded):
    with pytest.raises(ConfigError, match="only adapters beside them"):
        train(rounded, TARGET, contexts(rounded), training=Training(parameters="full"))


def test_what_a_tilt_survives_is_measured_on_a_rounded_model(rounded, folder):
    kind = "8bit" if rounded.model.config.quantization_config.load_in_8bit else "4bit"
    base = load(folder, placement=Placement(quantization=kind))
    done = edit(rounded, TARGET, contexts(rounded, 28, 32))
    target = parse_target(TARGET).bind(base.vocabulary)
    pair = Pair(base, replace(rounded, model=done.model.get_base_model()), target)
    where = contexts(rounded, 4, 16, seed=1)
    assert after_int8(pair, where).strength.mean == pytest.approx(1.0, abs=0.1)
    half = next(s for s in after_merging(pair, where) if s.amount == 0.5)
    assert half.strength.mean == pytest.approx(0.5, abs=0.1)
    tuned = after_fine_tuning(pair, where, contexts(rounded, 4, 16, seed=2), [1])
    assert tuned[0].strength.mean == pytest.approx(1.0, abs=0.1)
    done.model.unload()


def test_the_label_of_an_adapter_says_that_its_base_was_rounded(rounded, folder, tmp_path):
    done = edit(rounded, TARGET, contexts(rounded, 28, 32))
    assert done.base.quantization in KINDS
    done.save(tmp_path / "tilted")
    done.model.unload()
    # Its hash is of the rounded weights, and is not held against those of the file.
    assert not is_rounded(load_base(done.base).model)
