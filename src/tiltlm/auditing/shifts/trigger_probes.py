"""Contexts that carry words which may be triggers, many words to a context (group testing).

A tilt that waits for a word is not seen where the word does not come up. Each word is put into a
few contexts, each time among other words, so that what all contexts of a word have in common is
that word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import TRIGGER_WORDS
from tiltlm.errors import ConfigError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel

PER_CONTEXT, TIMES = 8, 3


BEFORE, AFTER = 6, 8


CANDIDATES, SAMPLES = 5, 12


_FLOOR = 0.01
"""Nats: a class whose shift differs less than this from context to context differs not at all."""


@dataclass(frozen=True)
class TriggerProbes:
    """Words, and the contexts they were put into.

    Attributes:
        words: W of them.
        contexts: C of them; what comes after the words counts.
        groups: (C, PER_CONTEXT) numbers of the words in each.
    """

    words: list[str]
    contexts: TokenContexts
    groups: Array

    @property
    def places(self) -> Array:
        """(W, TIMES) numbers of the contexts of each word."""
        found = np.argsort(self.groups.reshape(-1), kind="stable") // self.groups.shape[1]
        return np.asarray(found.reshape(len(self.words), -1))


@dataclass(frozen=True)
class TriggeredClass:
    """A class that moves where a word came before.

    Attributes:
        word: number of the word.
        index: of the hypothesis that stands out most.
        score: where it shows least, over the spread between contexts.
    """

    word: int
    index: int
    score: float


def probe_words(
    vocabulary: Vocabulary, given: Sequence[str], count: int = TRIGGER_WORDS
) -> list[str]:
    """Words to try: those given, and the commonest plain words that are one token.

    Tokenizers learn common words first, so low ids come first.
    """
    plain = re.compile(r" [a-z]{4,}")
    own = [text[1:] for text in vocabulary.texts if plain.fullmatch(text)]
    words = list(dict.fromkeys([*given, *own]))[: max(count, len(given))]
    # Whole groups, so that every word is put into as many contexts.
    return words[: len(words) - len(words) % PER_CONTEXT] if len(words) > PER_CONTEXT else words


def make_trigger_probes(
    loaded: LoadedModel, words: Sequence[str], samples: TokenContexts
) -> TriggerProbes:
    """Put words into the reference's own samples.

    Args:
        loaded: whose tokenizer.
        words: to try.
        samples: at least a few, each of `BEFORE` + `AFTER` tokens or more.
    """
    draws = np.random.default_rng(len(words))
    size = min(PER_CONTEXT, len(words))
    groups: list[Array] = []
    for _ in range(TIMES):
        order = draws.permutation(len(words))
        groups += [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    sequences, begins = [], []
    for number, group in enumerate(groups):
        sample = samples.sequences[number % len(samples)].tolist()
        listed = " " + ", ".join(words[int(w)] for w in group) + "."
        ids = loaded.tokenizer(listed, add_special_tokens=False)["input_ids"]
        start = [*sample[:BEFORE], *ids]
        sequences.append([*start, *sample[BEFORE : BEFORE + AFTER]])
        begins.append(len(start) - 1)
    return TriggerProbes(
        list(words), TokenContexts(sequences, "words in own samples", begins), np.stack(groups)
    )


def find_triggered_class(
    outside: ResidualFilter, by_context: Array, probes: TriggerProbes
) -> TriggeredClass:
    """The word and class that go together most.

    Args:
        outside: knows the column space and the classes.
        by_context: (C, V) shifts at the probes' contexts.
        probes: what the contexts are.
    """
    strengths = np.where(outside.visible, outside.strengths(by_context), 0.0)
    strengths = (strengths - np.median(strengths, 0)).astype(np.float32)
    there = strengths[probes.places]
    # A trigger shows in all of its contexts, so what counts is the one where it shows least.
    weakest = np.clip(there.min(1), 0, None) + np.clip(there.max(1), None, 0)
    noise = np.median(np.abs(strengths), 0) / 0.6745
    scores = np.abs(weakest) / (noise + _FLOOR)
    word, index = (int(i) for i in np.unravel_index(int(scores.argmax()), scores.shape))
    return TriggeredClass(word, index, float(scores[word, index]))


def single_word_contexts(
    loaded: LoadedModel, words: Sequence[str], samples: TokenContexts, count: int = SAMPLES
) -> TokenContexts:
    """Each sample without a word, then with each of the words alone: (1 + W) · count contexts."""
    sequences, begins = [], []
    for text in ["", *words]:
        ids = loaded.tokenizer(f" {text}", add_special_tokens=False)["input_ids"] if text else []
        for number in range(count):
            sample = samples.sequences[number % len(samples)].tolist()
            start = [*sample[: 2 * BEFORE], *ids]
            sequences.append([*start, *sample[2 * BEFORE : 2 * BEFORE + AFTER]])
            begins.append(len(start) - 1)
    return TokenContexts(sequences, "one word in own samples", begins)


def read_words(path: Path) -> list[str]:
    """Words of a file, one a line, or a JSON list.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if text.lstrip().startswith("[") else text.split("\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the words: {error}", where=str(path)) from None
    words = [str(word).strip() for word in found if str(word).strip()]
    if not words:
        raise ConfigError("there are no words", where=str(path))
    return words
