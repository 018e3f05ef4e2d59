"""`tiltlm sample`, the Python function behind the command: open a model and draw tokens from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch

from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import ConfigError
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import vocabulary_size
from tiltlm.progress import NoProgress, Progress
from tiltlm.realise.opening import open_tilted
from tiltlm.recipes.placement import Placement


@dataclass(frozen=True)
class SampledSequence:
    """One sequence that was drawn.

    Attributes:
        sequence: its number, from 0.
        token_ids: the tokens that were drawn; the prompt is not among them.
        text: the same, decoded.
    """

    sequence: int
    token_ids: list[int]
    text: str

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def run_sample(
    model: str,
    new_tokens: int,
    options: SamplingOptions,
    *,
    prompt: str | None = None,
    prompt_tokens: int = 16,
    sequences: int = 1,
    placement: Placement | None = None,
    progress: Progress | None = None,
) -> list[SampledSequence]:
    """Draw tokens from a model; one that was tilted by decoding is decoded.

    Args:
        model: a name for `load`, or a folder that ``tiltlm tilt`` or ``tiltlm run`` wrote.
        new_tokens: how many to draw for each sequence; end-of-text does not stop it.
        options: how to draw. Its seed is also that of a fresh model's weights and of the prompts.
        prompt: a text to go on with; None for random tokens.
        prompt_tokens: how many random tokens, where there is no prompt.
        sequences: how many to draw.
        placement: of the model, as for `load`.
        progress: is told how many tokens of each sequence are drawn.

    Raises:
        TiltError: there is no such model, or the prompt is empty.
    """
    progress = progress or NoProgress()
    opened = open_tilted(model, seed=options.seed, placement=placement)
    if prompt is None:
        size = vocabulary_size(opened.model)
        prompts = RandomTokenContexts(
            size, prompt_tokens, sequences, seed=options.seed, part="prompt"
        ).batch()
    else:
        ids = opened.tokenizer(prompt)["input_ids"]
        if not ids:
            raise ConfigError("the prompt has no tokens", where="--prompt", fix="write some text")
        prompts = torch.tensor([ids] * sequences)
    progress.begin("drawing tokens", new_tokens)
    drawn = sample(
        opened.model, prompts, new_tokens, options, progress.advance, opened.processor
    ).tolist()
    return [
        SampledSequence(number, ids, str(opened.tokenizer.decode(ids)))
        for number, ids in enumerate(drawn)
    ]
