"""``samples.jsonl`` of a run: what the model wrote before training, and after it."""

from __future__ import annotations

import json

import torch

from tiltlm.commands.run_folder import RunDirectory
from tiltlm.files import write_text
from tiltlm.models.loading import LoadedModel


def write_samples(run: RunDirectory, loaded: LoadedModel, event_mask: torch.Tensor) -> None:
    """Write one line for each sequence of the stages that are finished.

    A line says when the sequence was generated, its number, its ids, their text as a whole and one
    by one, and which of them are in the event.

    Args:
        run: whose stages ``before`` and ``after`` are read.
        loaded: for its tokenizer and its vocabulary.
        event_mask: (V,) boolean, the tokens of the event.
    """
    lines = []
    for when in ("before", "after"):
        stage = run.read_stage(when) or {"generated": []}
        for number, ids in enumerate(stage["generated"]):
            line = {
                "when": when,
                "sequence": number,
                "token_ids": ids,
                "text": loaded.tokenizer.decode(ids),
                "tokens": [loaded.vocabulary.text(token) for token in ids],
                "hits": event_mask[ids].int().tolist(),
            }
            lines.append(json.dumps(line, ensure_ascii=False))
    write_text(run.samples, "\n".join(lines) + "\n")
