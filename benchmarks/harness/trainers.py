"""Training steps as `timing` wants them: ours, a plain `Trainer`, trl's GKD, the article's loop.

A step is taken from the end of one to the end of the next, so data loading, optimizer and logging
are in it; the first of a run warms up and is not counted.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from benchmarks.harness.timing import Meter, Unavailable, Work
from tiltlm import RandomTokenContexts, TiltConfig, TiltTrainer, gpt2_tokenizer
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.precision import Precision, lower_precision
from tiltlm.models.structure import head_of, vocabulary_size
from tiltlm.realise.adapters import BODY_RANK, with_lora
from tiltlm.recipes.training import Parameters
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.parse import parse_target

STEPS = 3


def pretrained(small: bool) -> LoadedModel:
    """SmolLM2, or a tiny random model of its kind for a smoke test."""
    if not small:
        return load("smollm2")
    tokenizer = gpt2_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    return LoadedModel(LlamaForCausalLM(config), tokenizer)


class Metered(TrainerCallback):
    """Holds a meter over every step but the first."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._inside = meter, False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Also the next one's beginning."""
        if self._inside:
            self._meter.__exit__()
        self._inside = state.global_step < state.max_steps
        if self._inside:
            self._meter.__enter__()


def stepping(make: Callable[[str], Trainer]) -> Work:
    """A fresh trainer each time, given a folder; `STEPS` steps of it."""

    def work(meter: Meter) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer = make(folder)
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(Metered(meter))
            trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        if not getattr(trainer, "other_positions", False):
            meter.check = losses[0]

    return work


def arguments(folder: str, batch: int) -> dict[str, Any]:
    """What all trainers have in common."""
    return {
        "output_dir": folder,
        "max_steps": STEPS,
        "per_device_train_batch_size": batch,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "logging_first_step": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


class Setting:
    """A model with adapters, contexts, and a tilt of what the model says there.

    Args:
        loaded: its model is wrapped in adapters.
        parameters: which are trained.
        batch: contexts a step.
        length: tokens of each.
    """

    def __init__(
        self, loaded: LoadedModel, parameters: Parameters, batch: int, length: int
    ) -> None:
        size, self.batch = vocabulary_size(loaded.model), batch
        random = RandomTokenContexts(size, length, batch * STEPS, seed=0).batch()
        self.contexts = TokenContexts(random.tolist(), "random tokens")
        vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, size)
        self.target: BoundTarget = parse_target("tilt(contains('x'), 1)").bind(vocabulary)
        self.shift = self.target.logits(torch.zeros(1, size), [None])[0]
        self.loaded = loaded
        self.base: Any = loaded.model.eval()
        self.parameters = parameters
        self.model: Any = None

    def adapt(self) -> None:
        """Wrap the model; what reads the plain model goes first."""
        torch.manual_seed(0)
        self.model = with_lora(self.base, self.parameters)


def in_bfloat16(setting: Setting) -> Work:
    """The same with the body in bfloat16 where the processor has it."""
    return ours(setting, "auto")


def ours(setting: Setting, precision: Precision = "float32") -> Work:
    """`TiltTrainer` over a reference that was read before."""
    with lower_precision(setting.base, precision):
        reference = Reference(setting.base, setting.contexts)
    setting.adapt()

    def make(folder: str) -> Trainer:
        args = TiltConfig(**arguments(folder, setting.batch), body_precision=precision)
        return TiltTrainer(
            setting.model, args, setting.target, setting.contexts, reference=reference
        )

    return stepping(make)


def reading(setting: Setting) -> Work:
    """Reading the reference at one step's contexts, which a run does once for each context."""
    contexts = setting.contexts.choose(range(setting.batch))
    head = Reference(setting.base, contexts).head

    def work(meter: Meter) -> None:
        with meter:
            Reference(setting.base, contexts, head=head)

    return work


class FullLogits(Trainer):
    """What one writes by hand: both models' logits, the tilt added, `F.kl_div`.

    Args:
        reference: a frozen copy.
        shift: (V,) what the tilt adds to its logits.
        kwargs: of `Trainer`.
    """

    model_accepts_loss_kwargs = False

    def __init__(self, *, reference: Any, shift: torch.Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reference, self._shift = reference, shift

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Nats a position."""
        ids = inputs["input_ids"]
        with torch.no_grad():
            logits = self._reference(input_ids=ids, use_cache=False).logits
            wish = F.log_softmax(logits + self._shift, dim=-1).flatten(0, 1)
            del logits
        outputs = model(input_ids=ids, use_cache=False)
        logp = F.log_softmax(outputs.logits, dim=-1).flatten(0, 1)
        loss = F.kl_div(logp, wish, log_target=True, reduction="batchmean")
        return (loss, outputs) if return_outputs else loss


def plain_trainer(setting: Setting) -> Work:
    """Transformers' `Trainer` with `FullLogits`' loss."""
    from transformers import TrainingArguments

    reference = copy.deepcopy(setting.base).requires_grad_(False)
    setting.adapt()

    def make(folder: str) -> Trainer:
        args = TrainingArguments(
            **arguments(folder, setting.batch),
            max_grad_norm=0.0,
            train_sampling_strategy="sequential",
        )
        return FullLogits(
            reference=reference,
            shift=setting.shift,
            model=setting.model,
            args=args,
            train_dataset=setting.contexts,
        )

    return stepping(make)


def gkd(setting: Setting) -> Work:
    """Trl's `GKDTrainer`, forward KL on given text; the tilt is a bias of the teacher's head.

    It refuses an adapter on the head, so it trains the body's alone, which is a little less work.
    Its loss leaves out the last position, so it is checked against nothing.
    """
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        import datasets
        from trl.experimental.gkd import GKDConfig, GKDTrainer
    except Exception as error:  # absent, or not going with this transformers
        raise Unavailable(f"trl's GKD cannot be imported ({error})") from None
    teacher = copy.deepcopy(setting.base).requires_grad_(False)
    name, plain = head_of(teacher)
    head = nn.Linear(plain.in_features, plain.out_features, device="meta")
    head.weight, head.bias = plain.weight, nn.Parameter(setting.shift, requires_grad=False)
    teacher.set_submodule(name, head)
    torch.manual_seed(0)
    config = LoraConfig(r=BODY_RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(setting.base, config)

    def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = torch.tensor([item["input_ids"] for item in items])
        labels = ids.clone()
        labels[:, 0] = -100  # the prompt
        ones = torch.ones_like(ids)
        found = {"input_ids": ids, "attention_mask": ones, "labels": labels}
        return found | {"prompts": ids[:, :1], "prompt_attention_mask": ones[:, :1]}

    rows = [{"input_ids": ids.tolist()} for ids in setting.contexts.sequences]

    def make(folder: str) -> Trainer:
        args = GKDConfig(
            **arguments(folder, setting.batch),
            max_grad_norm=0.0,
            lmbda=0.0,
            beta=0.0,
            temperature=1.0,
            gradient_checkpointing=False,
            bf16=False,
        )
        trainer: Trainer = GKDTrainer(
            model,
            teacher,
            args=args,
            data_collator=collate,
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=setting.loaded.tokenizer,
        )
        trainer.other_positions = True  # type: ignore[attr-defined]
        return trainer

    return stepping(make)
