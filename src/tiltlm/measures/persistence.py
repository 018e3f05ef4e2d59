"""How much of a tilt survives: int8 weights, merging half-way with the base, further training.

What is done to the model is done to its base too, and the two are compared, so what the treatment
itself does to the event is not counted. Only merging has the untouched base to compare with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.pytorch_utils import Conv1D
from transformers.trainer_callback import PrinterCallback

from tiltlm.contexts import TokenContexts, collate
from tiltlm.measures.context_effects import effect_of
from tiltlm.measures.intervals import Estimate
from tiltlm.measures.observe import observe
from tiltlm.measures.pair import Pair
from tiltlm.models import LoadedModel

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
BATCH, LEARNING_RATE = 4, 2e-5


@dataclass(frozen=True)
class Survival:
    """The tilt after a treatment.

    Attributes:
        treatment: ``int8``, ``merged`` or ``fine-tuned``.
        amount: share of the model in a merge, steps of fine-tuning; None for int8.
        strength: β̂ against the base treated alike (merged: the base), nats.
        mass_base: event mass of that base.
        mass_model: of the treated model.
    """

    treatment: str
    amount: float | None
    strength: Estimate | None
    mass_base: Estimate | None
    mass_model: Estimate | None


def after_int8(pair: Pair, contexts: TokenContexts) -> Survival:
    """Weights of linear layers rounded to int8, one scale for each output (absmax)."""
    base, model = (_copy(loaded) for loaded in (pair.base, pair.model))
    for loaded in (base, model):
        round_to_int8(loaded.model)
    return _survival("int8", None, Pair(base, model, pair.target), contexts)


def after_merging(
    pair: Pair, contexts: TokenContexts, shares: Sequence[float] = SHARES
) -> Iterator[Survival]:
    """Weights share·model + (1 − share)·base, for several shares."""
    ours = dict(pair.base.model.state_dict())
    merged = _copy(pair.model)
    wholes = dict(pair.model.model.named_parameters())
    for share in shares:
        with torch.no_grad():
            for name, parameter in merged.model.named_parameters():
                if name in ours:
                    parameter.copy_(torch.lerp(ours[name], wholes[name], share))
        yield _survival("merged", share, Pair(pair.base, merged, pair.target), contexts)


def after_fine_tuning(
    pair: Pair,
    contexts: TokenContexts,
    clean: TokenContexts,
    milestones: Sequence[int],
    seed: int = 0,
    on_step: Callable[[int], None] | None = None,
) -> list[Survival]:
    """Ordinary fine-tuning of all weights on clean text, measured after so many steps.

    AdamW at 2e-5, four contexts a step, the language-model loss of transformers; base and model
    see the same contexts in the same order.
    """
    # The base first, whose weights at each milestone are kept for the model to be compared with.
    kept: dict[int, LoadedModel] = {}
    base, model = _copy(pair.base), _copy(pair.model)
    for loaded in (base, model):
        loaded.model.requires_grad_(True)  # an adapter's base comes frozen
    _fine_tune(base, clean, milestones, seed, lambda step: kept.__setitem__(step, _copy(base)))
    found: list[Survival] = []

    def measure(step: int) -> None:
        there = Pair(kept.pop(step), model, pair.target)
        found.append(_survival("fine-tuned", step, there, contexts))
        if on_step:
            on_step(step)

    _fine_tune(model, clean, milestones, seed, measure)
    return found


def round_to_int8(model: nn.Module) -> None:
    """Round the weights of linear layers, head included, to 255 steps of each output's absmax.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[127.0, 0.6]]))
    >>> round_to_int8(nn.Sequential(layer)); layer.weight.tolist()
    [[127.0, 1.0]]
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            weight = module.weight.data
            across = 0 if isinstance(module, Conv1D) else 1
            scale = weight.abs().amax(across, keepdim=True).clamp(min=1e-30) / 127
            weight.copy_((weight / scale).round() * scale)


class _AtSteps(TrainerCallback):
    def __init__(self, milestones: Sequence[int], act: Callable[[int], None]) -> None:
        self.milestones, self.act = set(milestones), act

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.milestones:
            model = kwargs["model"]
            model.eval()
            self.act(state.global_step)
            model.train()


class _Labelled(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Contexts with themselves as labels."""

    def __init__(self, contexts: TokenContexts) -> None:
        self.contexts = contexts

    def __len__(self) -> int:
        return len(self.contexts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = self.contexts.sequences[index]
        return {"input_ids": ids, "labels": ids}


def _fine_tune(
    loaded: LoadedModel,
    clean: TokenContexts,
    milestones: Sequence[int],
    seed: int,
    act: Callable[[int], None],
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=max(milestones),
            per_device_train_batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to=[],
            seed=seed,
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=loaded.model.device.type == "cpu",
        )
        trainer = Trainer(
            loaded.model,
            arguments,
            data_collator=_stack,
            train_dataset=_Labelled(clean),
            callbacks=[_AtSteps(milestones, act)],
        )
        trainer.remove_callback(PrinterCallback)  # standard output may be JSON
        trainer.train()
    loaded.model.eval()


def _stack(items: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    batch = collate(items)
    batch["labels"] = torch.where(batch["attention_mask"] > 0, batch["input_ids"], -100)
    return batch


def _copy(loaded: LoadedModel) -> LoadedModel:
    return LoadedModel(copy.deepcopy(loaded.model), loaded.tokenizer)


def _survival(
    treatment: str, amount: float | None, pair: Pair, contexts: TokenContexts
) -> Survival:
    effect = effect_of(observe(pair, contexts))
    return Survival(treatment, amount, effect.strength, effect.mass_base, effect.mass_model)
