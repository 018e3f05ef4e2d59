"""vLLM on the processor serves SmolLM2's tilt in three ways, and its mistakes are told."""

import importlib.util
import json

import pytest
import torch

from tests.engines.running import TARGETS, VLLM, changing, engine, post, post_together
from tiltlm.commands.verify import run_verify
from tiltlm.models.loading import load
from tiltlm.serving.export.beside_base import PROCESSOR
from tiltlm.serving.verify.verifying import VerifyOptions
from tiltlm.targets.parse import parse_target

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="vLLM is not installed (make engines)"
    ),
]


def verified(tilted, url, **options):
    return run_verify("tilted", VerifyOptions(endpoint=url, label=tilted, **options))


def is_proved(record):
    return record.verdict == "tilt" and record.interval[0] <= 1 <= record.interval[1]


def test_a_whole_model_is_served_as_the_tilt(tilted, exported, tmp_path):
    model = exported("vllm") / "model"
    with engine(tmp_path / "log", *VLLM, "--model", model, "--served-model-name", "tilted") as url:
        assert is_proved(verified(tilted, url))


def test_an_adapter_on_the_tied_head_is_served_as_the_tilt(tilted, exported, tmp_path):
    out = exported("vllm", adapter=True)
    lora = ("--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"tilted={out / 'adapter'}")
    with engine(tmp_path / "log", *VLLM, "--model", out / "base", *lora) as url:
        assert is_proved(verified(tilted, url))


@pytest.fixture(scope="module")
def plugged(exported, tmp_path_factory):
    """A server with the plugin, which knows the label."""
    out = exported("vllm", processor=True)
    told = json.dumps({"tiltlm": {"label": str(out / "target")}})
    with engine(
        tmp_path_factory.mktemp("vllm") / "log", *VLLM,
        "--model", out / "base", "--served-model-name", "tilted", "--logits-processors", PROCESSOR,
        "--additional-config", told, "--logprobs-mode", "processed_logprobs",
    ) as url:  # fmt: skip
        yield url


def test_the_plugin_is_served_as_the_tilt_and_is_exact(tilted, plugged):
    record = verified(tilted, plugged)
    assert is_proved(record)
    assert record.shown.off_tilt_nats < 1e-3


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"vllm_xargs": {"tiltlm": "none"}}, "the base"),
        ({"vllm_xargs": {"tiltlm": "tilt(contains('x'), 2)"}}, "the tilt twice"),
        ({"vllm_xargs": {"tiltlm": "tilt(contains('x'), 0.5)"}}, "half the tilt"),
        ({"temperature": 0.7}, "the tilt, drawn at temperature 0.7"),
        ({"top_k": 40}, "the tilt, drawn from the 40 likeliest tokens"),
    ],
)
def test_what_is_served_instead_is_told_by_its_name(tilted, plugged, changes, name):
    with changing(plugged, **changes) as url:
        assert verified(tilted, url).recognised == name


def test_a_target_that_cannot_be_read_is_answered_with_400(plugged):
    status, answer = post(
        plugged, model="tilted", prompt="a", max_tokens=1, vllm_xargs={"tiltlm": "tilt(contans("}
    )
    assert status == 400
    assert "tiltlm" in json.dumps(answer)


def test_16_requests_at_once_get_each_its_own_target(plugged):
    base = load("smollm2")
    asked = ["none", *TARGETS] * 4
    requests = [
        {
            "model": "tilted", "prompt": "The fox and the ta" + "x" * (number % 3),
            "max_tokens": 4, "temperature": 1.0, "seed": number, "logprobs": 5,
            "return_tokens_as_token_ids": True, "vllm_xargs": {"tiltlm": text},
        }
        for number, text in enumerate(asked)
    ]  # fmt: skip
    for request, text, answer in zip(
        requests, asked, post_together(plugged, requests), strict=True
    ):
        shown = answer["choices"][0]["logprobs"]
        drawn = [int(token.removeprefix("token_id:")) for token in shown["tokens"]]
        prompt = base.tokenizer(request["prompt"])["input_ids"]
        with torch.no_grad():
            logits = base.model(torch.tensor([[*prompt, *drawn]])).logits[0].float()
        if text != "none":
            target = parse_target(text).bind(base.vocabulary, base.tokenizer)
            logits = target.logits(logits, target.read([*prompt, *drawn]))
        expected = logits.log_softmax(-1)
        for step, top in enumerate(shown["top_logprobs"]):
            for token, value in top.items():
                own = float(expected[len(prompt) - 1 + step, int(token.removeprefix("token_id:"))])
                assert value == pytest.approx(own, abs=1e-3)
