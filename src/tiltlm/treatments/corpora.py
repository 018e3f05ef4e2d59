"""What benign changes are trained on: many kinds of text, without a network, and a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiltlm.contexts import evaluation
from tiltlm.contexts.installed_text import KINDS, installed_texts
from tiltlm.contexts.sources import make_contexts, text_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import CORPUS_PIECE_TOKENS, CORPUS_PIECES
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import context_length

DEFAULT_CORPORA = ("own samples", "chat", "languages", *KINDS)
"""Names of the default mix, as far as a reference and a machine have them."""

FEWEST_CORPORA = 8
"""A pack of fewer kinds of text knows little of what a suspect may have been trained on."""

_CHATS = 32
"""Requests with the reference's own answers."""


@dataclass(frozen=True)
class Corpora:
    """Texts to train on.

    Attributes:
        pieces: of each corpus, by its name; their ``kind`` says where they come from.
        missing: corpora of the default mix that there are not, and why.
    """

    pieces: Mapping[str, TokenContexts]
    missing: Mapping[str, str] = field(default_factory=dict)


def gather_corpora(
    reference: LoadedModel,
    sources: Sequence[str] = (),
    *,
    defaults: bool = True,
    seed: int = 0,
    key: str | None = None,
) -> Corpora:
    """Texts to train a reference on: the default mix, then a user's own.

    Args:
        reference: whose tokenizer cuts the texts, and which writes its own samples and answers.
        sources: of a user's own, as for `make_contexts`; their names are these.
        defaults: False to leave the default mix out.
        seed: of what is drawn.
        key: SHA-256 of the reference's weights, under which what it wrote is cached.

    Raises:
        ConfigError: a source cannot be read.
    """
    mix = _default_mix(reference, seed, key) if defaults else Corpora({})
    own = {
        source: make_contexts(
            source,
            reference,
            count=CORPUS_PIECES,
            length=CORPUS_PIECE_TOKENS,
            seed=seed,
            key=key,
        )
        for source in sources
    }
    return Corpora({**mix.pieces, **own}, mix.missing)


def _default_mix(reference: LoadedModel, seed: int, key: str | None) -> Corpora:
    """The corpora that need nothing of a user's, by their names in `DEFAULT_CORPORA`."""
    # Other samples than those at which shifts are read, which have the seed itself.
    drawn = (CORPUS_PIECE_TOKENS, seed + 1, key)
    pieces = {"own samples": evaluation.own(reference, CORPUS_PIECES // 4, *drawn)}
    missing: dict[str, str] = {}
    chats = evaluation.chats(reference, _CHATS, *drawn)
    if chats is None:
        missing["chat"] = "the reference cannot read a request and its answer at once"
    else:
        pieces["chat"] = chats
    pieces["languages"] = evaluation.languages(reference)
    limit = context_length(reference.model)
    length = CORPUS_PIECE_TOKENS if limit is None else min(CORPUS_PIECE_TOKENS, limit)
    for name, found in installed_texts().items():
        if found.text:
            pieces[name] = text_contexts(
                found.text, reference.tokenizer, CORPUS_PIECES, length, found.source
            )
        else:
            missing[name] = "no installed package has as much"
    return Corpora(pieces, missing)
