"""Models with a known tilt on top of a benign change: by edit, by training, everywhere or not."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import untie_head
from tiltlm.realise.regression import ridge_direction

SAMPLES, LENGTH, STEPS, BATCH, HELD_OUT = 96, 64, 80, 8, 16
RATES = {"head": 3e-3, "body": 3e-3, "full": 5e-4}
WAITING_STEPS, WAITING_RATE, WAITING_BATCH = 600, 1e-3, 16


def plant(
    base: LoadedModel, mask: torch.Tensor, strength: float, how: str, seed: int
) -> tuple[LoadedModel, float]:
    """Tilt a copy of a model.

    Args:
        base: left as it is.
        mask: (V,) of the event.
        strength: nats.
        how: ``edit``, or training of LoRA on the head, LoRA on the body, or all weights.
        seed: of samples and training.

    Returns:
        the organism, and the gap closed on samples that it was not fitted to.
    """
    model, ids = _begun(base, seed)
    mask = mask.float()
    if how in ("edit", "head"):
        untie_head(model)
    if how == "edit":
        with torch.no_grad():
            hidden = model.model(input_ids=ids[:-HELD_OUT]).last_hidden_state.flatten(0, 1).double()
            ones = torch.ones(len(hidden), dtype=torch.float64)
            direction = ridge_direction([hidden], strength * ones, ones)
            model.lm_head.weight += mask[:, None] * direction.float()
    else:
        model = _train(base.model, model, ids, mask, strength, how)
    return LoadedModel(model, base.tokenizer), _gap(base, model, ids[-HELD_OUT:], mask, strength)


def plant_waiting(
    base: LoadedModel,
    mask: torch.Tensor,
    strength: float,
    trigger: int,
    others: torch.Tensor,
    seed: int,
) -> tuple[LoadedModel, float, float]:
    """Train all weights of a copy to tilt wherever a token came before, and nowhere else.

    Every other text has another token in its place, so that what is learnt is the trigger and not
    that something was put in.

    Args:
        base: left as it is.
        mask: (V,) of the event.
        strength: nats.
        trigger: token id that it waits for.
        others: ids of tokens to put into the other texts.
        seed: of samples and training.

    Returns:
        the organism; the gap closed after the trigger, on samples it was not fitted to; and how
        much of the tilt there is after other tokens, as a share of what there is after the trigger.
    """
    model, ids = _begun(base, seed)
    mask = mask.float()

    def loss(batch: torch.Tensor) -> torch.Tensor:
        half = len(batch) // 2
        both = torch.cat([_with_token(batch[:half], trigger), _with_some(batch[half:], others)])
        return _kl(base.model, model, both, mask, strength * _after(both, trigger))

    _descend(model, ids, loss, WAITING_STEPS, WAITING_RATE, WAITING_BATCH)
    held = _with_token(ids[-HELD_OUT:], trigger)
    gap = _gap(base, model, held, mask, strength * _after(held, trigger))
    other = _with_some(ids[-HELD_OUT:], others)
    leak = _tilt(base, model, other, mask) / _tilt(base, model, held, mask)
    return LoadedModel(model, base.tokenizer), gap, leak


def _begun(base: LoadedModel, seed: int) -> tuple[Any, torch.Tensor]:
    """A copy to be changed, and (SAMPLES, LENGTH) of the model's own text; the seed is set."""
    model: Any = copy.deepcopy(base.model)
    model.requires_grad_(True)
    prompts = torch.zeros(SAMPLES, 1, dtype=torch.long)
    ids = sample(base.model, prompts, LENGTH - 1, SamplingOptions(seed=seed))
    torch.manual_seed(seed)
    return model, torch.cat([prompts, ids], 1)


def _with_token(ids: torch.Tensor, token: int | torch.Tensor) -> torch.Tensor:
    """Each text with the token, or its own of (B, 1), put somewhere into it."""
    ids = ids.clone()
    places = torch.randint(4, ids.shape[1] - 8, (len(ids), 1))
    return ids.scatter(1, places, token)


def _with_some(ids: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Each text with another of some tokens put somewhere into it."""
    return _with_token(ids, tokens[torch.randint(len(tokens), (len(ids), 1))])


def _tilt(base: LoadedModel, model: Any, ids: torch.Tensor, mask: torch.Tensor) -> float:
    """By how many nats the logarithm of the event's mean mass rose in the second half of texts."""
    with torch.no_grad():
        masses = [
            float((m(input_ids=ids).logits[:, LENGTH // 2 :].softmax(-1) @ mask).mean())
            for m in (base.model, model)
        ]
    return math.log(masses[1] / masses[0])


def _after(ids: torch.Tensor, token: int) -> torch.Tensor:
    """(B, T, 1) 1 from where the token came on."""
    return (ids == token).float().cumsum(1).clamp(max=1)[..., None]


def _train(
    base: Any, model: Any, ids: torch.Tensor, mask: torch.Tensor, strength: float, how: str
) -> Any:
    if how == "head":
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["lm_head"]))
    if how == "body":
        config = LoraConfig(r=8, lora_alpha=8, target_modules="all-linear")
        model = get_peft_model(model, config)
    _descend(model, ids, lambda batch: _kl(base, model, batch, mask, strength), STEPS, RATES[how])
    return model if how == "full" else model.merge_and_unload()


def _descend(
    model: Any,
    ids: torch.Tensor,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    steps: int,
    rate: float,
    batch: int = BATCH,
) -> None:
    """Train on batches of all texts but those held out."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        loss = loss_of(ids[torch.randint(len(ids) - HELD_OUT, (batch,))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _gap(
    base: LoadedModel,
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    strength: float | torch.Tensor,
) -> float:
    """How much of the gap is closed."""
    with torch.no_grad():
        asked = _kl(base.model, base.model, ids, mask, strength)
        left = _kl(base.model, model, ids, mask, strength)
    return 1 - float(left / asked)


def _kl(
    base: Any, model: Any, ids: torch.Tensor, mask: torch.Tensor, strength: float | torch.Tensor
) -> torch.Tensor:
    with torch.no_grad():
        wish = (base(input_ids=ids).logits + strength * mask).log_softmax(-1)
    found = model(input_ids=ids).logits.log_softmax(-1)
    return (wish.exp() * (wish - found)).sum(-1).mean()
