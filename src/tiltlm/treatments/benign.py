"""Benign changes drawn at random: what an ordinary user might do to a model, no tilt in mind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltlm.treatments.treatment import FineTuning, Lora, Rounding, Treatment

METHODS = ("full", "full", "lora", "lora-all", "rounded")
"""Drawn from evenly: two in five train all weights, since what they do has most forms. The others
are LoRA on the layers that peft takes by default, LoRA on all layers but the head, and rounding."""

STEPS = (4, 8, 16, 32)
"""Steps of fine-tuning."""

BATCHES = (2, 4, 8)
"""Pieces of text a step."""

SHARES = (0.1, 0.3, 1.0)
"""Of the corpus's pieces."""

RANKS = (2, 4, 8, 16)
"""Of a LoRA."""

BITS = (8, 6, 5, 4)
"""Of a rounded weight."""

GROUPS = (None, 64, 32)
"""Rounded weights that share a scale; None for all of an output."""

RATES = (0.01, 0.15)
"""Least and largest learning rate of full fine-tuning, over the model's width."""

LORA_RATE = 5
"""Learning rates of a LoRA are so many times those of full fine-tuning."""


def draw_treatment(
    seed: int, corpora: Sequence[str], width: int, steps: Sequence[int] = STEPS
) -> Treatment:
    """A treatment at random.

    Args:
        seed: the same one draws the same treatment.
        corpora: names to choose from.
        width: hidden size of the model; learning rates go by 1 / width.
        steps: of fine-tuning, to choose from.

    >>> draw_treatment(3, ["news"], 64) == draw_treatment(3, ["news"], 64)
    True
    """
    generator = np.random.default_rng([seed, 51_966])
    method = METHODS[int(generator.integers(len(METHODS)))]
    if method == "rounded":
        bits = BITS[int(generator.integers(len(BITS)))]
        return Rounding(bits, GROUPS[int(generator.integers(len(GROUPS)))], seed)
    low, high = np.log(RATES)
    rate = float(np.exp(generator.uniform(low, high))) / width
    corpus = str(generator.choice(list(corpora)))
    share = float(generator.choice(SHARES))
    step_count = int(generator.choice(steps))
    batch = int(generator.choice(BATCHES))
    lora = None
    if method != "full":
        lora = Lora(int(generator.choice(RANKS)), all_linear=method == "lora-all")
        rate *= LORA_RATE
    return FineTuning(corpus, share, step_count, batch, rate, lora, seed)
