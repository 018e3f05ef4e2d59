"""What the reference makes of a text: every class's probability at every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.shifts.log_ratios import FULL_READ_INTERVAL
from tiltlm.auditing.text.suspects import Answer
from tiltlm.auditing.text.tilted_masses import TiltedMasses
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.token_contexts import TokenContexts


def hits_and_probabilities(
    reader: LogitReader, answers: Sequence[Answer], classes: TokenClasses
) -> Iterator[tuple[Array, Array]]:
    """Which classes the tokens of each answer are in, and how likely the reference held that.

    Args:
        reader: of the reference.
        answers: those without a token are passed over.
        classes: K of them.

    Yields:
        for each answer of N tokens, the longest first: (N, K) hits, 0 or 1, and (N, K)
        probabilities of the classes under the reference, given the text before each token.
    """
    written = [answer for answer in answers if answer.ids]
    if not written:
        return
    contexts = TokenContexts([[*answer.prompt, *answer.ids] for answer in written], "answers")
    members = classes.members.tocsc()
    for indices in reader.batches(contexts):
        for index, rows in zip(indices, reader.read(contexts, indices), strict=True):
            answer = written[index]
            # The row before a token is the one that predicts it.
            before = len(answer.prompt) - 1
            rows = rows[before : before + len(answer.ids)]
            hits = np.asarray(members[:, answer.ids].todense(), float).T
            yield hits, _class_probabilities(reader, rows, classes).clip(1e-12, 1 - 1e-12)


def tilted_masses(
    reader: LogitReader, contexts: TokenContexts, classes: TokenClasses
) -> TiltedMasses:
    """What tilts of the classes make of their masses, where packs are read in full.

    Args:
        reader: of the reference.
        contexts: of a pack.
        classes: K of them.
    """
    tilted = TiltedMasses(len(classes))
    for indices in reader.batches(contexts):
        for index, rows in zip(indices, reader.read(contexts, indices), strict=True):
            places = contexts.positions(index)[::FULL_READ_INTERVAL]
            tilted.add(_class_probabilities(reader, rows[places], classes))
    return tilted


def _class_probabilities(reader: LogitReader, rows: torch.Tensor, classes: TokenClasses) -> Array:
    """(N, K) from N rows of the reference."""
    token_probs = reader.logits(rows).softmax(-1).cpu().double().numpy()
    return np.asarray((classes.members @ token_probs.T).T)
