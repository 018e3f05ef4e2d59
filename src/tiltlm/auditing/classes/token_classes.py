"""What could have been tilted: thousands of classes of tokens, read off the vocabulary itself.

Every hypothesis is an event as `parse_event` reads it, so a finding can be measured, tilted and
undone by its name; lists that the user gives go by their own. Knows the vocabulary, no models.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tiltlm.events.vocabulary import Vocabulary

FEWEST = 8
"""Tokens in a class; smaller ones are single tokens to all intents."""


LONGEST = 4
"""Characters of an n-gram."""


_SCRIPTS = {
    "Latin with accents": r"[\u00c0-\u024f]",
    "Greek": r"[\u0370-\u03ff]",
    "Cyrillic": r"[\u0400-\u04ff]",
    "Hebrew": r"[\u0590-\u05ff]",
    "Arabic": r"[\u0600-\u06ff]",
    "Devanagari": r"[\u0900-\u097f]",
    "Thai": r"[\u0e00-\u0e7f]",
    "Hangul": r"[\uac00-\ud7af]",
    "kana": r"[\u3040-\u30ff]",
    "Han": r"[\u4e00-\u9fff]",
}


_FORMS = {
    "capitalised": r"^ ?[A-Z]",
    "capitals only": r"^ ?[A-Z]{2,}$",
    "small letters only": r"^ ?[a-z]+$",
    "a digit": r"\d",
    "digits only": r"^ ?\d+$",
    "no letter and no digit": r"^[^A-Za-z0-9]+$",
    "begins with a space": r"^ ",
    "a word's middle": r"^[a-z]",
    "a line break": r"\n",
    "a vowel first": r"^ ?[aeiouAEIOU]",
    "an apostrophe": r"'",
    "a hyphen": r"-",
    "quotes": '["“”]',
    "brackets": r"[()\[\]{}]",
    "ends a sentence": r"[.!?]$",
    "-ing": r"[a-z]ing$",
    "-ed": r"[a-z]ed$",
    "-ly": r"[a-z]ly$",
    "-s": r"[a-z]s$",
    "-tion": r"[a-z]tion$",
}


@dataclass(frozen=True)
class TokenClasses:
    """Classes of tokens.

    Attributes:
        names: of each, as events are written where they can be.
        kinds: where each comes from: form, n-gram, list, cluster.
        members: (K, V) sparse 0/1 matrix.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    members: sparse.csr_matrix

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> np.ndarray:
        """(K,) tokens in each."""
        return np.asarray(self.members.sum(1)).ravel()

    def token_ids(self, index: int) -> list[int]:
        """The tokens of one class."""
        return sorted(int(i) for i in self.members[index].indices)

    def simplest(self, best: int, near: np.ndarray, alike: float) -> int:
        """Of a class and those near it that are much like it, the one with the shortest name.

        Args:
            best: the class.
            near: (K,) which explain nearly as well.
            alike: Jaccard index of token sets from which on two are alike.
        """
        ours = set(self.token_ids(best))

        def is_alike(index: int) -> bool:
            theirs = set(self.token_ids(index))
            return len(ours & theirs) >= alike * len(ours | theirs)

        some = [int(i) for i in np.flatnonzero(near) if is_alike(int(i))]
        return min(some, key=lambda i: (len(self.names[i]), i))


def build_classes(
    vocabulary: Vocabulary,
    lists: Mapping[str, Sequence[str]] | None = None,
    clusters: Iterable[Sequence[int]] = (),
) -> TokenClasses:
    """All classes over a vocabulary.

    Args:
        vocabulary: whose tokens; control tokens are in no class.
        lists: words by the name of their list; a token counts that is one of them, with or without
            a space before it, capitalised or not.
        clusters: sets of token ids, such as neighbours among embeddings.

    >>> tokens = tuple(f" {c}x{i}".encode() for c in "bc" for i in range(9))
    >>> names = build_classes(Vocabulary(tokens)).names
    >>> [name for name in names if name.startswith("contains")][:2]
    ["contains('b')", "contains('c')"]
    """
    texts = ["" if i in vocabulary.special_ids else text for i, text in enumerate(vocabulary.texts)]
    made = [*_forms(texts), *_ngrams(texts), *_lists(texts, lists or {}), *_clusters(clusters)]
    count = sum(map(bool, texts))
    kept, seen = [], set()
    for name, kind, ids in made:
        # Classes with the same tokens are one; the first, which is the simplest, names it.
        key = ids.tobytes()
        if FEWEST <= len(ids) <= count - FEWEST and key not in seen:
            seen.add(key)
            kept.append((name, kind, ids))
    columns = np.concatenate([ids for *_, ids in kept]) if kept else np.empty(0, np.int64)
    ends = np.cumsum([0, *(len(ids) for *_, ids in kept)])
    shape = (len(kept), len(texts))
    members = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=shape)
    return TokenClasses(tuple(n for n, *_ in kept), tuple(k for _, k, _ in kept), members)


_Made = tuple[str, str, np.ndarray]


def _forms(texts: Sequence[str]) -> Iterator[_Made]:
    for pattern in [*_FORMS.values(), *_SCRIPTS.values()]:
        found = re.compile(pattern)
        yield f"matches({pattern!r})", "form", _where(texts, lambda t, f=found: bool(f.search(t)))  # type: ignore[misc]
    for length in range(1, 13):
        yield (
            f"matches('^ ?\\\\S{{{length}}}$')",
            "form",
            _where(texts, lambda t, n=length: len(t.removeprefix(" ")) == n and " " not in t[1:]),  # type: ignore[misc]
        )


def _where(texts: Sequence[str], holds: Callable[[str], bool]) -> np.ndarray:
    return np.array([i for i, text in enumerate(texts) if text and holds(text)], np.int64)


def _ngrams(texts: Sequence[str]) -> Iterator[_Made]:
    """Tokens that contain, begin with or end in each string of up to four characters."""
    inside: dict[str, list[int]] = defaultdict(list)
    begins: dict[str, list[int]] = defaultdict(list)
    ends: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        if not text or any(0xD800 <= ord(c) < 0xE000 for c in text):
            continue  # halves of characters
        word = text.removeprefix(" ")
        grams = {text[i : i + n] for n in range(1, LONGEST + 1) for i in range(len(text) - n + 1)}
        for gram in sorted(grams):  # a set's own order differs from process to process
            inside[gram].append(index)
        for n in range(1, min(LONGEST, len(word)) + 1):
            begins[word[:n]].append(index)
            ends[word[-n:]].append(index)
    for gram, ids in sorted(inside.items(), key=lambda item: len(item[0])):
        yield f"contains({gram!r})", "n-gram", np.array(ids, np.int64)
    for gram, ids in sorted(begins.items(), key=lambda item: len(item[0])):
        yield f"matches({'^ ?' + re.escape(gram)!r})", "n-gram", np.array(ids, np.int64)
    for gram, ids in sorted(ends.items(), key=lambda item: len(item[0])):
        yield f"matches({re.escape(gram) + '$'!r})", "n-gram", np.array(ids, np.int64)


def _lists(texts: Sequence[str], lists: Mapping[str, Sequence[str]]) -> Iterator[_Made]:
    for name, words in lists.items():
        wanted = {word.strip().lower() for word in words}
        yield name, "list", _where(texts, lambda t, w=wanted: t.strip().lower() in w)  # type: ignore[misc]


def _clusters(clusters: Iterable[Sequence[int]]) -> Iterator[_Made]:
    for ids in clusters:
        shown = ", ".join(map(str, sorted(ids)))
        yield f"tokens({shown})", "cluster", np.array(sorted(ids), np.int64)
