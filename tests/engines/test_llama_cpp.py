"""llama.cpp serves SmolLM2's tilt from a GGUF file with a head of its own."""

import importlib.util

import pytest

from tests.engines.running import LLAMA_CPP, changing, engine
from tiltlm.commands.verify import run_verify
from tiltlm.serving.verify.verifying import VerifyOptions

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(
        importlib.util.find_spec("llama_cpp") is None,
        reason="llama-cpp-python is not installed (make engines)",
    ),
]


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    model = exported("llama.cpp") / "model.gguf"
    log = tmp_path_factory.mktemp("llama") / "log"
    with engine(log, *LLAMA_CPP, "--model", model) as url:
        yield url


def test_the_gguf_file_is_served_as_the_tilt(tilted, served):
    record = run_verify("tilted", VerifyOptions(endpoint=served, label=tilted))
    assert record.verdict == "tilt"
    assert record.interval[0] <= 1 <= record.interval[1]


def test_a_temperature_in_the_way_is_told(tilted, served):
    with changing(served, temperature=0.7) as url:
        record = run_verify("tilted", VerifyOptions(endpoint=url, label=tilted))
    assert record.recognised == "the tilt, drawn at temperature 0.7"
