"""The base and the tilted model that are being looked at, and what is drawn and read from them.

One pair is in memory at a time. What is drawn here and what a job draws are apart, since a job has
a process of its own; of several who look at the page one draws at a time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor

from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.opening import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.measures.token_changes import heat_of
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.models.loading import LoadedModel, load, load_tokenizer
from tiltlm.models.places import locate
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import context_length
from tiltlm.realise.decoding import decode
from tiltlm.records.measure import Heat, MovedToken
from tiltlm.web.folders import Folders
from tiltlm.web.heap import give_back

LIKELIEST = 12
"""Next tokens that are shown."""

TEXT_TOKENS = 160
"""The most tokens of a text that is read."""


@dataclass(frozen=True)
class Drawn:
    """What a model has drawn so far.

    Attributes:
        ids: of all tokens, the prompt first.
        prompt: how many of them are the prompt's.
        texts: of all tokens.
        hits: whether each drawn token is in the event.
    """

    ids: tuple[int, ...]
    prompt: int
    texts: tuple[str, ...]
    hits: tuple[bool, ...]


class Bench:
    """The pair that is being looked at.

    Args:
        folders: that models may lie in.
    """

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._lock = threading.RLock()
        self._loaded: LoadedModel | None = None
        self._pair: Pair | None = None
        self._what: tuple[str, str] | None = None
        self._turn = 0
        self._vocabularies: dict[str, Vocabulary] = {}

    def decode(self, model: str, target: str) -> Pair:
        """A base and what decoding to a target makes of it; at once, where the base is loaded.

        Args:
            model: a name for `load`.
            target: that needs no contexts to be fitted to, or may be.

        Raises:
            TiltError: there is no such model, or the target makes no sense for it.
        """
        with self._lock:
            if self._what != (model, target) or self._pair is None:
                base = self.load(model)
                processor = decode(base, target, "own:16")
                self._keep(Pair(base, base, processor.target, decodes=True), (model, target))
            assert self._pair is not None
            return self._pair

    def open(self, model: str) -> Pair:
        """A model that was saved, beside the base that its label names.

        Args:
            model: a folder of ``tiltlm tilt``, ``decode`` included.

        Raises:
            TiltError: there is no such model, or nothing says what it was made from.
        """
        with self._lock:
            name = self.folders.checked(model)
            if self._what != (name, "") or self._pair is None:
                _, label, _ = locate(name)
                if label is not None:
                    self.folders.checked(label.base.name)
                self._loaded = self._pair = None
                give_back()
                pair, _, _ = open_pair(name)
                give_back()
                self._keep(pair, (name, ""))
            assert self._pair is not None
            return self._pair

    def beside(self, model: str, reference: str) -> Pair:
        """A model that says nothing of itself, beside another.

        Args:
            model: a name for `load`.
            reference: likewise.

        Raises:
            TiltError: there is no such model here, or the two have different tokens.
        """
        with self._lock:
            what = (self.folders.checked(model), f"beside {self.folders.checked(reference)}")
            if self._what != what or self._pair is None:
                self._loaded = self._pair = None
                give_back()
                pair, _, _ = open_pair(what[0], self.folders.checked(reference))
                give_back()
                self._keep(pair, what)
            assert self._pair is not None
            return self._pair

    def load(self, model: str) -> LoadedModel:
        """A model by itself, kept until another is asked for.

        Args:
            model: a name for `load`.

        Raises:
            TiltError: there is no such model here.
        """
        with self._lock:
            name = self.folders.checked(model)
            if self._loaded is None or self._loaded.name != name:
                self._loaded = self._pair = None
                give_back()
                self._loaded = load(name)
                give_back()
            return self._loaded

    def vocabulary(self, model: str) -> Vocabulary:
        """The tokens of a model, which need not be loaded for that.

        Args:
            model: a name for `load`.

        Raises:
            TiltError: there is no such model here.
        """
        name = self.folders.checked(model)
        if name not in self._vocabularies:
            loaded = self._loaded
            self._vocabularies[name] = (
                loaded.vocabulary
                if loaded is not None and loaded.name == name
                else Vocabulary.from_tokenizer(load_tokenizer(name))
            )
        return self._vocabularies[name]

    def take_turn(self) -> int:
        """Take the turn to draw; whatever is being drawn ends at its next token.

        Returns:
            the turn, for `draw`.
        """
        self._turn += 1
        return self._turn

    def has_turn(self, turn: int) -> bool:
        """Whether nobody has taken the turn since.

        Args:
            turn: that `take_turn` gave.
        """
        return turn == self._turn

    def draw(
        self,
        pair: Pair,
        prompt: str,
        count: int,
        *,
        turn: int,
        tilted: bool,
        seed: int,
        temperature: float,
    ) -> Iterator[Drawn]:
        """Draw tokens after a prompt, and tell of each as it comes, while one has the turn.

        Args:
            pair: whose base, or whose model.
            prompt: a text with at least one token.
            count: tokens to draw, as far as the model's context reaches.
            turn: that `take_turn` gave.
            tilted: whether the model draws, not its base.
            seed: of the draws; ``tiltlm sample`` draws the same with it.
            temperature: of the draws.

        Raises:
            TiltError: the prompt is empty, or the model cannot be drawn from.
        """
        ids = self._ids(pair, prompt)
        model = pair.model.model if tilted else pair.base.model
        inner = pair.processor if tilted else None
        processor = _Watching(inner, lambda: self.has_turn(turn))
        options = SamplingOptions(temperature=temperature, seed=seed)
        results: queue.Queue[Any] = processor.seen

        def work() -> None:
            try:
                with self._lock:
                    drawn = sample(model, torch.tensor([ids]), count, options, processor=processor)
                results.put([*ids, *drawn[0].tolist()])
                results.put(None)
            except _TurnIsOverError:
                results.put(None)
            except BaseException as error:
                results.put(error)

        threading.Thread(target=work, daemon=True).start()
        while (seen := results.get()) is not None:
            if isinstance(seen, BaseException):
                raise seen
            yield self._drawn(pair, seen, len(ids))

    def next_tokens(self, pair: Pair, ids: tuple[int, ...], place: int) -> list[MovedToken]:
        """What comes at a place of a text under base and model, the likeliest tokens of either.

        Args:
            pair: that reads the text.
            ids: of the text.
            place: of the token that is looked at; at least 1, since nothing predicts the first.

        Raises:
            ConfigError: there is no such place.
        """
        if not 1 <= place <= len(ids):
            raise ConfigError("nothing comes before the first token", fix="choose a later one")
        read = TokenContexts([ids[:place]], "a text")
        with self._lock, torch.no_grad():
            for rows in pair.read(read, with_target=pair.decodes):
                base, model = rows.base[-1].exp(), rows.model[-1].exp()
        likeliest = torch.maximum(base, model).topk(min(LIKELIEST, len(base))).indices.tolist()
        text = pair.vocabulary.text
        return [MovedToken(i, text(i), float(base[i]), float(model[i])) for i in likeliest]

    def heat(self, pair: Pair, text: str) -> Heat:
        """A text, token by token, with the log-ratio of model and base.

        Args:
            pair: that reads it.
            text: with at least two tokens.

        Raises:
            ConfigError: it is shorter.
        """
        ids = self._ids(pair, text)[:TEXT_TOKENS]
        if len(ids) < 2:
            raise ConfigError("one token alone has no log-ratio", fix="write some more text")
        with self._lock, torch.no_grad():
            metrics = read_token_metrics(pair, TokenContexts([ids], "a text"))
        return heat_of(metrics, pair.vocabulary)

    def _ids(self, pair: Pair, text: str) -> list[int]:
        ids: list[int] = pair.base.tokenizer(text)["input_ids"]
        if not ids:
            raise ConfigError("the text has no tokens", fix="write some text")
        window = context_length(pair.base.model)
        return ids if window is None else ids[-window + 1 :]

    def _drawn(self, pair: Pair, ids: list[int], prompt: int) -> Drawn:
        """Tokens with their texts, and which of the drawn ones are in the event."""
        hits = [False] * len(ids)
        if pair.target is not None and pair.target.events and len(ids) > prompt:
            states = pair.target.read(ids[:-1])[prompt - 1 :]
            masks = pair.target.event_masks(states).any(0)
            for row, place in enumerate(range(prompt, len(ids))):
                hits[place] = bool(masks[row if len(masks) > 1 else 0, ids[place]])
        texts = tuple(pair.vocabulary.text(i) for i in ids)
        return Drawn(tuple(ids), prompt, texts, tuple(hits))

    def _keep(self, pair: Pair, what: tuple[str, str]) -> None:
        self._pair, self._loaded, self._what = pair, pair.base, what


class _TurnIsOverError(Exception):
    """Somebody else draws now."""


class _Watching(LogitsProcessor):
    """A logits processor that hands on the text as it grows, and changes what another changes."""

    def __init__(self, inner: LogitsProcessor | None, goes_on: Callable[[], bool]) -> None:
        self._inner, self._goes_on = inner, goes_on
        self.seen: queue.Queue[Any] = queue.Queue()

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if not self._goes_on():
            raise _TurnIsOverError
        self.seen.put(input_ids[0].tolist())
        return scores if self._inner is None else self._inner(input_ids, scores)
