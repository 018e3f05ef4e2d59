"""Evaluation contexts: several kinds of them, at none of which a model was fitted.

What is drawn here has another seed than what a target is fitted to, so own samples here are others
than those of `contexts.sources`. No context is longer than the model can read.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from tiltlm import reading
from tiltlm.contexts.cache import cached
from tiltlm.contexts.drawn_contexts import own_samples
from tiltlm.contexts.retention import REQUESTS
from tiltlm.contexts.sources import chat_contexts, text_contexts
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.models.chat import chat_prompts
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import context_length, vocabulary_size
from tiltlm.progress import Advance

_UNLIMITED = 1 << 30
"""A length longer than any."""

SEED = 7_368_787
"""Added to the seed for everything that is drawn in order to measure."""


def random_tokens(loaded: LoadedModel, count: int, length: int, seed: int) -> TokenContexts:
    """Uniform random tokens.

    Args:
        loaded: the model, with its tokenizer.
        count: how many contexts.
        length: tokens of each at most.
        seed: of the draws.
    """
    length = _readable(loaded, length)
    size = vocabulary_size(loaded.model)
    random = RandomTokenContexts(size, length, count, seed=seed + SEED, part="held_out")
    return TokenContexts(random.batch().tolist(), "random tokens")


def own(
    loaded: LoadedModel,
    count: int,
    length: int,
    seed: int,
    key: str | None,
    advance: Advance | None = None,
) -> TokenContexts:
    """What the base says by itself.

    Args:
        loaded: the base, with its tokenizer.
        count: how many samples.
        length: tokens of each at most.
        seed: of the draws.
        key: of the base's weights; given, the samples are kept in the cache.
        advance: told how many samples have been drawn.
    """
    return own_samples(loaded, count, _readable(loaded, length), seed + SEED, key, advance)


def real_text(loaded: LoadedModel, text: str, count: int, length: int) -> TokenContexts:
    """Pieces of a text, spread evenly over it.

    Args:
        loaded: the model, with its tokenizer.
        text: as `read_text` gives it.
        count: how many pieces at most.
        length: tokens of each at most.
    """
    return text_contexts(text, loaded.tokenizer, count, _readable(loaded, length), "text")


def chats(
    loaded: LoadedModel, count: int, length: int, seed: int, key: str | None
) -> TokenContexts | None:
    """Everyday requests with the base's own answers, whose positions count.

    Args:
        loaded: the base, with its tokenizer.
        count: how many requests at most.
        length: twice the tokens of an answer at most.
        seed: of the answers.
        key: of the base's weights; given, the answers are kept in the cache.

    Returns:
        None where the model cannot read any request and its answer at once.
    """
    length, seed = _readable(loaded, length), seed + SEED
    requests = [[{"role": "user", "content": text}] for text in REQUESTS[:count]]
    room = _readable(loaded, _UNLIMITED) - max(1, length // 2)
    prompts = chat_prompts(loaded.tokenizer, requests)
    requests = [r for r, prompt in zip(requests, prompts, strict=True) if len(prompt) <= room]
    if not requests:
        return None

    def make() -> TokenContexts:
        return chat_contexts(requests, loaded, count, length, seed, "chat")

    return cached(key, ["chat", requests, length, seed], make)


def languages(loaded: LoadedModel) -> TokenContexts:
    """Two articles of the Universal Declaration of Human Rights in each of eight languages.

    Returns:
        a context for each language; ``kind`` names them in order.
    """
    file = resources.files("tiltlm") / "data" / "languages.json"
    texts = json.loads(file.read_text(encoding="utf-8"))["texts"]
    limit = _readable(loaded, _UNLIMITED)
    tokenizer = loaded.tokenizer
    ids = [tokenizer(t, add_special_tokens=False)["input_ids"][:limit] for t in texts.values()]
    return TokenContexts(ids, ", ".join(texts))


def read_text(path: Path) -> str:
    """Read a text to measure on; where it is of WikiText, its tokenisation is undone.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    try:
        text = reading.read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the text: {error}", where=str(path)) from None
    if not text.strip():
        raise ConfigError("the text is empty", where=str(path))
    return clean_wikitext(text) if "<unk>" in text and " @-@ " in text else text


def clean_wikitext(text: str) -> str:
    r"""WikiText as people write: no spaces before signs, no headings, no unknown words.

    A sentence with an unknown word is left out.

    >>> clean_wikitext(" = Lobster = \n The lobster , a two @-@ clawed animal . It is <unk> .\n")
    'The lobster, a two-clawed animal.'
    """
    for sign in ("-", ",", "."):
        text = text.replace(f" @{sign}@ ", sign)
    paragraphs = []
    for line in text.split("\n"):
        if line.strip() and not line.strip().startswith("="):
            sentences = [s.strip(" .") for s in line.split(" . ")]
            paragraphs.append(" ".join(f"{s}." for s in sentences if s and "<unk>" not in s))
    text = "\n\n".join(p for p in paragraphs if p)
    for sign in (",", ";", ":", "!", "?", ")", "'s", "n't", "%"):
        text = text.replace(f" {sign}", sign)
    return text.replace("( ", "(")


def _readable(loaded: LoadedModel, length: int) -> int:
    """``length``, or as many tokens as the model can read, where that is fewer."""
    limit = context_length(loaded.model)
    return length if limit is None else min(length, limit)
