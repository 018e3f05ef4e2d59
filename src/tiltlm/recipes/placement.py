"""Where a model lies and how its weights are held, as a user says it.

Knows words, no devices: what they come to on a machine is found by `models.placement`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""How weights are held; ``auto`` is as they are stored."""

DTYPES: tuple[Dtype, ...] = ("auto", "float32", "bfloat16", "float16")

Quantization = Literal["8bit", "4bit"]
"""How the body's weights are rounded while a model is loaded; the head's are not."""

QUANTIZATIONS: tuple[Quantization, ...] = ("8bit", "4bit")

DEVICE_PATTERN = r"^(auto|cpu|mps|cuda|cuda:\d{1,3})$"
"""What names a device."""


@dataclass(frozen=True)
class Placement:
    """Where a model lies and how its weights are held.

    In a recipe the values are checked when it is read, in Python when a model is loaded.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` is a CUDA device where there is
            one, else the processor.
        dtype: of the weights: ``float32``, ``bfloat16`` or ``float16``; ``auto`` is as they are
            stored, but that a device which cannot compute in it gets float32.
        device_map: ``auto`` spreads a model over all GPUs, by accelerate; None for one device.
        quantization: ``8bit`` or ``4bit``, by bitsandbytes; None for weights as they are.
        one_at_a_time: whether two whole models that are compared take turns in memory; None for
            where they do not fit into what is free together.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    device: Annotated[str, Field(pattern=DEVICE_PATTERN)] = "auto"
    dtype: Dtype = "auto"
    device_map: Literal["auto"] | None = None
    quantization: Quantization | None = None
    one_at_a_time: bool | None = None
