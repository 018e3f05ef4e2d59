"""Training that `test_distributed.py` runs in one process and launches in several.

    torchrun … tests/distributed_script.py cases.json

The file lists cases, trained one after the other; the first process writes what came out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from transformers import TrainerCallback

from tests.tiny import tiny_loaded
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.events.tokens import contains
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.model5 import build_model5
from tiltlm.realise import checkpoints
from tiltlm.realise.adapters import with_lora
from tiltlm.realise.callbacks import StopOnInterrupt
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.targets.fixed import uniform
from tiltlm.targets.tilt import tilt

BATCH = 4
MODEL5 = {"vocab_size": 64, "n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 24}


class AtStep(TrainerCallback):
    """Send the second process a signal after a step, or stop all after a checkpoint."""

    def __init__(self, case: dict[str, Any]):
        self.case = case

    def on_step_end(self, args, state, control, **_):
        if args.process_index == 1 and state.global_step == self.case.get("signal_after"):
            os.kill(os.getpid(), signal.Signals[self.case["signal"]])

    def on_save(self, args, state, control, **_):
        if state.global_step == self.case.get("stop_after"):
            control.should_training_stop = True


def let_accelerate_shard_on_cpu() -> None:
    """Let FSDP reach PyTorch, whose gloo backend can do it.

    accelerate takes FSDP for accelerators only: among several CPU processes it drops it silently
    and takes DDP. What it then would do, wrap, gather, save and load, has no part that needs one.
    """
    state = PartialState._shared_state
    if state["distributed_type"] == DistributedType.MULTI_CPU:
        state["distributed_type"] = DistributedType.MULTI_GPU
        state["device"] = torch.device("cpu")  # "cpu:0" PyTorch does not recognise as the CPU


def uneven_contexts(count: int, size: int) -> TokenContexts:
    """Contexts of many lengths, whose positions weigh from 0 to 2; some weigh nothing at all."""
    generator = torch.Generator().manual_seed(3)
    sequences, weights = [], []
    for i in range(count):
        length = 4 + 3 * (i % 4)
        sequences.append(torch.randint(size, (length,), generator=generator).tolist())
        weights.append([0.0 if i % 5 == 3 else 0.5 * ((i + p) % 5) for p in range(length)])
    return TokenContexts(sequences, "uneven", weights=weights)


def build(case: dict[str, Any]) -> TiltTrainer:
    """The trainer of a case: the article's, or a tilt of a tiny Llama, perhaps with adapters.

    The batch is of four contexts, over all processes.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    options = {
        "max_steps": 8,
        "learning_rate": 1e-3 if case.get("target") == "tilt" and not case.get("lora") else 1e-2,
        "adam_epsilon": 1e-3,  # else Adam makes steps of what is zero up to rounding
        "lr_scheduler_type": "linear",
        "per_device_train_batch_size": BATCH // processes,
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "use_cpu": True,
        "ddp_backend": "gloo" if processes > 1 else None,
        **case.get("options", {}),
    }
    torch.manual_seed(0)
    reference = None
    if case.get("target", "uniform") == "uniform":
        model: Any = build_model5(0, **MODEL5)
        names = [f"{'x' if i < 8 else 'y'}{i}".encode() for i in range(64)]
        target = uniform(contains("x")).bind(Vocabulary(tuple(names)))
        contexts: Any = RandomTokenContexts(64, 12, case.get("contexts", 32), seed=1)
        options.setdefault("loss_positions", "last")
    else:
        model, tokenizer = tiny_loaded(case.get("model", "llama"))
        size = model.get_output_embeddings().weight.shape[0]
        target = tilt(contains("x"), 1).bind(Vocabulary.from_tokenizer(tokenizer, size), tokenizer)
        contexts = uneven_contexts(case.get("contexts", 32), len(tokenizer))
        reference = Reference(model, contexts)
        reference.head = reference.head.copied()
        if case.get("lora"):
            model = with_lora(model, case["lora"])
    args = TiltConfig(output_dir=str(Path(case["out"]) / "checkpoints"), **options)
    if options.get("fsdp"):
        let_accelerate_shard_on_cpu()
    return TiltTrainer(model, args, target, contexts, reference=reference, callbacks=[AtStep(case)])


def kill_while_saving(trainer: TiltTrainer, step: int) -> None:
    """The second process is killed when it has saved nothing, and the first perhaps all it has."""
    save = trainer._save_rng_state

    def killed(folder: str) -> None:
        if trainer.args.process_index == 1 and trainer.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        save(folder)

    trainer._save_rng_state = killed  # type: ignore[method-assign]


def note_changes(seen: list[str]) -> None:
    """From now on note what this process renames or removes in a folder of checkpoints."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.move"):
            seen.extend(f"{event} {a}" for a in args if "checkpoints" in str(a))

    sys.addaudithook(hook)


def train(case: dict[str, Any]) -> dict[str, Any]:
    """Train a case; what came out, in the first process also as a file."""
    trainer = build(case)
    resume = None
    if case.get("resume"):
        folder = Path(case["out"]) / "checkpoints"
        resume = str(checkpoints.list_checkpoints(folder)[-1])
    if "kill_while_saving" in case:
        kill_while_saving(trainer, case["kill_while_saving"])
    stop = StopOnInterrupt(lambda _: None)
    trainer.add_callback(stop)
    with stop.listening():
        trainer.train(resume_from_checkpoint=resume)
    weights: dict[str, torch.Tensor] = {}
    if case.get("weights", True):
        weights = trainer.accelerator.get_state_dict(trainer.model)
    entries = [e for e in trainer.state.log_history if "loss" in e]
    out = {
        "processes": trainer.accelerator.num_processes,
        "wrapper": type(trainer.model_wrapped).__name__,
        "own_numbers": sum(
            getattr(p, "to_local", lambda p=p: p)().numel() for p in trainer.model.parameters()
        ),
        "loss": [e["loss"] for e in entries],
        "event_mass": [e.get("event_mass") for e in entries],
        "weights": {name: w.detach().cpu().clone() for name, w in weights.items()},
    }
    if trainer.is_world_process_zero():
        Path(case["out"]).mkdir(parents=True, exist_ok=True)
        torch.save(out, Path(case["out"]) / "result.pt")
    return out


def main() -> None:
    """Train the cases of a file; each process writes what it renamed and removed beside it."""
    changes: list[str] = []
    note_changes(changes)
    for case in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        train(case)
    name = f"changes-{os.environ.get('RANK', '0')}.json"
    Path(sys.argv[1]).with_name(name).write_text(json.dumps(changes), encoding="utf-8")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
