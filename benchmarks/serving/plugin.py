"""Time a token under the plugin for vLLM: 16 requests at once, with several targets and none.

Two servers of SmolLM2 stand side by side, one without the plugin (the baseline) and one with it.
They take turns, so nothing else should run. It needs what `make engines` installs:

    .engines/bin/python -m benchmarks.serving.plugin [--rounds 5]
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from tests.engines.running import TARGETS, VLLM, engine, post_together

from benchmarks.harness.timing import Build, Group, Work, main, plain
from tiltlm.models.loading import load
from tiltlm.serving.export.beside_base import PROCESSOR

REQUESTS, TOKENS = 16, 64
TILT, PHRASES, OTHER = TARGETS

ASKED: dict[str, list[str]] = {
    "plugin, no target": ["none"],
    "plugin, a tilt": [TILT],
    "plugin, 1,000 phrases": [PHRASES],
    "plugin, three targets and none": ["none", TILT, PHRASES, OTHER],
}
"""What the requests ask for in turn, by variant."""


def ask(url: str, targets: list[str]) -> None:
    """Draw 16 × 64 tokens at once."""
    post_together(
        url,
        [
            {
                "model": "base", "prompt": "The fox and the ta", "max_tokens": TOKENS,
                "temperature": 1.0, "seed": number, "ignore_eos": True,
                **({"vllm_xargs": {"tiltlm": targets[number % len(targets)]}} if targets else {}),
            }
            for number in range(REQUESTS)
        ],
    )  # fmt: skip


def build(url: str, targets: list[str]) -> Build:
    """One turn of a variant, after one that warms the server up."""

    def built() -> Work:
        ask(url, targets)
        return plain(lambda: ask(url, targets))

    return built


def groups(servers: dict[str, str]) -> list[Group]:
    """One group."""
    variants = {"vLLM without the plugin": build(servers["without"], [])}
    variants |= {name: build(servers["with"], targets) for name, targets in ASKED.items()}
    return [
        Group(
            f"SmolLM2, {REQUESTS} × {TOKENS} tokens by vLLM", variants, "vLLM without the plugin",
            memory=False, amount=REQUESTS * TOKENS, unit="tokens", cost=True,
        )
    ]  # fmt: skip


def shadow(folder: Path) -> dict[str, str]:
    """An environment in which tiltlm has no entry points: vLLM loads all that are installed."""
    info = folder / "shadow" / "tiltlm-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiltlm\nVersion: 0\n")
    return {"PYTHONPATH": os.pathsep.join([str(info.parent), os.environ.get("PYTHONPATH", "")])}


def serve_and_time() -> None:
    """Start both servers, and time."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base = Path(folder) / "base"
        loaded = load("smollm2")
        loaded.model.save_pretrained(base)
        loaded.tokenizer.save_pretrained(base)
        model = ("--model", base, "--served-model-name", "base")
        plugin = ("--logits-processors", PROCESSOR)
        servers = {}
        for name, more, around in (("without", (), shadow(Path(folder))), ("with", plugin, {})):
            with patch.dict(os.environ, around):
                log = Path(folder) / f"{name}.log"
                servers[name] = stack.enter_context(engine(log, *VLLM, *model, *more))
        main(__file__, __doc__ or "", lambda small: groups(servers))


if __name__ == "__main__":
    serve_and_time()
