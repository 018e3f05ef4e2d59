"""The hypotheses of an audit: thousands of classes of tokens that could have been tilted.

All but the given lists are read off the vocabulary and written as `parse_event` reads events, so
that a class that was found can be measured, tilted and undone by its name. A list that the user
gives goes by its own name. Knows the vocabulary, no models.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from tiltlm.auditing.classes.overlap import jaccard
from tiltlm.events.vocabulary import Vocabulary

MIN_CLASS_TOKENS = 8
"""Tokens that a class must have, and must leave out. A smaller class says little more than its
single tokens do."""


MAX_NGRAM_CHARACTERS = 4
"""Length of an n-gram at most."""


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
"""Pattern of each script; the keys are for those who read this file."""


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
"""Pattern of each form that a word or token can have; the keys are for those who read this file."""


@dataclass(frozen=True)
class TokenClasses:
    """K classes of tokens, each a hypothesis of what was tilted.

    Attributes:
        names: K names, as events are written where they can be.
        kinds: K sources: ``form``, ``n-gram``, ``list``, ``cluster``, or ``event`` for a class that
            the user asked for.
        members: (K, V) sparse matrix, 1 where a token is in a class.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    members: sparse.csr_matrix

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> np.ndarray:
        """(K,) number of tokens in each class."""
        return np.asarray(self.members.sum(1)).ravel()

    def token_ids(self, index: int) -> list[int]:
        """Token ids of one class, ascending.

        Args:
            index: number of the class.
        """
        return sorted(int(i) for i in self.members[index].indices)

    def first(self, count: int) -> TokenClasses:
        """The first of these classes.

        Args:
            count: of them.
        """
        return TokenClasses(self.names[:count], self.kinds[:count], self.members[:count])

    def joined(self, others: TokenClasses) -> TokenClasses:
        """These classes, then others over the same tokens.

        Args:
            others: none of which has the same tokens as one of these.
        """
        members = sparse.vstack([self.members, others.members], format="csr")
        return TokenClasses(self.names + others.names, self.kinds + others.kinds, members)

    def simplest(self, best: int, near: np.ndarray, alike: float) -> int:
        """The class with the shortest name among the best one and those that can stand in for it.

        Args:
            best: number of the best class.
            near: (K,) boolean: classes that explain the data nearly as well.
            alike: a class can stand in only if the Jaccard index of its tokens and those of the
                best class is at least this.

        Returns:
            number of the class; of names of the same length the first.
        """
        best_ids = set(self.token_ids(best))

        def is_alike(index: int) -> bool:
            return jaccard(best_ids, set(self.token_ids(index))) >= alike

        candidates = [int(i) for i in np.flatnonzero(near) if is_alike(int(i))]
        return min(candidates, key=lambda i: (len(self.names[i]), i))


def build_classes(
    vocabulary: Vocabulary,
    lists: Mapping[str, Sequence[str]] | None = None,
    clusters: Iterable[Sequence[int]] = (),
) -> TokenClasses:
    """All classes over a vocabulary: forms of words, n-grams, lists and clusters.

    Classes with the same tokens are merged under the first name, and classes with fewer than
    `MIN_CLASS_TOKENS` tokens inside or outside are left out.

    Args:
        vocabulary: whose tokens; control tokens are in no class but given clusters.
        lists: words by the name of their list. A token is in the class if it is one of the words,
            with or without a space before it, capitalised or not.
        clusters: sets of token ids, as `cluster_tokens` gives them.

    Returns:
        K classes over V tokens, in the same order for the same arguments.

    >>> tokens = tuple(f" {c}x{i}".encode() for c in "bc" for i in range(9))
    >>> names = build_classes(Vocabulary(tokens)).names
    >>> [name for name in names if name.startswith("contains")][:2]
    ["contains('b')", "contains('c')"]
    """
    texts = _readable(vocabulary)
    candidates = [
        *_forms(texts),
        *_ngrams(texts),
        *_lists(texts, lists or {}),
        *_clusters(clusters),
    ]
    return _distinct(candidates, texts, set())


def build_lists(
    vocabulary: Vocabulary, lists: Mapping[str, Sequence[str]], known: TokenClasses
) -> TokenClasses:
    """The classes of lists that other classes do not have already.

    Args:
        vocabulary: as for `build_classes`.
        lists: likewise.
        known: classes over the same tokens.
    """
    texts = _readable(vocabulary)
    token_sets = {np.array(known.token_ids(i), np.int64).tobytes() for i in range(len(known))}
    return _distinct(_lists(texts, lists), texts, token_sets)


def _readable(vocabulary: Vocabulary) -> list[str]:
    """(V,) texts of the tokens, empty for control tokens."""
    return ["" if i in vocabulary.special_ids else text for i, text in enumerate(vocabulary.texts)]


def _distinct(
    candidates: Iterable[_Candidate], texts: Sequence[str], token_sets: set[bytes]
) -> TokenClasses:
    """Candidates of enough tokens, each set of tokens once and under its first name.

    Args:
        candidates: of classes.
        texts: (V,) of the tokens.
        token_sets: of classes that are there already; those that are made are put in.
    """
    count = sum(map(bool, texts))
    classes: list[_Candidate] = []
    for name, kind, ids in candidates:
        # Classes with the same tokens are one; the first, which is the simplest, names it.
        key = ids.tobytes()
        if MIN_CLASS_TOKENS <= len(ids) <= count - MIN_CLASS_TOKENS and key not in token_sets:
            token_sets.add(key)
            classes.append((name, kind, ids))
    columns = np.concatenate([ids for *_, ids in classes]) if classes else np.empty(0, np.int64)
    ends = np.cumsum([0, *(len(ids) for *_, ids in classes)])
    shape = (len(classes), len(texts))
    members = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=shape)
    return TokenClasses(tuple(n for n, *_ in classes), tuple(k for _, k, _ in classes), members)


_Candidate = tuple[str, str, np.ndarray]
"""Name, kind, and ascending token ids of a class."""


def _forms(texts: Sequence[str]) -> Iterator[_Candidate]:
    """Tokens of one form or script, and words of each length up to twelve characters."""
    for pattern in [*_FORMS.values(), *_SCRIPTS.values()]:
        search = re.compile(pattern).search
        yield f"matches({pattern!r})", "form", _ids_where(texts, lambda t, s=search: bool(s(t)))  # type: ignore[misc]
    for length in range(1, 13):
        yield (
            f"matches('^ ?\\\\S{{{length}}}$')",
            "form",
            _ids_where(
                texts,
                lambda t, n=length: len(t.removeprefix(" ")) == n and " " not in t[1:],  # type: ignore[misc]
            ),
        )


def _ids_where(texts: Sequence[str], holds: Callable[[str], bool]) -> np.ndarray:
    """Ids of the tokens whose text is not empty and has a property."""
    return np.array([i for i, text in enumerate(texts) if text and holds(text)], np.int64)


def _ngrams(texts: Sequence[str]) -> Iterator[_Candidate]:
    """Tokens that contain, begin with or end in each string of up to four characters.

    Shorter strings come first, and those of one length in the order of the first token that has
    them, so that the name of a class is the same in every process.
    """
    containing: dict[str, list[int]] = defaultdict(list)
    beginning: dict[str, list[int]] = defaultdict(list)
    ending: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        # A token that is a part of a character decodes to surrogates, which no event can name.
        if not text or any(0xD800 <= ord(c) < 0xE000 for c in text):
            continue
        word = text.removeprefix(" ")
        lengths = range(1, MAX_NGRAM_CHARACTERS + 1)
        grams = {text[i : i + n] for n in lengths for i in range(len(text) - n + 1)}
        # Sorted, because the order of a set of strings differs from process to process.
        for gram in sorted(grams):
            containing[gram].append(index)
        for n in range(1, min(MAX_NGRAM_CHARACTERS, len(word)) + 1):
            beginning[word[:n]].append(index)
            ending[word[-n:]].append(index)
    for gram, ids in sorted(containing.items(), key=lambda item: len(item[0])):
        yield f"contains({gram!r})", "n-gram", np.array(ids, np.int64)
    for gram, ids in sorted(beginning.items(), key=lambda item: len(item[0])):
        yield f"matches({'^ ?' + re.escape(gram)!r})", "n-gram", np.array(ids, np.int64)
    for gram, ids in sorted(ending.items(), key=lambda item: len(item[0])):
        yield f"matches({re.escape(gram) + '$'!r})", "n-gram", np.array(ids, np.int64)


def _lists(texts: Sequence[str], lists: Mapping[str, Sequence[str]]) -> Iterator[_Candidate]:
    """Tokens that are a word of each given list, under the list's own name."""
    for name, words in lists.items():
        lowered = {word.strip().lower() for word in words}
        yield name, "list", _ids_where(texts, lambda t, w=lowered: t.strip().lower() in w)  # type: ignore[misc]


def _clusters(clusters: Iterable[Sequence[int]]) -> Iterator[_Candidate]:
    """Each given set of token ids, written as the event that lists them."""
    for ids in clusters:
        listed = ", ".join(map(str, sorted(ids)))
        yield f"tokens({listed})", "cluster", np.array(sorted(ids), np.int64)
