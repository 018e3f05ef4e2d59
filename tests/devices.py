"""Where the models of the tests lie, as ``pytest --device`` says: the processor unless told.

Makers of tiny models put them there by `placed`, and `load` does by itself, as ``auto`` then means
that device. Tests bring what they make by themselves there by `.to(model.device)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from tests.emulated_device import NAME as EMULATED
from tests.emulated_device import emulated_device

NAMES = ("cpu", "cuda", "mps", EMULATED)
"""What ``--device`` may be; ``emulated`` refuses what CUDA would, on a machine without a GPU."""

_chosen = torch.device("cpu")


def choose(name: str) -> None:
    """Let models lie on a device from now on.

    Raises:
        pytest.UsageError: the device is not there.
    """
    global _chosen
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if name in there and not there[name]():
        raise pytest.UsageError(f"--device {name}: there is none here; leave it out, or emulated")
    if name != EMULATED:
        _chosen = torch.device(name)


@contextmanager
def emulating(name: str) -> Iterator[None]:
    """Let the emulated device exist for the length of the context, where that is the name."""
    global _chosen
    if name != EMULATED:
        yield
        return
    with emulated_device() as device:
        _chosen = device
        yield


def chosen() -> torch.device:
    """The device on which the models of the tests lie."""
    return _chosen


def logits_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """A model's own logits at (batch, length) ids, brought to the processor."""
    logits: torch.Tensor = model(input_ids=ids.to(model.device)).logits
    return logits.cpu()


def placed(model: Any) -> Any:
    """A model, brought to where the models of the tests lie."""
    return model.to(_chosen)
