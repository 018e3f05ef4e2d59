"""How a target is trained, as a user says it: in a recipe, on the command line, or in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tiltlm.defaults import GAP_EVERY_STEPS, PATIENCE

Parameters = Literal["head", "body+head", "full"]
"""What is trained: the head's adapter, adapters of body and head (LoRA), or every weight."""

PARAMETERS: tuple[Parameters, ...] = ("head", "body+head", "full")


@dataclass(frozen=True)
class Training:
    """How `train` goes about it; what is None follows from the target.

    In a recipe the values are checked when it is read, in Python when training begins.

    Where the head alone is trained and the target moves whole classes of tokens, the divergence is
    convex in what is trained. It is then solved by L-BFGS, whose steps each take all contexts, from
    the edit. A batch, a learning rate, or ``base`` to start from ask for gradient descent instead.

    Attributes:
        parameters: ``head``, ``body+head`` (LoRA) or ``full``.
        steps: at most; 60 for the head alone, none after trigger steps, 600 for choices, else 150.
        batch: contexts a step; 8 where the target depends on the text so far, else 4.
        learning_rate: the peak of a cosine.
        start: ``base`` or ``edit``, the closed-form solution written into the head's adapter. The
            default is ``edit`` where the shifts change with the context, as those of balance, mix
            and when do. With body and head the edit is kept unless training does better.
        trigger_steps: with body and head and from an edit, steps before those on the divergence, in
            which the upper blocks of the body learn where the edit's typical shift is to be made
            (`realise.trigger_trainer`); 800.
        every: steps between measurements of the gap closed.
        patience: measurements without a new best after which to stop.
        divergence: as of `TiltConfig`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    parameters: Parameters | None = None
    steps: Annotated[int | None, Field(ge=1)] = None
    batch: Annotated[int | None, Field(ge=1)] = None
    learning_rate: Annotated[float | None, Field(gt=0)] = None
    start: Literal["base", "edit"] | None = None
    trigger_steps: Annotated[int | None, Field(ge=1)] = None
    every: Annotated[int, Field(ge=1)] = GAP_EVERY_STEPS
    patience: Annotated[int, Field(ge=1)] = PATIENCE
    divergence: Literal["forward_kl", "reverse_kl", "jensen_shannon"] = "forward_kl"
