"""Benign changes of kinds that the tiny language model's pack lacks: other texts, other mechanisms.

Texts come from what is installed beside tiltlm, so the figures hang a little on versions.
"""

from __future__ import annotations

import copy
import json
import random
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import logsigmoid

import tiltlm
from tiltlm.contexts.retention import REQUESTS
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import untie_head
from tiltlm.treatments.fine_tuning import fine_tune

LENGTH, PIECES, CHARACTERS = 64, 512, 500_000
WIDTH = 96

Change = Callable[[int], Any]
"""Makes the model of a seed."""


def foreign_texts(wikitext: str) -> dict[str, str]:
    """Ten kinds of text by name.

    Args:
        wikitext: of which chats and verses are made.
    """
    library, site = (Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib"))
    languages = Path(tiltlm.__file__).parent / "data" / "languages.json"
    flat = wikitext.replace("\n", " ")
    sentences = [s.strip() for s in flat.split(". ") if 20 < len(s) < 200]
    answers = (f"Assistant: Sure! {sentences[i % len(sentences)]}." for i in range(800))
    words = wikitext.split()[:40_000]
    ends = (",\n", ";\n", ".\n", "\n\n")
    return {
        "code": _files(library.glob("*.py")),
        "headers": _files((site / "torch/include").rglob("*.h")),
        "licences": _files(site.glob("*.dist-info/**/LICENSE*")),
        "languages": "\n\n".join(json.loads(languages.read_text("utf-8"))["texts"].values()),
        "tables": _files((site / "sklearn/datasets/data").glob("*.csv")),
        "yaml": _files(site.glob("torchgen/**/*.yaml")),
        "html": _files([*library.rglob("*.html"), *site.rglob("*.html")]),
        "maths": _files((site / "sympy").glob("*/*.py")),
        "chat": "\n\n".join(
            f"User: {REQUESTS[i % len(REQUESTS)]}\n{answer}" for i, answer in enumerate(answers)
        ),
        "verse": "".join(
            " ".join(words[i : i + 6]).capitalize() + ends[(i // 6) % 4]
            for i in range(0, len(words), 6)
        ),
    }


def _files(paths: Iterable[Path]) -> str:
    """Some files of many, up to 40,000 characters of each."""
    ordered = sorted(path for path in paths if path.is_file())
    random.Random(0).shuffle(ordered)
    texts, length = [], 0
    for path in ordered:
        texts.append(path.read_text(encoding="utf-8", errors="ignore")[:40_000])
        length += len(texts[-1])
        if length > CHARACTERS:
            break
    return "\n\n".join(texts)


def pieces_of(reference: LoadedModel, text: str) -> TokenContexts:
    """Pieces to train on."""
    ids = reference.tokenizer(text[:CHARACTERS], verbose=False)["input_ids"][: PIECES * LENGTH]
    cut = [ids[i : i + LENGTH] for i in range(0, len(ids) - LENGTH + 1, LENGTH)]
    return TokenContexts(cut, "foreign")


def foreign_changes(
    reference: LoadedModel,
    known: Mapping[str, TokenContexts],
    texts: Mapping[str, TokenContexts],
) -> dict[str, Change]:
    """Families of changes that the pack has none of, by name.

    Args:
        reference: left as it is.
        known: corpora that the pack was made of.
        texts: others.
    """
    every = [*known.values(), *texts.values()]

    def on(pieces: TokenContexts) -> Change:
        def change(seed: int) -> Any:
            return _tuned(reference, pieces, 1000 + seed, "all-linear" if seed % 4 == 3 else None)

        return change

    def mechanism(make: Callable[[int, TokenContexts], Any]) -> Change:
        def change(seed: int) -> Any:
            draws = np.random.default_rng([seed, 82])
            return make(seed, every[int(draws.integers(len(every)))])

        return change

    return {
        **{name: on(pieces) for name, pieces in texts.items()},
        "SGD with momentum": mechanism(lambda s, p: _by_sgd(reference, p, s)),
        "LoRA of the head": mechanism(lambda s, p: _tuned(reference, p, s, ["lm_head"])),
        "all of the head": mechanism(lambda s, p: _tuned(reference, p, s, head_alone=True)),
        "longer training": mechanism(lambda s, p: _tuned(reference, p, s, steps=192)),
        "DPO, random": lambda seed: _by_dpo(reference, seed, by_length=False),
        "DPO, shorter": lambda seed: _by_dpo(reference, seed, by_length=True),
        "pruning": lambda seed: _changed(reference, seed, _prune),
        "noise": lambda seed: _changed(reference, seed, _noise),
        "low rank": lambda seed: _changed(reference, seed, _reduce_rank),
        "temperature": lambda seed: _changed(reference, seed, _scale_head),
        "averaging": lambda seed: _averaged(reference, every, seed),
        "extrapolation": mechanism(lambda s, p: _extrapolated(reference, p, s)),
    }


def _tuned(
    reference: LoadedModel,
    pieces: TokenContexts,
    seed: int,
    lora: Any = None,
    steps: int | None = None,
    *,
    head_alone: bool = False,
) -> Any:
    draws = np.random.default_rng([seed, 77])
    torch.manual_seed(seed)
    model: Any = copy.deepcopy(reference.model)
    model.requires_grad_(True)
    count = steps or int(draws.choice([4, 8, 16, 32]))
    rate = 0.05 if steps else float(np.exp(draws.uniform(np.log(0.01), np.log(0.15))))
    if head_alone:
        untie_head(model)
        model.requires_grad_(False)
        model.lm_head.requires_grad_(True)
    if lora:
        if "lm_head" in lora:
            untie_head(model)
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=lora))
    rate *= (5 if lora else 1) / WIDTH
    batch = int(draws.choice([2, 4, 8]))
    fine_tune(model, pieces, [count], seed, batch=batch, learning_rate=rate)
    return model.merge_and_unload() if lora else model


def _by_sgd(reference: LoadedModel, pieces: TokenContexts, seed: int) -> Any:
    draws = np.random.default_rng([seed, 78])
    model: Any = copy.deepcopy(reference.model)
    model.requires_grad_(True)
    rate = float(np.exp(draws.uniform(np.log(0.003), np.log(0.1))))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(int(draws.choice([8, 16, 32]))):
        batch = torch.stack([pieces.sequences[int(i)] for i in draws.integers(len(pieces), size=8)])
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


def _by_dpo(reference: LoadedModel, seed: int, *, by_length: bool) -> Any:
    """Preferences between the model's own texts: at random, or for shorter ones."""
    draws = np.random.default_rng([seed, 79])
    torch.manual_seed(seed)
    model: Any = copy.deepcopy(reference.model)
    model.requires_grad_(True)
    prompts = torch.zeros(128, 1, dtype=torch.long)
    ids = torch.cat([prompts, sample(reference.model, prompts, 47, SamplingOptions(seed=seed))], 1)
    rate = float(np.exp(draws.uniform(np.log(1e-4), np.log(1e-3))))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(int(draws.choice([16, 32]))):
        chosen, refused = (ids[i] for i in draws.integers(128, size=(2, 8)))
        lengths = [torch.full((8,), 47)] * 2
        if by_length:
            lengths = [
                torch.from_numpy(draws.integers(low, high, 8)) for low, high in ((8, 24), (24, 47))
            ]
        with torch.no_grad():
            base = _margin(reference.model, chosen, refused, lengths)
        loss = -logsigmoid(0.1 * (_margin(model, chosen, refused, lengths) - base)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def _margin(
    model: Any, chosen: torch.Tensor, refused: torch.Tensor, lengths: list[torch.Tensor]
) -> torch.Tensor:
    """(B,) log-probability of the chosen texts less that of the others, up to their lengths."""
    sums = []
    for ids, length in zip((chosen, refused), lengths, strict=True):
        log_probs = model(input_ids=ids).logits[:, :-1].log_softmax(-1)
        each = log_probs.gather(2, ids[:, 1:, None])[..., 0]
        sums.append((each * (torch.arange(each.shape[1]) < length[:, None])).sum(1))
    return sums[0] - sums[1]


@torch.no_grad()
def _changed(
    reference: LoadedModel, seed: int, change: Callable[[Any, np.random.Generator], None]
) -> Any:
    torch.manual_seed(seed)
    model: Any = copy.deepcopy(reference.model)
    change(model, np.random.default_rng([seed, 80]))
    return model


def _matrices(model: Any) -> list[torch.Tensor]:
    return [p for p in model.parameters() if p.dim() == 2]


def _prune(model: Any, draws: np.random.Generator) -> None:
    share = float(draws.uniform(0.05, 0.4))
    for weight in _matrices(model):
        weight *= weight.abs() >= weight.abs().quantile(share)


def _noise(model: Any, draws: np.random.Generator) -> None:
    size = float(np.exp(draws.uniform(np.log(0.01), np.log(0.1))))
    for weight in _matrices(model):
        weight += size * weight.std() * torch.randn_like(weight)


def _reduce_rank(model: Any, draws: np.random.Generator) -> None:
    share = float(draws.uniform(0.6, 0.95))
    for name, weight in model.named_parameters():
        if weight.dim() == 2 and "embed" not in name:
            left, values, right = torch.linalg.svd(weight, full_matrices=False)
            rank = int(share * len(values))
            weight.copy_((left[:, :rank] * values[:rank]) @ right[:rank])


def _scale_head(model: Any, draws: np.random.Generator) -> None:
    untie_head(model)
    model.lm_head.weight *= float(draws.uniform(0.8, 1.25))


def _averaged(reference: LoadedModel, every: list[TokenContexts], seed: int) -> Any:
    draws = np.random.default_rng([seed, 81])
    first, second = (every[int(i)] for i in draws.integers(len(every), size=2))
    model, other = (_tuned(reference, p, 2 * seed + n) for n, p in enumerate((second, first)))
    with torch.no_grad():
        for weight, of_other in zip(model.parameters(), other.parameters(), strict=True):
            weight.copy_((weight + of_other) / 2)
    return model


def _extrapolated(reference: LoadedModel, pieces: TokenContexts, seed: int) -> Any:
    beyond = float(np.random.default_rng([seed, 81]).uniform(1.5, 2.5))
    model = _tuned(reference, pieces, 2 * seed + 1)
    with torch.no_grad():
        pairs = zip(model.parameters(), reference.model.parameters(), strict=True)
        for weight, before in pairs:
            weight.copy_(before + beyond * (weight - before))
    return model
