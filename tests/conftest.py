"""What the tests share: tiny models, a tiny vocabulary, the real data where it lies."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from tests import devices
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.gpt2 import gpt2_tokenizer
from tiltlm.models.model5 import Model5ForCausalLM, build_model5

TINY = {"vocab_size": 64, "n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 24}

# A run of the command line on a model that trains in a second.
TINY_RUN = [
    "model.config.n_layer=1",
    "model.config.n_head=2",
    "model.config.n_embd=16",
    "model.config.n_positions=16",
    "contexts.length=8",
    "test.prompt_tokens=16",
    "test.new_tokens=5",
    "test.held_out_tokens=16",
    "test.precision=float32",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--device``."""
    parser.addoption(
        "--device", default="cpu", choices=devices.NAMES, help="where the models of the tests lie"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a device that is not there, and name the marks of tests that need one."""
    devices.choose(config.getoption("--device"))
    config.addinivalue_line("markers", "processor(reason): only with models on the processor")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, on any other device, the tests that are about the processor."""
    device = config.getoption("--device")
    for item in items:
        mark = item.get_closest_marker("processor")
        if mark is not None and device != "cpu":
            item.add_marker(pytest.mark.skip(reason=f"on {device}: {mark.args[0]}"))


@pytest.fixture(scope="module", autouse=True)
def _little_to_look_through() -> None:
    """Keep what has lasted out of garbage collection: a Trainer asks for it every time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _on_device(pytestconfig) -> Iterator[None]:
    """Let ``auto`` mean the device of ``--device`` wherever a model is loaded."""
    from tiltlm.models import placement

    with devices.emulating(pytestconfig.getoption("--device")), pytest.MonkeyPatch.context() as m:
        m.setattr(placement, "automatic_device", devices.chosen)
        yield


@pytest.fixture(scope="session")
def gpt2_vocabulary() -> Vocabulary:
    """The 50,257 tokens of GPT-2."""
    return Vocabulary.from_tokenizer(gpt2_tokenizer())


@pytest.fixture
def tiny_vocabulary() -> Vocabulary:
    """64 tokens; those with an x are 0 to 7."""
    return Vocabulary(tuple(f"{'x' if i < 8 else 'y'}{i}".encode() for i in range(64)))


@pytest.fixture
def tiny_model() -> Model5ForCausalLM:
    """Model 5 with 64 tokens and a context of 24."""
    return devices.placed(build_model5(0, **TINY))


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests of pages: playwright has but one in a process."""
    from tests.browser import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the checkout")
    return folder


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """A tiny model on disk, with a cache of its own."""
    from tests.tiny import tiny_loaded

    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    loaded = tiny_loaded()
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    """A reference on disk, and 39 benign changes of it."""
    from tests.tiny import worded_loaded
    from tiltlm.auditing.null.building import build_null

    folder = tmp_path_factory.mktemp("audit")
    loaded = worded_loaded()
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    (folder / "one.txt").write_text(
        " ".join(f"bado{'kilu'[: 2 + i % 3]} menopi rusota" for i in range(600))
    )
    (folder / "two.txt").write_text(
        " ".join(f"sota{'meno'[: 2 + i % 3]} kidolu" for i in range(600))
    )
    corpora = [f"text:{folder / name}.txt" for name in ("one", "two")]
    built = build_null(
        str(folder / "model"),
        folder / "null",
        models=39,
        corpora=corpora,
        default_corpora=False,
        contexts=32,
        length=24,
        steps=(1, 2, 4),
        words=64,
        words_every=1,
    )
    assert built.models == 39
    return folder
