"""Small suites, contexts and pairs for the tests of measures."""

from __future__ import annotations

from tests.tiny import tiny_loaded
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.pair import Pair
from tiltlm.measures.suite_sizes import Sizes
from tiltlm.models.loading import LoadedModel
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.parse import parse_target

SMALL = Sizes(contexts=8, length=24, far=2, far_length=60, draws=4, drawn=12, pairs=6, survivors=3)


def bound(loaded: LoadedModel, text: str) -> BoundTarget:
    """A target over a tiny model's vocabulary."""
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    return parse_target(text).bind(vocabulary, loaded.tokenizer)


def contexts(count: int = 8, length: int = 24, seed: int = 0) -> TokenContexts:
    """Random tokens."""
    return TokenContexts(RandomTokenContexts(300, length, count, seed=seed).batch().tolist(), "r")


def decoding(text: str, kind: str = "llama") -> Pair:
    """A tiny model that decodes to a target."""
    loaded = tiny_loaded(kind)
    return Pair(loaded, loaded, bound(loaded, text), decodes=True)
