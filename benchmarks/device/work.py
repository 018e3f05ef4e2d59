"""Edit, train, sampling, reading a shift and an audit at the shapes of models of 1B and 8B weights.

Weights are random, so that no network is needed; hidden states have a common direction, as those of
trained models have, without which no edit exists. Drawing is called once before it is timed, since
a GPU sets things up at each new length of text; all else is timed at its only call. Memory is the
peak beyond the weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen3Config

from tiltlm.auditing.auditing import audit
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.models.gpt2 import gpt2_tokenizer
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.realise.editing import edit
from tiltlm.realise.training import train
from tiltlm.recipes.training import Training

TARGET = "tilt(contains('x'), 1)"


def shapes(small: bool) -> dict[str, Any]:
    """Configs by name: those of Llama-3.2-1B and Qwen3-8B, or one that a processor can take."""
    if small:
        size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
        return {"tiny": LlamaConfig(vocab_size=50304, tie_word_embeddings=True, **size, **heads)}
    llama = LlamaConfig(
        vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
        num_attention_heads=32, num_key_value_heads=8, head_dim=64, tie_word_embeddings=True,
        max_position_embeddings=8192,
    )  # fmt: skip
    qwen = Qwen3Config(
        vocab_size=151_936, hidden_size=4096, intermediate_size=12_288, num_hidden_layers=36,
        num_attention_heads=32, num_key_value_heads=8, head_dim=128, tie_word_embeddings=False,
        max_position_embeddings=8192,
    )  # fmt: skip
    return {"Llama-3.2-1B's shape": llama, "Qwen3-8B's shape": qwen}


def random_model(config: Any, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    """A model with random weights whose hidden states have a common direction.

    Args:
        config: of its shape.
        device: where it is made.
        dtype: of its weights.
    """
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        common = 4 * embedding.float().norm(dim=1).mean()
        embedding[:, 0] = common
        head = model.get_output_embeddings().weight
        if head is not embedding:
            head[:, 0] = 0.0
    return LoadedModel(model.eval(), gpt2_tokenizer(), "a random model")


def work_rows(device: torch.device, *, small: bool = False) -> list[dict[str, Any]]:
    """Time the work on each shape.

    Args:
        device: where models lie.
        small: a shape and amounts that a processor can take.

    Returns:
        a row for each piece of work: seconds, MiB beyond the weights, and what it came to; or the
        error that ended it.
    """
    rows = []
    dtype = torch.float32 if small else torch.bfloat16
    for shape, config in shapes(small).items():
        loaded = random_model(config, device, dtype)
        model: Any = loaded.model
        weights = model.get_memory_footprint() / 2**20
        for name, call in _work(loaded, small).items():
            row = {"shape": shape, "weights_mib": round(weights), "work": name}
            rows.append(row | _measured(call, device))
            print("  ", rows[-1], flush=True)
        del loaded, model
        _empty(device)
    return rows


def _work(loaded: LoadedModel, small: bool) -> dict[str, Callable[[], str]]:
    """The pieces of work on one model; each says in a few words what it came to."""
    count, length = (8, 16) if small else (64, 128)
    source = f"own:{count}"

    def do_sample() -> str:
        prompts = torch.full((count, 1), 50_256)
        seconds = []
        for seed in (0, 1):
            begin = time.perf_counter()
            sample(loaded.model, prompts, length, SamplingOptions(seed=seed))
            seconds.append(time.perf_counter() - begin)
        first, second = (f"{count * length / of:.0f}" for of in seconds)
        return f"{second} tokens a second; {first} the first time"

    def do_generate() -> str:
        model: Any = loaded.model
        ids = torch.full((count, 1), 50_256, device=model.device)
        begin = time.perf_counter()
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=0,
            max_new_tokens=length,
            min_new_tokens=length,
            pad_token_id=50_256,
            eos_token_id=None,
        )
        assert made.shape[1] == length + 1
        return f"{count * length / (time.perf_counter() - begin):.0f} tokens a second"

    def do_shift() -> str:
        where = _random_contexts(loaded.model, count, length)
        shift = ShiftReader(loaded, where).read(loaded)
        return f"{where.tokens} positions, KL {shift.kl:.1g}"

    def do_edit() -> str:
        tilted = edit(loaded, TARGET, source)
        closed = tilted.fidelity.gap_closed
        tilted.model.unload()  # type: ignore[operator]
        return f"gap closed {closed:.4f}"

    def do_train() -> str:
        tilted = train(loaded, TARGET, source, training=Training(steps=10, every=10))
        closed = tilted.fidelity.gap_closed
        tilted.model.unload()  # type: ignore[operator]
        return f"10 steps, gap closed {closed:.3f}"

    def do_audit() -> str:
        record = audit(loaded, loaded, contexts="random")
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in record.seconds.items())
        return f"verdict {record.verdict}; {parts}"

    return {
        "sampling, ours": do_sample,
        "sampling, generate": do_generate,
        "reading a shift": do_shift,
        "edit, own samples and measuring included": do_edit,
        "train, own samples and measuring included": do_train,
        "an audit by logits, uncalibrated": do_audit,
    }


def _random_contexts(model: PreTrainedModel, count: int, length: int) -> TokenContexts:
    ids = RandomTokenContexts(int(model.config.vocab_size), length, count, seed=0).batch()
    return TokenContexts(ids.tolist(), "random tokens")


def _measured(call: Callable[[], str], device: torch.device) -> dict[str, Any]:
    """Seconds, and the peak of memory beyond what was taken before."""
    _empty(device)
    before = torch.cuda.memory_allocated() if device.type == "cuda" else 0
    begin = time.perf_counter()
    try:
        said = call()
    except Exception as error:  # What fails is told; the rest goes on.
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    row: dict[str, Any] = {"seconds": round(time.perf_counter() - begin, 2), "result": said}
    if device.type == "cuda":
        row["extra_mib"] = round((torch.cuda.max_memory_allocated() - before) / 2**20)
    return row


def _empty(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
