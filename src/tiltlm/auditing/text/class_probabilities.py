"""What the reference makes of a suspect's text: every class's probability at every token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.text.suspects import Answer
from tiltlm.contexts.logit_reader import LogitReader, batches_of
from tiltlm.contexts.token_contexts import TokenContexts, collate


def hits_and_probabilities(
    reader: LogitReader, answers: Sequence[Answer], classes: TokenClasses
) -> Iterator[tuple[Array, Array]]:
    """For each answer (N, K) hits and (N, K) probabilities under the reference.

    Args:
        reader: of the reference.
        answers: that hold at least one token.
        classes: K of them.
    """
    written = [a for a in answers if a.ids]
    if not written:
        return
    contexts = TokenContexts([[*a.prompt, *a.ids] for a in written], "answers")
    members = classes.members.tocsc()
    for indices in batches_of(contexts):
        batch = collate([contexts[i] for i in indices])
        rows = reader.rows(batch["input_ids"], batch["attention_mask"])
        for index, row in zip(indices, rows, strict=True):
            answer = written[index]
            begin = len(answer.prompt) - 1
            places = torch.arange(begin, begin + len(answer.ids))
            likely = reader.logits(row[places]).softmax(-1).double().cpu().numpy()
            hits = np.asarray(members[:, answer.ids].todense(), float).T
            yield hits, np.asarray((classes.members @ likely.T).T).clip(1e-12, 1 - 1e-12)
