"""Random draws by a seed, on whatever device; the caller's random states are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Stream:
    """Draws by a seed that others between them do not disturb.

    They are the same as one after another inside `seeded`.

    Args:
        seed: of the draws.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: torch.Tensor | None = None

    @contextmanager
    def going_on(self, device: torch.device) -> Iterator[None]:
        """Draw on where the last such context ended.

        Args:
            device: on which is drawn, the same every time.
        """
        kind: Any = torch if device.type == "cpu" else getattr(torch, device.type)
        which = () if device.type == "cpu" else (device,)
        with seeded(self._seed if self._state is None else None, device):
            if self._state is not None:
                kind.set_rng_state(self._state, *which)
            yield
            self._state = kind.get_rng_state(*which)


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw by a seed for the length of the context.

    The same seed gives the same draws on one device, and others on another. Where nothing lies on
    a GPU, none is looked at.

    Args:
        seed: None where whoever draws seeds by themselves.
        device: on which is drawn; the processor's state is seeded, and put back, too.
    """
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.default_generator.manual_seed(seed)
            yield
        return
    # All of a kind, as torch seeds all of them, and a model may be spread over several.
    kind: Any = getattr(torch, device.type)
    with torch.random.fork_rng(range(kind.device_count()), device_type=device.type):
        if seed is not None:
            torch.manual_seed(seed)
        yield
