"""What a run does beside the training loop: show progress, and stop without loss when asked to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from accelerate.utils import reduce
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tiltlm.errors import Terminated


class StopOnInterrupt(TrainerCallback):
    """On Ctrl-C or SIGTERM finish the step, write a checkpoint, stop; on the second stop at once.

    Args:
        notify: is told what happens, in a line.

    Attributes:
        requested: whether to stop.
        interrupt: what to raise when training has stopped.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.requested = False
        self.interrupt: KeyboardInterrupt = KeyboardInterrupt()
        self._notify = notify

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle both signals for the length of the context; outside the main thread do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._handle) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.interrupt = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if self.requested:
            raise self.interrupt
        self.requested = True
        self._notify("stopping after this step and saving; a second interrupt stops at once")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for a checkpoint and the end, unless training is at its end anyway.

        One process that was interrupted is enough: all stop after the same step.
        """
        if args.world_size > 1:
            requests: Any = reduce(torch.tensor(float(self.requested), device=args.device), "sum")
            self.requested = bool(requests > 0)
        if self.requested and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True


class StopWhenAsked(TrainerCallback):
    """End training after the step in which somebody asks for it.

    Args:
        asked: whether somebody has.
    """

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask, and make the step the last one that is trained."""
        if self._asked():
            state.max_steps = state.global_step
            control.should_training_stop = True


class ReportProgress(TrainerCallback):
    """Hand each step's loss and event mass to whoever shows progress.

    Args:
        on_step: given the step, its loss in nats, and its event mass (NaN where there is none).
    """

    def __init__(self, on_step: Callable[[int, float, float], None]) -> None:
        self._on_step = on_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Hand on what the Trainer logged after a step; other logs have no loss."""
        if logs and "loss" in logs:
            self._on_step(state.global_step, logs["loss"], logs.get("event_mass", float("nan")))
