"""Stop training by what it is for: the gap closed on contexts that were not trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class EarlyStopping(TrainerCallback):
    """Measure every so many steps, keep the best weights, stop when they no longer get better.

    The weights that the model has when this is made count as ``start``, so what is kept in the end
    closes no less of the gap, at the contexts where that is measured.

    Args:
        model: whose trainable weights are kept.
        gap_closed: measures the model as it is.
        every: steps between measurements.
        patience: measurements without a new best of training after which to stop.
        on_measured: told of each measurement's step and gap.
        start: gap closed before training; 0 is the base's.

    Attributes:
        best: largest gap closed so far.
        best_step: the step after which it was measured.
        history: step and gap of each measurement, the start included.
        steps_before: steps that were made before those of the trainer that this is a callback of,
            and that are counted too.
    """

    def __init__(
        self,
        model: nn.Module,
        gap_closed: Callable[[], float],
        *,
        every: int,
        patience: int,
        on_measured: Callable[[int, float], None],
        start: float = 0.0,
    ) -> None:
        self._gap_closed, self._every = gap_closed, every
        self._patience, self._on_measured = patience, on_measured
        self.steps_before = 0
        self.best, self.best_step, self.history = start, 0, [(0, start)]
        self._trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._best_weights = self._copy_weights()

    def _copy_weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self._trainable.items()}

    def measure(self, step: int) -> None:
        """Measure the weights as they are, and keep them if they are the best so far.

        Args:
            step: after which they are measured.
        """
        gap = self._gap_closed()
        self.history.append((step, gap))
        self._on_measured(step, gap)
        if gap > self.best:
            self.best, self.best_step, self._best_weights = gap, step, self._copy_weights()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Measure after every so many steps and after the last; stop when patience is out."""
        if state.global_step % self._every and state.global_step != state.max_steps:
            return
        self.measure(self.steps_before + state.global_step)
        gaps = [gap for _, gap in self.history[1:]]
        if len(gaps) - 1 - gaps.index(max(gaps)) >= self._patience:
            control.should_training_stop = True

    def restore(self) -> None:
        """Put the best weights back."""
        with torch.no_grad():
            for name, parameter in self._trainable.items():
                parameter.copy_(self._best_weights[name])
