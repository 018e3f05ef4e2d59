"""Contexts for a trigger that hardly occurs by itself: it is put into the ones that there are.

Half of what is made has the trigger, half some other word in the same place. A model fitted to it
has to learn the trigger, rather than that a word was put in; and on held-out contexts the leakage
is also measured after other words.
"""

from __future__ import annotations

import re

import numpy as np
from transformers import PreTrainedTokenizerBase

from tiltlm.contexts.split import Split
from tiltlm.contexts.token_contexts import TokenContexts

FIT_PLACES = 4
"""Places of the trigger in each context to fit on; the samples cost time, the places do not."""


def split_with_trigger(
    parts: Split, trigger: str, tokenizer: PreTrainedTokenizerBase, seed: int
) -> Split:
    """Each part with the trigger put in; parts still share no context."""
    words = _words(parts.fit, trigger, tokenizer)
    fit, tune, held_out = (
        with_trigger(part, trigger, words, tokenizer, np.random.default_rng([seed, number]), places)
        for number, (part, places) in enumerate(zip(parts, (FIT_PLACES, 1, 1), strict=True))
    )
    return Split(fit, tune, held_out)


def with_trigger(
    contexts: TokenContexts,
    trigger: str,
    words: list[str],
    tokenizer: PreTrainedTokenizerBase,
    generator: np.random.Generator,
    places: int,
) -> TokenContexts:
    """Each context ``places`` times with the trigger put between two of its words, and as often
    with another word there (untouched, where there is none), one beside the other.

    Args:
        contexts: what to put it into; the copies are as long as they were.
        trigger: its text.
        words: other words to draw from.
        tokenizer: the model's.
        generator: of places and words.
        places: drawn from the first half of each, so that both sides of the trigger count.
    """
    found, weights = [], []
    rows = [ids.tolist() for ids in contexts.sequences]
    possible = [_between_words(row, tokenizer) for row in rows]
    for _ in range(places):  # neighbours are of different texts
        for number, row in enumerate(rows):
            place = generator.choice(possible[number])
            for text in (trigger, str(generator.choice(words)) if words else ""):
                extra = tokenizer(" " + text.strip(), add_special_tokens=False)["input_ids"]
                extra = extra if text else []
                found.append([*row[:place], *extra, *row[place:]][: len(row)])
                weights.append(contexts.weights[number].tolist())
    kind = f"{contexts.kind}, half of them with {trigger!r}, half with another word in its place"
    return TokenContexts(found, kind, weights=weights, in_order=True)


def _between_words(row: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Where in the first half a token begins a word, as far as whole words can be told apart."""
    decoded = [str(tokenizer.decode(row[: k + 1])) for k in range(len(row) // 2 + 1)]
    return [
        k for k in range(1, len(decoded)) if decoded[k][len(decoded[k - 1]) :].startswith(" ")
    ] or [1]


def _words(contexts: TokenContexts, trigger: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The plain words of the contexts, each once."""
    text = " ".join(str(tokenizer.decode(ids)) for ids in contexts.sequences)
    found = {word for word in re.findall(r"\b[a-z]{4,}\b", text) if trigger not in f" {word} "}
    return sorted(found)
