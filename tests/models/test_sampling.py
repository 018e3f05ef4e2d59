import pytest
import torch
from scipy import stats
from transformers import GenerationConfig

from tests.devices import logits_of
from tests.tiny import tiny_loaded
from tiltlm.errors import ConfigError, ModelError, ShapeError
from tiltlm.models import sampling
from tiltlm.models.drawing import draw
from tiltlm.models.precision import resolve_precision
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.realise.adapters import with_lora

WINDOW = 24


def article_loop(model, text, count, seed):
    """The article's loop, written out: re-read the last tokens, softmax, draw one."""
    torch.manual_seed(seed)
    prompts, text = text, text.to(model.device)
    for _ in range(count):
        with torch.no_grad():
            logits = model(text[:, -WINDOW:]).logits[:, -1]
        text = torch.cat([text, draw(logits.softmax(-1))[:, None]], dim=1)
    return text[:, -count:].to(prompts.device)


@pytest.mark.parametrize("at_once", [1, 2 * WINDOW, 512])
def test_past_the_context_it_is_the_articles_sliding_window(tiny_model, monkeypatch, at_once):
    monkeypatch.setattr(sampling, "POSITIONS_AT_ONCE", at_once)
    model = tiny_model.eval()
    prompts = torch.randint(64, (3, WINDOW))
    expected = article_loop(model, prompts, 20, seed=4)
    assert torch.equal(sample(model, prompts, 20, SamplingOptions(seed=4)), expected)


def test_within_the_context_the_cache_gives_the_same_tokens(tiny_model):
    model = tiny_model.eval()
    prompts = torch.randint(64, (3, 4))
    expected = article_loop(model, prompts, 15, seed=4)
    assert torch.equal(sample(model, prompts, 15, SamplingOptions(seed=4)), expected)


def test_it_goes_on_from_the_cache_to_the_window_and_tells_of_every_token(tiny_model):
    told = []
    generated = sample(tiny_model, torch.randint(64, (2, 10)), 40, advance=told.append)
    assert generated.shape == (2, 40)
    assert told == list(range(1, 41))


def test_the_models_own_generation_config_has_no_say_and_is_left_alone():
    model, _ = tiny_loaded()
    prompts = torch.randint(60, (64, 4))
    expected = sample(model, prompts, 30, SamplingOptions(seed=4))
    habits = GenerationConfig(eos_token_id=list(range(30)), repetition_penalty=1.5, top_k=3)
    model.generation_config = habits
    assert torch.equal(sample(model, prompts, 30, SamplingOptions(seed=4)), expected)
    assert model.generation_config is habits


def test_an_adapters_generation_config_is_left_alone_too():
    model = with_lora(tiny_loaded().model, "head")
    kept = [model.generation_config, model.get_base_model().generation_config]
    sample(model, torch.randint(60, (2, 4)), 3)
    assert [model.generation_config, model.get_base_model().generation_config] == kept


def test_drawn_tokens_follow_the_models_distribution(tiny_model):
    model = tiny_model.eval()
    prompt = torch.randint(64, (1, 5))
    with torch.no_grad():
        # Warm enough that most tokens are expected more than five times.
        expected = (logits_of(model, prompt)[0, -1] / 8).softmax(-1)
    drawn = sample(model, prompt.expand(8000, 5), 1, SamplingOptions(temperature=8.0, seed=2))
    counts = torch.bincount(drawn.flatten(), minlength=64).double()
    # False alarm once in a thousand seeds; the seed is fixed.
    expected = expected.double() / expected.double().sum()
    assert stats.chisquare(counts.numpy(), (8000 * expected).numpy()).pvalue > 0.001


@pytest.mark.parametrize("length", [5, WINDOW])
def test_top_k_draws_only_the_likeliest(tiny_model, length):
    model = tiny_model.eval()
    prompt = torch.randint(64, (1, length))
    with torch.no_grad():
        best = logits_of(model, prompt)[0, -1].topk(3).indices
    options = SamplingOptions(top_k=3, temperature=50.0)
    drawn = sample(model, prompt.expand(300, length), 1, options)
    assert set(drawn.flatten().tolist()) == set(best.tolist())


@pytest.mark.parametrize("length", [5, WINDOW])
def test_top_p_draws_only_the_nucleus(tiny_model, length):
    model = tiny_model.eval()
    prompt = torch.randint(64, (1, length))
    with torch.no_grad():
        warm = logits_of(model, prompt)[0, -1] / 6
        probabilities = warm.softmax(-1).sort(descending=True)
    inside = int((probabilities.values.cumsum(0) < 0.5).sum()) + 1
    options = SamplingOptions(top_p=0.5, temperature=6.0)
    drawn = sample(model, prompt.expand(2000, length), 1, options)
    assert set(drawn.flatten().tolist()) == set(probabilities.indices[:inside].tolist())


def test_the_callers_random_state_and_the_models_mode_are_left_alone(tiny_model):
    tiny_model.train()
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    sample(tiny_model, torch.randint(64, (1, 3)), 30, SamplingOptions(seed=1))
    torch.manual_seed(9)
    assert torch.equal(torch.rand(1), expected)
    assert tiny_model.training


def test_bfloat16_products_leave_the_distribution_nearly_as_it_is(tiny_model):
    from tiltlm.models.head import full_head
    from tiltlm.models.precision import lower_precision

    model = tiny_model.eval()
    ids = torch.randint(64, (8, WINDOW)).to(model.device)
    with torch.no_grad():
        exact = model(ids).logits.softmax(-1)
        with full_head(model), lower_precision(model, "bfloat16"):
            logits = model(ids).logits
        again = model(ids).logits.softmax(-1)
    assert logits.dtype == torch.float32
    assert float((logits.softmax(-1) - exact).abs().sum(-1).mean()) / 2 < 0.01
    assert torch.equal(again, exact)  # and nothing of it stays behind


def test_auto_is_one_of_the_two_precisions():
    assert resolve_precision("auto") in ("float32", "bfloat16")
    assert resolve_precision("float32") == "float32"


@pytest.mark.parametrize("length", [5, WINDOW])
def test_a_model_with_nan_logits_is_refused(tiny_model, length):
    with torch.no_grad():
        tiny_model.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        sample(tiny_model, torch.randint(64, (1, length)), 3)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.0}, {"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 2}],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        SamplingOptions(**wrong)


def test_an_empty_prompt_is_refused(tiny_model):
    with pytest.raises(ShapeError):
        sample(tiny_model, torch.empty(1, 0, dtype=torch.long), 3)
