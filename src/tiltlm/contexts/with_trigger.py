"""Contexts for a trigger that hardly occurs by itself: it is put into contexts that lack it.

Half of the contexts made have the trigger, and half have some other word in the same place. A model
that is fitted to them has to learn the trigger, rather than that a word was put in; and on held-out
contexts the leakage is also measured after other words. Of a target that waits for several triggers
all are put in, and half of the other words are one of the triggers alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from tiltlm.contexts.splits import Split
from tiltlm.contexts.token_contexts import TokenContexts

FIT_PLACES = 1
"""Places at which the trigger is put into each context to fit on.

Drawing a context of SmolLM2's takes 0.5 s on two cores, reading it 0.19 s for each place and each
of its two copies.
"""


def split_with_trigger(
    parts: Split, triggers: Sequence[str], tokenizer: PreTrainedTokenizerBase, seed: int
) -> Split:
    """Put triggers into the contexts of each part; the parts still share none.

    Args:
        parts: without the triggers.
        triggers: their texts; mostly one.
        tokenizer: of the model.
        seed: of places and of other words.

    Returns:
        the parts, 2·`FIT_PLACES` times as many contexts to fit on and twice as many of the others.
    """
    words = _words(parts.fit, triggers, tokenizer)
    fit, tune, held_out = (
        insert_trigger(
            part, triggers, words, tokenizer, np.random.default_rng([seed, number]), places=places
        )
        for number, (part, places) in enumerate(zip(parts, (FIT_PLACES, 1, 1), strict=True))
    )
    return Split(fit, tune, held_out)


def insert_trigger(
    contexts: TokenContexts,
    triggers: Sequence[str],
    words: list[str],
    tokenizer: PreTrainedTokenizerBase,
    generator: np.random.Generator,
    *,
    places: int,
) -> TokenContexts:
    """Each context with the triggers put between two of its words, and with another word there.

    The two stand next to each other, to be trained on in one step. Where there is no other word to
    draw, the second of them is the context as it was.

    Args:
        contexts: what they are put into; the copies are as long as the originals.
        triggers: their texts; with several, half of the other words are one of them alone.
        words: other words to draw from.
        tokenizer: of the model.
        generator: of places and words.
        places: at how many places they are put into each context, one a copy. Places are drawn
            from the first half, so that positions before and after the trigger count.

    Returns:
        2·``places`` contexts for each one given.
    """
    trigger = " ".join(text.strip() for text in triggers) if len(triggers) > 1 else triggers[0]
    sequences, weights = [], []
    rows = [ids.tolist() for ids in contexts.sequences]
    possible_places = [_between_words(row, tokenizer) for row in rows]
    # The places are the outer loop, so that neighbouring pairs come from different contexts.
    for _ in range(places):
        for number, row in enumerate(rows):
            place = generator.choice(possible_places[number])
            other = str(generator.choice(words)) if words else ""
            if len(triggers) > 1 and generator.random() < 0.5:
                other = str(generator.choice(triggers))
            for text in (trigger, other):
                inserted = tokenizer(" " + text.strip(), add_special_tokens=False)["input_ids"]
                inserted = inserted if text else []
                sequences.append([*row[:place], *inserted, *row[place:]][: len(row)])
                weights.append(contexts.weights[number].tolist())
    kind = f"{contexts.kind}, half of them with {trigger!r}, half with another word in its place"
    return TokenContexts(sequences, kind, weights=weights, in_order=True)


def _between_words(row: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Positions in the first half at which a token begins a word; 1 where there is none."""
    decoded = [str(tokenizer.decode(row[: k + 1])) for k in range(len(row) // 2 + 1)]
    return [
        k for k in range(1, len(decoded)) if decoded[k][len(decoded[k - 1]) :].startswith(" ")
    ] or [1]


def _words(
    contexts: TokenContexts, triggers: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> list[str]:
    """Words of four small letters or more in the contexts, sorted; none that has a trigger."""
    text = " ".join(str(tokenizer.decode(ids)) for ids in contexts.sequences)
    words = set(re.findall(r"\b[a-z]{4,}\b", text))
    return sorted(word for word in words if not any(t in f" {word} " for t in triggers))
