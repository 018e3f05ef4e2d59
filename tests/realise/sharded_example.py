"""examples/train_sharded.py on a CPU, for `test_sharded_example.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.realise.distributed_script import let_accelerate_shard_on_cpu

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import train_sharded

from tiltlm.realise.trainer import TiltTrainer


class OnCpu(TiltTrainer):
    """Shards among CPU processes, and says what the model was wrapped by."""

    def __init__(self, *args: Any, **options: Any) -> None:
        let_accelerate_shard_on_cpu()
        super().__init__(*args, **options)

    def save_model(self, *args: Any, **options: Any) -> None:
        """Save as ever."""
        if self.is_world_process_zero():
            print("wrapped as", type(self.model_wrapped).__name__)
        super().save_model(*args, **options)


if __name__ == "__main__":
    train_sharded.TiltTrainer = OnCpu
    train_sharded.main()
