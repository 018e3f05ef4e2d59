"""Contexts that carry words which may be triggers, many words to a context (group testing).

A tilt that takes a trigger is not seen where the trigger does not come up. So each word is put into
a few contexts, each time among other words, so that what all contexts of a word have in common is
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
from tiltlm.reading import LIST_BYTES, read_text
from tiltlm.statistics.robust import robust_spread

WORDS_PER_CONTEXT, CONTEXTS_PER_WORD = 8, 3
"""The design: so many words share a context, and each word is in so many contexts."""


TOKENS_BEFORE, TOKENS_AFTER = 6, 8
"""Tokens of a sample before and after the words; what comes after the words is read."""


CANDIDATE_WORDS, SAMPLES_PER_CANDIDATE = 5, 12
"""So many words are tried again, each alone in so many samples."""


_MIN_SPREAD_NATS = 0.01
"""Added to the spread of a class's strength over contexts, so that a class which hardly differs
from context to context does not stand out by what is rounding."""


@dataclass(frozen=True)
class TriggerProbes:
    """Words to try as triggers, and the contexts that they were put into.

    Attributes:
        words: W words.
        contexts: C contexts; the positions after the words count.
        groups: (C, `WORDS_PER_CONTEXT`) numbers of the words in each context.
    """

    words: list[str]
    contexts: TokenContexts
    groups: Array

    @property
    def contexts_of_words(self) -> Array:
        """(W, `CONTEXTS_PER_WORD`) numbers of the contexts that hold each word."""
        # A stable sort by word puts the places of each word beside each other.
        contexts = np.argsort(self.groups.reshape(-1), kind="stable") // self.groups.shape[1]
        return np.asarray(contexts.reshape(len(self.words), -1))


@dataclass(frozen=True)
class TriggeredClass:
    """A class that is shifted where a word came before.

    Attributes:
        word: number of the word among those that were tried.
        index: number of the class that stands out most.
        score: strength in the context of the word where it is weakest, over the spread between
            contexts.
    """

    word: int
    index: int
    score: float


def probe_words(
    vocabulary: Vocabulary, given: Sequence[str], count: int = TRIGGER_WORDS
) -> list[str]:
    """Choose the words to try: those given, then the commonest plain words that are one token.

    Tokenizers learn common words first, so tokens with low ids are common.

    Args:
        vocabulary: of the reference.
        given: words that are tried in any case.
        count: of words, unless more are given.

    Returns:
        words without repeats, so many that they fill whole contexts.
    """
    plain = re.compile(r" [a-z]{4,}")
    common = [text[1:] for text in vocabulary.texts if plain.fullmatch(text)]
    words = list(dict.fromkeys([*given, *common]))[: max(count, len(given))]
    # Whole groups, so that every word is put into as many contexts as every other.
    excess = len(words) % WORDS_PER_CONTEXT
    return words[: len(words) - excess] if len(words) > WORDS_PER_CONTEXT else words


def make_trigger_probes(
    loaded: LoadedModel, words: Sequence[str], samples: TokenContexts
) -> TriggerProbes:
    """Put words into the reference's own samples, in random groups.

    Args:
        loaded: the reference, for its tokenizer.
        words: to try.
        samples: at least a few, each of `TOKENS_BEFORE` + `TOKENS_AFTER` tokens or more.

    Returns:
        the probes; the same for the same arguments.
    """
    draws = np.random.default_rng(len(words))
    size = min(WORDS_PER_CONTEXT, len(words))
    groups: list[Array] = []
    for _ in range(CONTEXTS_PER_WORD):
        order = draws.permutation(len(words))
        groups += [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    sequences, begins = [], []
    for number, group in enumerate(groups):
        sample = samples.sequences[number % len(samples)].tolist()
        listed = " " + ", ".join(words[int(w)] for w in group) + "."
        ids = loaded.tokenizer(listed, add_special_tokens=False)["input_ids"]
        start = [*sample[:TOKENS_BEFORE], *ids]
        sequences.append([*start, *sample[TOKENS_BEFORE : TOKENS_BEFORE + TOKENS_AFTER]])
        begins.append(len(start) - 1)
    return TriggerProbes(
        list(words), TokenContexts(sequences, "words in own samples", begins), np.stack(groups)
    )


def find_triggered_class(
    residual_filter: ResidualFilter, by_context: Array, probes: TriggerProbes
) -> TriggeredClass:
    """Find the word and the class that go together most.

    Args:
        residual_filter: of the classes to try; it need not have been fitted.
        by_context: (C, V) log-ratios at the probes' contexts, nats.
        probes: what these contexts are.
    """
    strengths = np.where(residual_filter.testable, residual_filter.strengths(by_context), 0.0)
    strengths = (strengths - np.median(strengths, 0)).astype(np.float32)
    by_word = strengths[probes.contexts_of_words]
    # A trigger shows in all contexts that hold it, so what counts is the one where it is weakest;
    # where signs differ, that is 0.
    weakest = np.clip(by_word.min(1), 0, None) + np.clip(by_word.max(1), None, 0)
    spread = robust_spread(strengths, axis=0, centred=True)
    scores = np.abs(weakest) / (spread + _MIN_SPREAD_NATS)
    word, index = (int(i) for i in np.unravel_index(int(scores.argmax()), scores.shape))
    return TriggeredClass(word, index, float(scores[word, index]))


def single_word_contexts(
    loaded: LoadedModel,
    words: Sequence[str],
    samples: TokenContexts,
    count: int = SAMPLES_PER_CANDIDATE,
) -> TokenContexts:
    """Put each word alone into the reference's own samples.

    Args:
        loaded: the reference, for its tokenizer.
        words: W words.
        samples: of the reference.
        count: of samples for each word.

    Returns:
        (1 + W) · count contexts: each sample without a word, then with each of the words.
    """
    sequences, begins = [], []
    for word in ["", *words]:
        ids = loaded.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] if word else []
        for number in range(count):
            sample = samples.sequences[number % len(samples)].tolist()
            start = [*sample[: 2 * TOKENS_BEFORE], *ids]
            end = 2 * TOKENS_BEFORE + TOKENS_AFTER
            sequences.append([*start, *sample[2 * TOKENS_BEFORE : end]])
            begins.append(len(start) - 1)
    return TokenContexts(sequences, "one word in own samples", begins)


def read_words(path: Path) -> list[str]:
    """Read words from a file.

    Args:
        path: of a text with one word a line, or a JSON list.

    Raises:
        ConfigError: it cannot be read, or holds no words.
    """
    try:
        text = read_text(path, LIST_BYTES)
        entries = json.loads(text) if text.lstrip().startswith("[") else text.split("\n")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read the words: {error}", where=str(path)) from None
    words = [str(word).strip() for word in entries if str(word).strip()]
    if not words:
        raise ConfigError("there are no words", where=str(path))
    return words
