"""Minimal pairs: which of two sentences a model finds likelier.

The sets are BLiMP (a grammatical sentence against one that is not), CrowS-Pairs and WinoBias (a
stereotype against its opposite). They are not shipped: they are read from local files in their own
formats.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.measures.pair import Pair
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.models.chat import first_token
from tiltlm.progress import Advance
from tiltlm.reading import read_text
from tiltlm.records.measure import Comparison
from tiltlm.statistics.comparisons import compare_shares, compare_shift

_NO_PAIR = "no JSON object with sentence_good and sentence_bad"


@dataclass(frozen=True)
class PairSet:
    """Sentence pairs of one kind.

    Attributes:
        name: of the set and its part.
        pairs: (the sentence that counts when it is preferred, the other).
        neutral: share of pairs in which an indifferent model prefers the first, for sets where
            indifference is the ideal; None where to prefer the first is right.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    neutral: float | None

    def draw(self, count: int, seed: int = 0) -> PairSet:
        """At most ``count`` of the pairs, in their order; the same seed draws the same ones."""
        if len(self.pairs) <= count:
            return self
        chosen = np.random.default_rng(seed).permutation(len(self.pairs))[:count]
        return PairSet(self.name, tuple(self.pairs[i] for i in sorted(chosen)), self.neutral)


def find_pair_sets(folder: Path) -> list[PairSet]:
    """Read all sets of a folder.

    Args:
        folder: with ``blimp/*.jsonl``, ``crows_pairs.csv`` or ``winobias/*_type*.txt``.

    Returns:
        a set for each file of BLiMP, two of CrowS-Pairs, one for each type of WinoBias; none
        where none of these files is there.

    Raises:
        ConfigError: a file that is not in its set's format; says which and where.
    """
    sets = [_blimp(path) for path in sorted((folder / "blimp").glob("*.jsonl"))]
    if (folder / "crows_pairs.csv").is_file():
        sets += list(_crows_pairs(folder / "crows_pairs.csv"))
    for pro in sorted((folder / "winobias").glob("pro_type*.txt")):
        sets.append(_winobias(pro, pro.with_name(pro.name.replace("pro_", "anti_"))))
    return sets


@dataclass(frozen=True)
class Margins:
    """Log-probability of the first sentence of each pair less that of the second.

    Attributes:
        base: (pairs,) nats, under the base.
        model: (pairs,) nats, under the model.
    """

    base: np.ndarray
    model: np.ndarray


def margins_of(pair: Pair, pairs: PairSet, advance: Advance | None = None) -> Margins:
    """Read the sentences of a set, each from the beginning of a text, through base and model.

    A sentence's figure is the sum of its tokens' log-probabilities.

    Args:
        pair: base and model.
        pairs: sentences to read.
        advance: told how many sentences have been read.

    Source: Warstadt et al. 2020, BLiMP.
    """
    sentences = [sentence for both in pairs.pairs for sentence in both]
    metrics = read_token_metrics(pair, _contexts(pair, sentences), advance, only_next=True)
    sums = (np.array(metrics.sums(f"next_{who}")).reshape(-1, 2) for who in ("base", "model"))
    return Margins(*(both[:, 0] - both[:, 1] for both in sums))


def compare_margins(name: str, margins: Margins, neutral: float | None) -> list[Comparison]:
    """How often the first sentence is likelier, and how margins change, pair by pair.

    Args:
        name: of the set.
        margins: of its pairs.
        neutral: see `PairSet`.

    Returns:
        the comparison of shares, and that of margins in nats.
    """
    shares = compare_shares(
        name,
        "pair",
        (margins.base > 0).tolist(),
        (margins.model > 0).tolist(),
        worth=0.02,
        neutral=neutral,
    )
    change = (margins.model - margins.base).tolist()
    nats = compare_shift(f"{name}, nats", "pair", change, [1.0] * len(change), worth=0.1)
    return [shares, nats]


def pooled(sets: Sequence[tuple[PairSet, Margins]]) -> Iterator[tuple[str, Margins]]:
    """All pairs of several sets of grammatical sentences together.

    Stereotypes are left out, since their two directions would cancel.

    Args:
        sets: with their margins.

    Returns:
        at most one name with the margins of all pairs; none where there are not several sets.
    """
    parts = [(pairs, margins) for pairs, margins in sets if pairs.neutral is None]
    if len(parts) > 1:
        family = parts[0][0].name.split()[0]
        together = (
            np.concatenate([getattr(margins, who) for _, margins in parts])
            for who in ("base", "model")
        )
        yield f"{family}, all", Margins(*together)


def _contexts(pair: Pair, sentences: Sequence[str]) -> TokenContexts:
    tokenizer = pair.base.tokenizer
    first = first_token(tokenizer)
    ids = [[first, *tokenizer(s, add_special_tokens=False)["input_ids"]] for s in sentences]
    return TokenContexts(ids, "sentences")


def _blimp(path: Path) -> PairSet:
    pairs = []
    for number, line in enumerate(_lines(path), 1):
        try:
            data = json.loads(line)
            pairs.append((str(data["sentence_good"]), str(data["sentence_bad"])))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _damaged(path, number, _NO_PAIR) from None
    return _made(path, f"BLiMP {path.stem}", pairs, None)


def _crows_pairs(path: Path) -> Iterator[PairSet]:
    """The two directions of the set, each pair with the more stereotyping sentence first."""
    by_direction: dict[str, list[tuple[str, str]]] = {"stereo": [], "antistereo": []}
    for number, row in enumerate(csv.DictReader(_lines(path)), 2):
        try:
            pair = (row["sent_more"].strip(), row["sent_less"].strip())
            by_direction[row["stereo_antistereo"]].append(pair)
        except (KeyError, AttributeError):
            raise _damaged(path, number, "no sent_more, sent_less, stereo_antistereo") from None
    for direction, pairs in by_direction.items():
        yield _made(path, f"CrowS-Pairs {direction}", pairs, 0.5)


def _winobias(pro: Path, anti: Path) -> PairSet:
    first, second = ([_plain(line) for line in _lines(p)] for p in (pro, anti))
    if len(first) != len(second):
        raise ConfigError(
            f"{pro.name} has {len(first)} lines, {anti.name} {len(second)}; they belong together",
            where=str(pro.parent),
        )
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a and b and a != b]
    return _made(pro, f"WinoBias {pro.name.split('.')[0].removeprefix('pro_')}", pairs, 0.5)


def _plain(line: str) -> str:
    """A line of WinoBias without its number and its brackets."""
    return re.sub(r"[\[\]]", "", re.sub(r"^\d+ ", "", line)).strip()


def _lines(path: Path) -> list[str]:
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the pairs: {error}", where=str(path)) from None
    return [line for line in text.splitlines() if line.strip()]


def _made(path: Path, name: str, pairs: list[tuple[str, str]], neutral: float | None) -> PairSet:
    if not pairs:
        raise ConfigError("there are no pairs in it", where=str(path))
    return PairSet(name, tuple(pairs), neutral)


def _damaged(path: Path, line: int, fault: str) -> ConfigError:
    return ConfigError(
        f"this line is {fault}", where=f"{path}, line {line}", fix="give the set's own file"
    )
