"""Draw 64 × 128 tokens of SmolLM2's own: `tiltlm.sample` against plain ``model.generate``.

The baseline draws from the same distribution (temperature 1, all tokens, no end), so the ratio is
what our care costs or saves. A second one is ``generate`` with top-k 50, the default of many
configurations, for as many tokens.

    python -m benchmarks.speed.sampling [--small]
"""

from __future__ import annotations

from functools import partial

import torch
from transformers import GenerationConfig

from benchmarks.harness.timing import Build, Group, Work, main, plain
from benchmarks.harness.trainers import pretrained
from tiltlm import SamplingOptions, sample


def prompts(batch: int) -> torch.Tensor:
    """The beginning of a text, in every row."""
    return torch.zeros(batch, 1, dtype=torch.long)


def build_generate(batch: int, tokens: int, small: bool, top_k: int) -> Work:
    """``model.generate``, which never stops early."""
    model = pretrained(small).model.eval()
    # What the model's own config would add (a penalty, say) is no part of the comparison.
    model.generation_config = GenerationConfig()

    def config(count: int) -> GenerationConfig:
        return GenerationConfig(do_sample=True, top_k=top_k, max_new_tokens=count, pad_token_id=0)

    text = prompts(batch)
    mask = torch.ones_like(text)

    def call() -> None:
        with torch.no_grad():
            found = model.generate(text, attention_mask=mask, generation_config=config(tokens))
        assert found.shape == (batch, tokens + 1)

    model.generate(text, attention_mask=mask, generation_config=config(2))
    return plain(call)


def build_ours(batch: int, tokens: int, small: bool) -> Work:
    """`tiltlm.sample`."""
    model, text = pretrained(small).model, prompts(batch)
    sample(model, text, 2)

    def call() -> None:
        assert sample(model, text, tokens, SamplingOptions(seed=1)).shape == (batch, tokens)

    return plain(call)


def groups(small: bool) -> list[Group]:
    """One group."""
    batch, tokens = (2, 4) if small else (64, 128)
    variants: dict[str, Build] = {
        "generate": partial(build_generate, batch, tokens, small, 0),
        "generate, top-k 50": partial(build_generate, batch, tokens, small, 50),
        "tiltlm.sample": partial(build_ours, batch, tokens, small),
    }
    return [
        Group(
            f"Sampling {batch} × {tokens} tokens",
            variants,
            "generate",
            rounds=2 if small else 3,
            amount=batch * tokens,
            unit="tokens",
        )
    ]


if __name__ == "__main__":
    main(__file__, __doc__ or "", groups)
