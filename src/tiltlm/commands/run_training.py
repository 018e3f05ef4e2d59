"""The training of a run: from a recipe to a `TiltTrainer`, with its checkpoints and its clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from tiltlm.commands.run_folder import RunDirectory
from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import ConfigError, RunError
from tiltlm.files import require_free
from tiltlm.models.loading import LoadedModel
from tiltlm.models.trainer_device import keep_in_place
from tiltlm.progress import Progress
from tiltlm.realise import checkpoints
from tiltlm.realise.callbacks import ReportProgress, StopOnInterrupt
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.recipes.run import Recipe
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.bound import FixedTarget


def train(
    recipe: Recipe,
    run: RunDirectory,
    loaded: LoadedModel,
    target: FixedTarget,
    *,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Train a model as a recipe says, from the newest checkpoint of the run if there is one.

    Args:
        recipe: its parts ``train`` and ``contexts`` count here.
        run: the folder that gets checkpoints and TensorBoard's curves.
        loaded: the model; its weights change.
        target: bound to the model's vocabulary.
        seed: of the contexts.
        progress: is told of each step.

    Returns:
        ``loss``, the fields of a `LossRecord`; ``steps``; and ``seconds``, over all sittings.

    Raises:
        TiltError: there is no room on the disk, training diverged, or a checkpoint is damaged.
        KeyboardInterrupt: Ctrl-C or SIGTERM, and a checkpoint was written.
    """
    part = recipe.train
    _require_room(run, loaded, with_checkpoints=bool(part.save_every))
    saved = checkpoints.list_checkpoints(run.checkpoints)
    newest = saved[-1] if saved else None
    stop = StopOnInterrupt(progress.note)
    first_step = checkpoints.step_of(newest) + 1 if newest else 1
    writer = SummaryWriter(str(run.tensorboard), purge_step=first_step)
    callbacks = [stop, _reported(progress), TensorBoardCallback(writer)]
    trainer = _trainer(recipe, run, loaded, target, seed, callbacks)
    earlier_seconds = (run.read_stage("train_clock") or {"seconds": 0.0})["seconds"]
    watch = Stopwatch()
    progress.begin("training", part.steps)
    try:
        with stop.listening():
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    except torch.OutOfMemoryError:
        raise _no_room(recipe, run) from None
    seconds = earlier_seconds + watch.total
    run.write_stage("train_clock", {"seconds": seconds})
    if trainer.state.global_step < part.steps:
        raise stop.interrupt
    trainer.check_finite()
    return {"loss": _loss(trainer), "steps": trainer.state.global_step, "seconds": seconds}


def _no_room(recipe: Recipe, run: RunDirectory) -> RunError:
    """That a part of a step does not fit on the GPU, what is kept, and how to go on."""
    part = recipe.train
    saved = checkpoints.list_checkpoints(run.checkpoints)
    kept = f"kept up to step {checkpoints.step_of(saved[-1])}" if saved else "not begun"
    divisors = [n for n in range(1, part.batch + 1) if part.batch % n == 0]
    more = next((n for n in divisors if n > part.gradient_accumulation), None)
    smaller = f"train.gradient_accumulation={more}" if more else "placement.device=cpu"
    return RunError(
        f"the GPU has no room for {part.batch // part.gradient_accumulation} contexts at once; "
        f"training is {kept}",
        where=str(run.path),
        fix=f"go on with the same, --resume and --set {smaller}",
    )


def _loss(trainer: TiltTrainer) -> dict[str, Any]:
    """Loss and event mass at every step, as the fields of a `LossRecord`."""
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    curve = [entry["loss"] for entry in history]
    return {
        "first": curve[0],
        "last": curve[-1],
        "curve": curve,
        "event_mass_curve": [entry["event_mass"] for entry in history],
    }


def _require_room(run: RunDirectory, loaded: LoadedModel, *, with_checkpoints: bool) -> None:
    """Refuse to train where the disk cannot hold what training writes."""
    model_bytes = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    # A checkpoint holds the weights and two moments of each. Two of them are kept, and there are
    # three while the newest is written.
    copies = 1 + 3 * (3 if with_checkpoints else 1)
    require_free(run.path, copies * model_bytes, "training with its checkpoints")


def _trainer(
    recipe: Recipe,
    run: RunDirectory,
    loaded: LoadedModel,
    target: FixedTarget,
    seed: int,
    callbacks: list[TrainerCallback],
) -> TiltTrainer:
    """The trainer of a recipe, which prints nothing of its own."""
    part = recipe.train
    config = tilt_config(recipe, run.checkpoints, seed)
    keep_in_place(config, loaded.model)
    trainer = TiltTrainer(
        loaded.model,
        config,
        target,
        RandomTokenContexts(
            len(loaded.vocabulary),
            recipe.contexts.length,
            part.steps * part.batch,
            seed=seed,
        ),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # it would print over the progress bar
    return trainer


def _reported(progress: Progress) -> ReportProgress:
    """A callback that tells of each step with its loss and event mass."""

    def on_step(step: int, loss: float, mass: float) -> None:
        progress.advance(step, f"loss {loss:.2f}, mass {mass:.1%}")

    return ReportProgress(on_step)


def tilt_config(recipe: Recipe, output_dir: Path, seed: int) -> TiltConfig:
    """The trainer's arguments that a recipe stands for.

    Args:
        recipe: its part ``train`` counts here.
        output_dir: for checkpoints.
        seed: of the order of contexts.

    Raises:
        ConfigError: the batch cannot be split as asked.
    """
    part = recipe.train
    batch, remainder = divmod(part.batch, part.gradient_accumulation)
    if remainder:
        raise ConfigError(
            f"a batch of {part.batch} does not split into {part.gradient_accumulation} equal parts",
            where="recipe, key train.gradient_accumulation",
            fix="use a divisor of train.batch",
        )
    return TiltConfig(
        output_dir=str(output_dir),
        divergence=part.divergence,
        loss_positions=part.positions,
        optimizer=part.optimizer,
        learning_rate=part.learning_rate,
        momentum=part.momentum,
        weight_decay=part.weight_decay,
        lr_scheduler_type=part.schedule,
        warmup_steps=part.warmup_steps,
        max_grad_norm=part.max_grad_norm,
        max_steps=part.steps,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=part.gradient_accumulation,
        save_strategy="steps" if part.save_every else "no",
        save_steps=part.save_every or 500,
        seed=seed,
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
