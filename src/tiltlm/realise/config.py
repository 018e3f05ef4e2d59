"""`TiltConfig`: transformers' ``TrainingArguments`` with what a tilt needs besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments

from tiltlm.errors import ConfigError
from tiltlm.losses.divergences import divergence_named
from tiltlm.losses.tilt_loss import POSITIONS
from tiltlm.models.precision import PRECISIONS, Precision

_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


@dataclass
class TiltConfig(TrainingArguments):
    """Arguments of `TiltTrainer`.

    Everything of ``TrainingArguments`` works; these are added, or have another default there.

    Args:
        divergence: ``forward_kl``, KL(Q‖P), the article's; ``reverse_kl``; ``jensen_shannon``.
        loss_positions: ``all`` positions of a context, or only the ``last``, the article's.
        optimizer: ``adamw``, ``adam`` or ``sgd``, torch's own, fused; ``weight_decay`` acts on all
            parameters, as it does in torch.
        momentum: of ``sgd``.
        max_grad_norm: 0 by default, no clipping.
        body_precision: of the body's matrix products, where the model is float32: ``float32``,
            ``bfloat16``, or ``auto``, which is bfloat16 where the processor multiplies in it. The
            head, the loss, all weights and their gradients stay float32, unlike with ``bf16`` of
            ``TrainingArguments``, which lowers the precision of the head too.
        fused_loss: make loss and gradients from hidden states, never holding all logits
            (`linear_kl`); the same loss, faster and in less memory.

    Raises:
        ConfigError: a value that does not exist.
    """

    divergence: str = field(default="forward_kl")
    loss_positions: str = field(default="all")
    optimizer: str = field(default="adamw")
    momentum: float = field(default=0.0)
    body_precision: Precision = field(default="float32")
    fused_loss: bool = field(default=True)
    learning_rate: float = field(default=1e-3)
    max_grad_norm: float = field(default=0.0)
    lr_scheduler_type: str = field(default="constant")
    logging_steps: float = field(default=1)
    logging_first_step: bool = field(default=True)
    logging_nan_inf_filter: bool = field(default=False)
    train_sampling_strategy: str = field(default="sequential")
    remove_unused_columns: bool = field(default=False)
    report_to: Any = field(default="none")
    save_total_limit: int | None = field(default=2)

    def __post_init__(self) -> None:
        divergence_named(self.divergence)
        if self.loss_positions not in POSITIONS:
            raise ConfigError(
                f"no such positions: {self.loss_positions!r}", fix="one of " + ", ".join(POSITIONS)
            )
        if self.optimizer not in _OPTIMIZERS:
            raise ConfigError(
                f"no such optimizer: {self.optimizer!r}", fix="one of " + ", ".join(_OPTIMIZERS)
            )
        if self.body_precision not in PRECISIONS:
            raise ConfigError(
                f"no such precision: {self.body_precision!r}",
                fix="one of " + ", ".join(PRECISIONS),
            )
        super().__post_init__()  # type: ignore[no-untyped-call]
        # Several GPUs are used by a launcher, a process for each; without one Trainer would copy
        # the model into threads (DataParallel), where the head cannot be replaced.
        self._n_gpu = min(self.n_gpu, 1)

    def optimizer_class_and_arguments(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """The class of the optimizer and its keyword arguments, as ``Trainer`` is given them."""
        arguments: dict[str, Any] = {"lr": self.learning_rate, "fused": True}
        if self.optimizer == "sgd":
            arguments["momentum"] = self.momentum
        else:
            arguments |= {"betas": (self.adam_beta1, self.adam_beta2), "eps": self.adam_epsilon}
        return _OPTIMIZERS[self.optimizer], arguments
