"""A `Trainer` whose checkpoints are whole: staged, sealed, and only then given their name.

With several processes all take part in making a checkpoint (sharded weights must be gathered, and
each has random states of its own), but only one removes, seals and renames, and the others wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, set_seed

from tiltlm.errors import DivergedError
from tiltlm.files import explain_storage, remove
from tiltlm.realise import checkpoints

STAGING = ".partial"
"""Folder, beside the checkpoints, in which the next one is made."""


class CheckpointTrainer(Trainer):
    """A ``Trainer`` that never keeps half a checkpoint, or one of weights that are not finite."""

    _staging: Path | None = None

    def _diverged(self, reason: str) -> DivergedError:
        """The error that ends training: at which step, and what is left of the run."""
        saved = checkpoints.list_checkpoints(Path(str(self.args.output_dir)))
        where = f"step {self.state.global_step + 1}"
        last = f"; the last good checkpoint is {saved[-1]}" if saved else ""
        return DivergedError(
            f"{reason}, so training stopped",
            where=where,
            fix=f"lower the learning rate (now {self.args.learning_rate:g}){last}",
        )

    def check_finite(self) -> None:
        """Refuse to go on with weights that are not finite.

        Raises:
            DivergedError: names the first such parameter.
        """
        assert self.model is not None
        for name, parameter in self.model.named_parameters():
            # Of sharded weights each process checks its own part.
            own = getattr(parameter, "to_local", lambda p=parameter: p)()
            if not bool(torch.isfinite(own.detach().sum())):
                raise self._diverged(f"the weights of {name} are not finite")

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging) if self._staging else str(super()._get_output_dir(trial))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.check_finite()
        directory = Path(str(self.args.output_dir))
        staging, wait_for_all = directory / STAGING, self.accelerator.wait_for_everyone
        wait_for_all()  # No process saves before all weights were found finite.
        if self.args.should_save:
            remove(staging)  # A killed run may have left something there.
        wait_for_all()
        self._staging = staging
        try:
            with explain_storage(directory):
                super()._save_checkpoint(model, trial)
            wait_for_all()  # The seal is over what every process wrote.
            if self.args.should_save:
                checkpoints.publish(staging, directory, keep=self.args.save_total_limit or 2)
        finally:
            self._staging = None
            if self.args.should_save:
                remove(staging)
        wait_for_all()  # What comes next may read the checkpoint.

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        checkpoints.verify(Path(resume_from_checkpoint))
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Load random states as they were saved, or make fresh ones for a process that had none.

        There is such a process when the number of processes is another than before. Only dropout
        draws random numbers; without fresh states it would draw those of the first steps again.
        """
        if checkpoint is not None:
            several, rank = self.args.world_size > 1, self.args.process_index
            name = f"rng_state_{rank}.pth" if several else "rng_state.pth"
            if not (Path(checkpoint) / name).is_file():
                step = checkpoints.step_of(Path(checkpoint))
                set_seed((self.args.seed + 1_000_003 * step + rank) % 2**32)
                return
        super()._load_rng_state(checkpoint)
