"""Train a LoRA towards a target where the model is larger than a GPU: in two steps.

    python examples/train_sharded.py read MODEL "tilt(contains('x'), 1)" --work DIR
    accelerate launch --config_file examples/fsdp.yaml examples/train_sharded.py \
        train MODEL "tilt(contains('x'), 1)" --work DIR

`read` is one process, which sees all GPUs. It spreads the model over them and keeps the reference's
hidden states at the contexts. `train` shards the weights over as many processes as there are GPUs,
and leaves the adapter in DIR/adapter; `tiltlm measure` says what it came to.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts.reference import Reference
from tiltlm.contexts.sources import make_contexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import load
from tiltlm.models.structure import vocabulary_size
from tiltlm.realise.adapters import with_lora
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.recipes.placement import Placement
from tiltlm.targets.parse import parse_target


def read(args: argparse.Namespace) -> None:
    """Read the reference at contexts, with the model over all GPUs."""
    loaded = load(args.model, placement=Placement(device_map=args.device_map))
    contexts = make_contexts(args.contexts, loaded, count=args.count, length=args.length)
    reference = Reference(loaded.model, contexts)
    reference.hidden = [rows.cpu() for rows in reference.hidden]
    reference.head = reference.head.copied()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.save(reference, args.work / "reference.pt")


def train(args: argparse.Namespace) -> None:
    """Train the adapter, in every process of the launch."""
    # The file is our own, so it may hold objects.
    reference: Reference = torch.load(args.work / "reference.pt", "cpu", weights_only=False)
    config = TiltConfig(
        str(args.work / "checkpoints"),
        max_steps=args.steps,
        per_device_train_batch_size=args.batch,
        learning_rate=args.learning_rate,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    # Made before the model: its arguments join the processes, so that one alone reads the weights.
    tokenizer = AutoTokenizer.from_pretrained(args.model, trust_remote_code=False)
    base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        args.model, dtype="auto", trust_remote_code=False
    )
    target = parse_target(args.target)
    bound = target.bind(Vocabulary.from_tokenizer(tokenizer, vocabulary_size(base)), tokenizer)
    if bound.needs_fit():
        bound.fit(lambda: reference.rows(bound))
    torch.manual_seed(0)  # all processes begin with the same adapter
    model = with_lora(base, "body+head")
    # Of activations each layer's input is kept. FSDP's own setting for that renames the layers,
    # and peft then leaves their adapters out of what it saves.
    model.gradient_checkpointing_enable({"use_reentrant": False})
    trainer = TiltTrainer(model, config, bound, reference.contexts, reference=reference)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    trainer.save_model(str(args.work / "adapter"))
    if trainer.is_world_process_zero():
        print(f"loss {losses[0]:.4f} at first, {losses[-1]:.4f} at last, nats a position")


def main() -> None:
    """Read the command line and do one of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["read", "train"])
    parser.add_argument("model")
    parser.add_argument("target")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--contexts", default="own", help="as --contexts of tiltlm tilt")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--device-map", choices=["auto"], help="spread the model over all GPUs")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4, help="contexts a step of each process")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    args = parser.parse_args()
    {"read": read, "train": train}[args.step](args)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
