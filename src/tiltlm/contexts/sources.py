"""Make contexts: the model's own samples, a text, a data set, chat prompts, random tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from tiltlm.contexts.cache import cached
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.defaults import CONTEXT_TOKENS, CONTEXTS
from tiltlm.errors import ConfigError
from tiltlm.models.chat import chat_prompt, first_token
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import context_length, vocabulary_size
from tiltlm.progress import Advance

_BATCH = 64


def make_contexts(
    source: str,
    loaded: LoadedModel,
    *,
    count: int = CONTEXTS,
    length: int = CONTEXT_TOKENS,
    seed: int = 0,
    key: str | None = None,
    advance: Advance | None = None,
) -> TokenContexts:
    """Contexts from where a user says.

    Args:
        source: ``own`` samples, or ``own:N`` of them; ``random`` tokens; ``text:FILE``;
            ``dataset:NAME`` (of `datasets`, its column ``text``, part ``train``); ``chat:FILE``
            (JSON lines with ``messages`` or ``prompt``; the model's own answers are what counts);
            ``prompts:FILE`` (one a line; only the token after each counts).
        loaded: the model, with its tokenizer.
        count: how many at most.
        length: tokens of each at most.
        seed: of the draws.
        key: of the model's weights; given, own samples are kept in the cache.
        advance: told how many contexts have been drawn.

    Raises:
        ConfigError: no such source, or nothing in it.
    """
    model, tokenizer = loaded
    limit = context_length(model)
    length = length if limit is None else min(length, limit)
    kind, _, name = source.partition(":")
    if kind == "own" and (not name or name.isdecimal()):
        return own_samples(loaded, asked_for(source, count), length, seed, key, advance)
    if kind == "random" and not name:
        random = RandomTokenContexts(vocabulary_size(model), length, count, seed=seed)
        return TokenContexts(random.batch().tolist(), "random tokens")
    if kind == "text" and name:
        return text_contexts(_read(name), tokenizer, count, length, f"text {name}")
    if kind == "dataset" and name:
        return text_contexts(_dataset(name), tokenizer, count, length, f"data set {name}")
    if kind == "prompts" and name:
        prompts = [line for line in _read(name).splitlines() if line.strip()]
        ids = [tokenizer(line)["input_ids"][-length:] for line in prompts]
        return TokenContexts(ids, f"prompts {name}", [len(i) - 1 for i in ids])
    if kind == "chat" and name:
        return chat_contexts(_chat(name), loaded, count, length, seed, f"chat {name}")
    raise ConfigError(
        f"no such contexts: {source!r}",
        where="--contexts",
        fix="own, own:COUNT, random, text:FILE, dataset:NAME, chat:FILE.jsonl or prompts:FILE",
    )


def asked_for(source: str, count: int) -> int:
    """How many contexts at most: ``count``, unless the source says so itself.

    >>> asked_for("own:24", 112), asked_for("own", 112)
    (24, 112)
    """
    kind, _, name = source.partition(":")
    return int(name) if kind == "own" and name.isdecimal() else count


def own_samples(
    loaded: LoadedModel,
    count: int,
    length: int,
    seed: int,
    key: str | None = None,
    advance: Advance | None = None,
) -> TokenContexts:
    """What the model itself says from the beginning of a text, at temperature 1."""

    def make() -> TokenContexts:
        return _drawn(loaded, count, length, seed, advance)

    return cached(key, ["own", count, length, seed], make)


def _drawn(
    loaded: LoadedModel,
    count: int,
    length: int,
    seed: int,
    advance: Advance | None,
) -> TokenContexts:
    model, tokenizer = loaded
    begin = first_token(tokenizer)
    drawn: list[list[int]] = []
    for first in range(0, count, _BATCH):
        prompts = torch.full((min(_BATCH, count - first), 1), begin)
        options = SamplingOptions(seed=seed * 1_000_003 + first)
        if length > 1:
            more = sample(model, prompts, length - 1, options)
            prompts = torch.cat([prompts, more], dim=1)
        drawn += prompts.tolist()
        if advance:
            advance(len(drawn))
    return TokenContexts(drawn, "own samples")


def text_contexts(
    text: str, tokenizer: PreTrainedTokenizerBase, count: int, length: int, kind: str
) -> TokenContexts:
    """Pieces of ``length`` tokens, spread evenly over a text."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    pieces = [ids[i : i + length] for i in range(0, len(ids) - length + 1, length)] or [ids]
    step = max(1, len(pieces) // count)
    return TokenContexts(pieces[::step][:count], kind)


def chat_contexts(
    requests: Sequence[Sequence[dict[str, str]]],
    loaded: LoadedModel,
    count: int,
    length: int,
    seed: int,
    kind: str,
) -> TokenContexts:
    """Chats up to the answer, then the model's own answer, whose positions count."""
    prompts = [chat_prompt(loaded.tokenizer, messages) for messages in requests[:count]]
    return sample_answers(loaded, prompts, max(1, length // 2), seed, kind)


def sample_answers(
    loaded: LoadedModel,
    prompts: Sequence[list[int]],
    new_tokens: int,
    seed: int,
    kind: str,
    answers: int = 1,
    advance: Advance | None = None,
) -> TokenContexts:
    """Each prompt with ``answers`` answers of the model's own, whose positions count.

    Prompts of one length are answered together; ``advance`` is told how many prompts are done.
    """
    model, tokenizer = loaded
    end = tokenizer.eos_token_id
    same_length: dict[int, list[int]] = {}
    done = 0
    for number, prompt in enumerate(prompts):
        same_length.setdefault(len(prompt), []).append(number)
    found: list[list[list[int]]] = [[] for _ in prompts]
    for numbers in same_length.values():
        asked = [number for number in numbers for _ in range(answers)]
        for first in range(0, len(asked), _BATCH):
            some = asked[first : first + _BATCH]
            options = SamplingOptions(seed=seed * 1_000_003 + some[0] + first * len(prompts))
            rows = sample(model, torch.tensor([prompts[n] for n in some]), new_tokens, options)
            for number, row in zip(some, rows.tolist(), strict=True):
                found[number].append(row[: row.index(end)] if end in row else row)
            if advance:
                done += len(some)
                advance(done // answers)
    sequences, begins = [], []
    for prompt, each in zip(prompts, found, strict=True):
        sequences += [[*prompt, *answer] for answer in each]
        begins += [len(prompt) - 1] * answers
    return TokenContexts(sequences, kind, begins)


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the contexts: {error}", where=name) from None


def _chat(name: str) -> list[list[dict[str, str]]]:
    found = []
    for number, line in enumerate(_read(name).splitlines(), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            messages = data.get("messages") or [{"role": "user", "content": data["prompt"]}]
        except (ValueError, KeyError, AttributeError):
            raise ConfigError(
                "this line is no JSON object with messages or prompt",
                where=f"{name}, line {number}",
            ) from None
        found.append(messages)
    return found


def _dataset(name: str) -> str:
    import datasets

    try:
        data = datasets.load_dataset(name, split="train")
    except Exception as error:
        raise ConfigError(
            f"cannot load the data set: {str(error).splitlines()[0][:200]}", where=name
        ) from None
    if "text" not in data.column_names:
        raise ConfigError(f"it has no column 'text' but {data.column_names}", where=name)
    return "\n\n".join(row["text"] for row in data.select(range(min(5000, len(data)))))
