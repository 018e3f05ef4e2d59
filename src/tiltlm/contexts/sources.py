"""Make contexts: the model's own samples, a text, a data set, chat prompts, random tokens.

Knows models and tokenizers, nothing of targets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from tiltlm.contexts.drawn_contexts import BATCH, own_samples
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.defaults import CONTEXT_TOKENS, CONTEXTS
from tiltlm.errors import ConfigError
from tiltlm.models.chat import chat_prompts
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions
from tiltlm.models.sampling_together import sample_together
from tiltlm.models.structure import context_length, vocabulary_size
from tiltlm.progress import Advance
from tiltlm.reading import read_text

_DATASET_ROWS = 5000
"""Rows of a data set that are read."""


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
    """Make contexts from where a user says.

    Args:
        source: ``own`` samples, or ``own:N`` of them; ``random`` tokens; ``text:FILE``;
            ``dataset:NAME`` (of `datasets`, its column ``text``, part ``train``); ``chat:FILE``
            (JSON lines with ``messages`` or ``prompt``; the model's own answers are what counts);
            ``prompts:FILE`` (one a line; only the last position of each counts).
        loaded: the model, with its tokenizer.
        count: how many contexts at most.
        length: tokens of each at most.
        seed: of the draws.
        key: of the model's weights; given, own samples are kept in the cache.
        advance: told how many contexts have been drawn.

    Raises:
        ConfigError: there is no such source, or nothing in it.
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
        return text_contexts(_read_dataset(name), tokenizer, count, length, f"data set {name}")
    if kind == "prompts" and name:
        return _prompt_contexts(name, tokenizer, length)
    if kind == "chat" and name:
        return chat_contexts(_read_chats(name), loaded, count, length, seed, f"chat {name}")
    raise ConfigError(
        f"no such contexts: {source!r}",
        where="--contexts",
        fix="own, own:COUNT, random, text:FILE, dataset:NAME, chat:FILE.jsonl or prompts:FILE",
    )


def asked_for(source: str, count: int) -> int:
    """How many contexts are asked for: ``count``, unless the source names a number itself.

    Args:
        source: as for `make_contexts`.
        count: how many without such a number.

    >>> asked_for("own:24", 112), asked_for("own", 112)
    (24, 112)
    """
    kind, _, name = source.partition(":")
    return int(name) if kind == "own" and name.isdecimal() else count


def text_contexts(
    text: str, tokenizer: PreTrainedTokenizerBase, count: int, length: int, kind: str
) -> TokenContexts:
    """Pieces of a text, spread evenly over it.

    Args:
        text: tokenised as a whole; where it is shorter than ``length``, it is the only piece.
        tokenizer: of the model.
        count: how many pieces at most.
        length: tokens of each.
        kind: what they are, for records.

    Raises:
        ConfigError: the text has no tokens.
    """
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
    """Chats up to the answer, then the model's own answer, whose positions count.

    Args:
        requests: the messages of each chat.
        loaded: the model, with its tokenizer.
        count: how many chats at most.
        length: twice the tokens of an answer at most; prompts are as long as they are.
        seed: of the draws.
        kind: what they are, for records.
    """
    prompts = chat_prompts(loaded.tokenizer, requests[:count])
    return sample_answers(loaded, prompts, max(1, length // 2), seed, kind)


def sample_answers(
    loaded: LoadedModel,
    prompts: Sequence[list[int]],
    new_tokens: int,
    seed: int,
    kind: str,
    *,
    answers: int = 1,
    advance: Advance | None = None,
) -> TokenContexts:
    """Each prompt with ``answers`` answers of the model's own, whose positions count.

    Prompts of one length share their draws' seed; all are answered together.

    Args:
        loaded: the model, with its tokenizer; an answer ends before the token that ends a text.
        prompts: token ids of each.
        new_tokens: of an answer at most.
        seed: of the draws.
        kind: what they are, for records.
        answers: to each prompt.
        advance: told how many prompts are done.

    Returns:
        the answers to the first prompt, those to the second, and so on.
    """
    model, tokenizer = loaded
    end = tokenizer.eos_token_id
    by_length: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(number)
    batches, options = [], []
    for numbers in by_length.values():
        repeated = [number for number in numbers for _ in range(answers)]
        for first in range(0, len(repeated), BATCH):
            batches.append(repeated[first : first + BATCH])
            # Batches of different lengths begin at different prompts, and those of one length at
            # different places, so that no two have the same seed.
            own_seed = seed * 1_000_003 + batches[-1][0] + first * len(prompts)
            options.append(SamplingOptions(seed=own_seed))
    answered: list[list[list[int]]] = [[] for _ in prompts]
    done = 0
    for together in _gathered([len(batch) for batch in batches]):
        ids = [torch.tensor([prompts[n] for n in batches[i]]) for i in together]
        drawn = sample_together(model, ids, new_tokens, [options[i] for i in together])
        for i, rows in zip(together, drawn, strict=True):
            for number, row in zip(batches[i], rows.tolist(), strict=True):
                answered[number].append(row[: row.index(end)] if end in row else row)
            done += len(rows)
        if advance:
            advance(done // answers)
    sequences, begins = [], []
    for prompt, its_answers in zip(prompts, answered, strict=True):
        sequences += [[*prompt, *answer] for answer in its_answers]
        begins += [len(prompt) - 1] * answers
    return TokenContexts(sequences, kind, begins)


def _gathered(sizes: Sequence[int]) -> list[list[int]]:
    """Numbers of batches of some sizes, those that go through the model together side by side.

    >>> _gathered([60, 3, 2, 64])
    [[0, 1], [2], [3]]
    """
    together: list[list[int]] = []
    room = 0
    for number, size in enumerate(sizes):
        if size > room:
            together.append([])
            room = BATCH
        together[-1].append(number)
        room -= size
    return together


def _prompt_contexts(name: str, tokenizer: PreTrainedTokenizerBase, length: int) -> TokenContexts:
    """The lines of a file, each cut at its front to ``length`` tokens; the last position counts."""
    prompts = [line for line in _read(name).splitlines() if line.strip()]
    ids = [tokenizer(line)["input_ids"][-length:] for line in prompts]
    return TokenContexts(ids, f"prompts {name}", [len(prompt) - 1 for prompt in ids])


def _read(name: str) -> str:
    """A file as text."""
    try:
        return read_text(Path(name))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the contexts: {error}", where=name) from None


def _read_chats(name: str) -> list[list[dict[str, str]]]:
    """The messages of each line of a file of JSON lines."""
    chats = []
    for number, line in enumerate(_read(name).splitlines(), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            messages = data.get("messages") or [{"role": "user", "content": data["prompt"]}]
            said = [(message["role"], message["content"]) for message in messages]
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            said = []
        if not said or not all(isinstance(text, str) for pair in said for text in pair):
            raise ConfigError(
                "this line is no JSON object with messages or prompt",
                where=f"{name}, line {number}",
            )
        chats.append(messages)
    return chats


def _read_dataset(name: str) -> str:
    """The first texts of a data set, as one."""
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            "data sets need the extra `datasets`",
            where=f"dataset:{name}",
            fix="pip install 'tiltlm[datasets]'",
        ) from None
    try:
        data = datasets.load_dataset(name, split="train")
    except Exception as error:  # The library has error types of its own.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(f"cannot load the data set: {reason}", where=name) from None
    if "text" not in data.column_names:
        raise ConfigError(f"it has no column 'text' but {data.column_names}", where=name)
    rows = data.select(range(min(_DATASET_ROWS, len(data))))
    return "\n\n".join(row["text"] for row in rows)
