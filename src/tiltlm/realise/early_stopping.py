"""Stop training by what it is for: the gap closed on contexts that were not trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class KeepBest(TrainerCallback):
    """Measure every so many steps, keep the best weights, stop when it no longer gets better.

    What the model has when this is made counts as ``start``, so what is kept is never worse:
    weights whose gap is not above 0 for certain (the interval's lower end) are not kept.

    Args:
        gap_closed: measures the model as it is; the gap and the lower end of its interval.
        every: steps between measurements.
        patience: measurements without a new best of training after which to stop.
        on_measured: told of step and gap.
        start: gap closed before training; 0 is the base's.
    """

    def __init__(
        self,
        model: nn.Module,
        gap_closed: Callable[[], tuple[float, float]],
        every: int,
        patience: int,
        on_measured: Callable[[int, float], None],
        start: float = 0.0,
    ) -> None:
        self._model, self._gap_closed, self._every = model, gap_closed, every
        self._patience, self._on_measured = patience, on_measured
        self.best, self.best_step, self.history = start, 0, [(0, start)]
        self._trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._kept = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self._trainable.items()}

    def consider(self, step: int) -> None:
        """Measure the weights as they are, and keep them if they are the best so far."""
        gap, low = self._gap_closed()
        self.history.append((step, gap))
        self._on_measured(step, gap)
        if gap > self.best and low > 0:
            self.best, self.best_step, self._kept = gap, step, self._copy()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Measure when it is time."""
        if state.global_step % self._every and state.global_step != state.max_steps:
            return
        self.consider(state.global_step)
        gaps = [gap for _, gap in self.history[1:]]
        if len(gaps) - 1 - gaps.index(max(gaps)) >= self._patience:
            control.should_training_stop = True

    def restore(self) -> None:
        """Put the best weights back."""
        with torch.no_grad():
            for name, parameter in self._trainable.items():
                parameter.copy_(self._kept[name])
