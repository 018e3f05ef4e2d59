"""What belongs to the states of a context, kept on each device on which it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tiltlm.events.automaton import State

if TYPE_CHECKING:
    import torch

_KEPT = 256
"""Copies that are kept, beyond which all are forgotten; one takes V bytes for each mask in it."""


class DeviceCopies:
    """Copies of tensors that are made on the processor, one for each state and device.

    Args:
        make: gives the tensor of a state, on the processor.
    """

    def __init__(self, make: Callable[[State], torch.Tensor]) -> None:
        self._make = make
        self._copies: dict[tuple[State, torch.device], torch.Tensor] = {}

    def at(self, state: State, device: torch.device | None) -> torch.Tensor:
        """The tensor of a state on a device.

        Args:
            state: as ``make`` takes it.
            device: None for the processor, where nothing is copied.
        """
        if device is None or device.type == "cpu":
            return self._make(state)
        if (state, device) not in self._copies:
            if len(self._copies) >= _KEPT:
                self._copies.clear()
            self._copies[state, device] = self._make(state).to(device)
        return self._copies[state, device]
