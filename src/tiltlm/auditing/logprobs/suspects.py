"""Suspects that show log-probabilities of their likeliest tokens: here, or at an endpoint.

All are asked at the contexts that the members of a pack were read at. In a text of its own a
suspect comes to other places than its reference, and benign changes look otherwise there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.auditing.logprobs.server_format import ServerFormat, entries
from tiltlm.auditing.shifts.log_ratios import FULL_READ_INTERVAL, TOP_TOKENS
from tiltlm.contexts.logit_reader import LogitReader, batches_of
from tiltlm.contexts.token_contexts import TokenContexts, collate
from tiltlm.errors import ModelError, VocabularyError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.pair import Pair

ASKED = (TOP_TOKENS, 5)
"""Log-probabilities a position to ask for, the next where the server refuses the first."""


REPEATS = 4
"""Times that the same is asked, to see whether a server answers alike."""


_KNOWN = 0.5
"""Less than this share of a server's tokens in the reference's vocabulary: it has another."""


@dataclass(frozen=True)
class Place:
    """A position to look at.

    Attributes:
        row: its number among all of a pack's.
        context: number of its context.
        ids: all tokens up to it.
    """

    row: int
    context: int
    ids: list[int]


@dataclass(frozen=True)
class ShownLogProbs:
    """What a suspect shows at a place.

    Attributes:
        place: where.
        ids: its likeliest tokens.
        log_probs: of these. What is not among them is censored, not zero.
    """

    place: Place
    ids: Array
    log_probs: Array


class LogProbSuspect(Protocol):
    """A suspect."""

    top: int
    """Log-probabilities a position that it gives."""

    @property
    def notes(self) -> list[str]:
        """What a reader should know of it."""

    def places(self, contexts: TokenContexts, count: int, seed: int = 0) -> list[Place]:
        """Positions that it can be asked at, in an order drawn at random."""

    def observe(self, places: Sequence[Place]) -> list[ShownLogProbs]:
        """What it shows there; places where it failed are left out.

        Raises:
            TiltError: it failed everywhere, or shows no log-probabilities.
        """

    def noise(self, place: Place) -> float | None:
        """Standard deviation, nats, of a log-probability when the same is asked again."""


def all_places(contexts: TokenContexts) -> list[Place]:
    """Positions where packs are read in full, in the order of their rows.

    Args:
        contexts: of a pack.
    """
    ends = [
        (number, ids[: position + 1].tolist())
        for number, ids in enumerate(contexts.sequences)
        for position in contexts.positions(number)[::FULL_READ_INTERVAL].tolist()
    ]
    return [Place(row, number, ids) for row, (number, ids) in enumerate(ends)]


def shuffled_places(contexts: TokenContexts, seed: int) -> list[Place]:
    """The same in an order drawn at random, so that the first few are of all contexts."""
    found = all_places(contexts)
    order = np.random.default_rng([seed, 4_241]).permutation(len(found))
    return [found[int(i)] for i in order]


def log_probs_at(reader: LogitReader, places: Sequence[Place]) -> Array:
    """(N, V) log-probabilities, float32; places of one context are read together.

    Args:
        reader: of a model.
        places: N of them.
    """
    longest: dict[int, list[int]] = {}
    for place in places:
        if len(place.ids) > len(longest.get(place.context, [])):
            longest[place.context] = place.ids
    numbers = list(longest)
    contexts = TokenContexts([longest[n] for n in numbers], "places")
    wanted: dict[int, list[int]] = {}
    for index, place in enumerate(places):
        wanted.setdefault(place.context, []).append(index)
    found: list[Array | None] = [None] * len(places)
    for indices in batches_of(contexts):
        batch = collate([contexts[i] for i in indices])
        rows = reader.rows(batch["input_ids"], batch["attention_mask"])
        for index, row in zip(indices, rows, strict=True):
            here = wanted[numbers[index]]
            logits = reader.logits(row[[len(places[i].ids) - 1 for i in here]])
            for i, one in zip(here, logits.log_softmax(-1).cpu().numpy(), strict=True):
                found[i] = one
    return np.stack([one for one in found if one is not None])


class LocalSuspect:
    """A model in this process, of which no more is used than a server would show.

    Args:
        pair: the suspect and its reference.
        top: log-probabilities a position.
    """

    def __init__(self, pair: Pair, top: int = TOP_TOKENS) -> None:
        self.top = top
        self.notes: list[str] = []
        self._pair = pair
        self._reader = LogitReader((pair.base if pair.decodes else pair.model).model)

    def places(self, contexts: TokenContexts, count: int, seed: int = 0) -> list[Place]:
        """All are good."""
        return shuffled_places(contexts, seed)[:count]

    def observe(self, places: Sequence[Place]) -> list[ShownLogProbs]:
        """Read here."""
        log_probs = log_probs_at(self._reader, places)
        if self._pair.decodes:
            log_probs = self._decoded(places, log_probs)
        found = []
        for place, row in zip(places, log_probs, strict=True):
            ids = np.argpartition(-row, self.top - 1)[: self.top]
            found.append(ShownLogProbs(place, ids, row[ids].astype(float)))
        return found

    def noise(self, place: Place) -> float | None:
        """Nothing is sent anywhere."""
        return 0.0

    def _decoded(self, places: Sequence[Place], log_probs: Array) -> Array:
        assert self._pair.target is not None
        target = self._pair.target
        states = [target.read(place.ids)[-1] for place in places]
        return np.asarray(target.logits(torch.from_numpy(log_probs), states).log_softmax(-1))


class EndpointSuspect:
    """A model behind a completions endpoint that gives ``logprobs``, a request a place.

    Args:
        endpoint: where it is.
        tokenizer: the reference's.
        vocabulary: the reference's.

    Raises:
        ModelError: it gives no log-probabilities.
    """

    def __init__(
        self, endpoint: Endpoint, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
    ) -> None:
        self._endpoint, self._tokenizer = endpoint, tokenizer
        self._special = set(tokenizer.all_special_ids)
        self._shown = ServerFormat(tokenizer, vocabulary)
        self._asked, self.top = self._probe()

    @property
    def notes(self) -> list[str]:
        """Of the endpoint."""
        return self._endpoint.notes

    def places(self, contexts: TokenContexts, count: int, seed: int = 0) -> list[Place]:
        """Those whose text is cut into the same tokens again, since a text is what is sent."""
        found = []
        special = self._special
        for place in shuffled_places(contexts, seed):
            own = place.ids[1:] if place.ids[0] in special else place.ids
            if not own or special & set(own):
                continue
            # With whatever the tokenizer puts before a text, as servers do.
            cut = self._tokenizer(self._text(own))["input_ids"]
            if cut[-len(own) :] == own and set(cut[: -len(own)]) <= special:
                found.append(Place(place.row, place.context, cut))
            if len(found) == count:
                break
        return found

    def observe(self, places: Sequence[Place]) -> list[ShownLogProbs]:
        """One request each."""
        found = []
        prompts = [self._text(place.ids) for place in places]
        for number, choice in self._endpoint.each(prompts, 1, 0, logprobs=self._asked):
            told = self._shown.likeliest(choice)
            if told:
                ids, values = np.array(list(told), np.int64), np.array(list(told.values()), float)
                found.append(ShownLogProbs(places[number], ids, values))
        shown = self._shown
        if shown.known < _KNOWN * (shown.known + shown.unknown):
            strangers = ", ".join(repr(text) for text, _ in shown.strangers.most_common(5))
            raise VocabularyError(
                f"of the tokens that the endpoint names the reference knows {shown.known} and "
                f"not {shown.unknown}, such as {strangers}",
                where="--endpoint",
                fix="name the reference that the suspect was made from",
            )
        return found

    def noise(self, place: Place) -> float | None:
        """Of the log-probabilities at one place."""
        prompts = [self._text(place.ids)] * REPEATS
        asked = self._endpoint.each(prompts, 1, 0, logprobs=self._asked)
        seen = [shown[0] for _, choice in asked if (shown := entries(choice))]
        common = set.intersection(*map(set, seen)) if len(seen) > 1 else set()
        if not common:
            return None
        return float(np.sqrt(np.mean([np.var([s[t] for s in seen], ddof=1) for t in common])))

    def _probe(self) -> tuple[int, int]:
        """How many log-probabilities to ask for, and how many come."""
        last: ModelError | None = None
        for asked in ASKED:
            try:
                choices = [c for _, c in self._endpoint.each(["\n"], 1, 0, logprobs=asked)]
            except ModelError as error:
                last = error
                continue
            last = None
            shown = entries(choices[0])
            if shown and len(shown[0]) > 1:
                # The token written is shown besides, where it is not among the likeliest.
                return asked, min(asked, len(shown[0]))
        if last is not None:
            raise last
        raise ModelError(
            "the endpoint gives no log-probabilities, or one a position",
            where="--endpoint",
            fix="--access text, or a server that answers `logprobs`",
        )

    def _text(self, ids: list[int]) -> str:
        found: Any = self._tokenizer.decode([i for i in ids if i not in self._special])
        return str(found)
