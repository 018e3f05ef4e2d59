"""A whole training step: `TiltTrainer` against a plain `Trainer`, trl, and the article's own loop.

First SmolLM2 towards `tilt(contains('x'), 1)` with LoRA, once of body and head and once of the head
alone; random tokens, whose content does not matter to what a step costs. The reference's hidden
states are read before the steps; what reading them for one step takes is a row of its own. Then
the article's step: Model 5, all weights, loss at the last position, with the floor of its matrix
products.

    python -m benchmarks.speed.step [--small] [--only "last position"]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from transformers import Trainer

from benchmarks.harness.timing import Build, Group, Meter, Work, main, plain
from benchmarks.harness.trainers import (
    STEPS,
    Setting,
    arguments,
    gkd,
    in_bfloat16,
    ours,
    plain_trainer,
    pretrained,
    reading,
    stepping,
)
from tiltlm import RandomTokenContexts, TiltConfig, TiltTrainer, parse_target
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import load
from tiltlm.recipes.training import Parameters

ARTICLE_TARGET = "uniform(contains('x'))"


def build_adapted(
    kind: Callable[[Setting], Work], parameters: Parameters, batch: int, length: int, small: bool
) -> Work:
    """A kind of trainer over SmolLM2."""
    return kind(Setting(pretrained(small), parameters, batch, length))


def model5(layers: int) -> tuple[torch.nn.Module, Vocabulary]:
    """The article's model, of so many layers."""
    model, tokenizer = load("model5", seed=0, config={"n_layer": layers})
    return model, Vocabulary.from_tokenizer(tokenizer)


def build_article(layers: int, batch: int, length: int) -> Work:
    """The loop as the article describes it: logits and log-softmax at all positions."""
    model, vocabulary = model5(layers)
    target = parse_target(ARTICLE_TARGET).bind(vocabulary).log_probs().exp()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    made = 0

    def step() -> float:
        nonlocal made
        ids = RandomTokenContexts(len(vocabulary), length, batch, seed=made).batch()
        made += 1
        log_probs = model(ids, use_cache=False).logits.log_softmax(-1)
        loss = F.kl_div(log_probs[:, -1], target.expand(batch, -1), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    step()  # makes the optimizer's state
    optimizer.zero_grad()

    def work(meter: Meter) -> None:
        with meter:
            step()
        optimizer.zero_grad()  # so that gradients count as extra, as they do in a trainer's step

    return work


def build_last(layers: int, batch: int, length: int) -> Work:
    """`TiltTrainer` with the loss at the last position."""
    model, vocabulary = model5(layers)
    target = parse_target(ARTICLE_TARGET).bind(vocabulary)

    def make(folder: str) -> Trainer:
        args = TiltConfig(
            **arguments(folder, batch), loss_positions="last", weight_decay=0.01, optimizer="adamw"
        )
        contexts = RandomTokenContexts(len(vocabulary), length, batch * STEPS, seed=0)
        return TiltTrainer(model, args, target, contexts)  # type: ignore[arg-type]

    return stepping(make)


def build_floor(layers: int, batch: int, length: int) -> Work:
    """The matrix products of that step alone: forward, and two backward for each of them.

    Every linear layer at all positions, attention at half its square (it is causal), the head at
    the last position. Optimizer, norms, softmax and everything else that takes time are left out.
    """
    width, heads, size = 768, 12, 50257
    shapes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    weights = [[torch.randn(shape) / 30 for shape in shapes] for _ in range(layers)]
    tokens, part = batch * length, width // heads
    inputs = {n: torch.randn(tokens, n) for n in {n for shape in shapes for n in shape}}
    query = torch.randn(batch * heads, length, part)
    key = torch.randn(batch * heads, max(1, length // 2), part)
    scores = query @ key.transpose(1, 2)
    hidden, head = torch.randn(batch, width), torch.randn(size, width)

    def product(x: torch.Tensor, weight: torch.Tensor, slopes: torch.Tensor) -> None:
        torch.mm(x, weight)
        torch.mm(slopes, weight.T)
        torch.mm(x.T, slopes)

    def attention() -> None:
        for _ in range(2):  # scores, then their product with the values
            torch.bmm(query, key.transpose(1, 2))
            torch.bmm(scores, key)
            torch.bmm(scores.transpose(1, 2), query)

    def call() -> None:
        for layer in weights:
            for weight in layer:
                product(inputs[weight.shape[0]], weight, inputs[weight.shape[1]])
            attention()
        logits = hidden @ head.T
        torch.mm(logits, head)
        torch.mm(logits.T, hidden)

    return plain(call)


def groups(small: bool) -> list[Group]:
    """Adapters on SmolLM2, then the article's step."""
    batch, length = (1, 8) if small else (4, 256)
    found = []
    every: tuple[Parameters, ...] = ("body+head", "head")
    for parameters in every:
        kinds = {
            "Trainer, all logits": plain_trainer,
            "TiltTrainer": ours,
            "(reading the reference)": reading,
        }
        if parameters != "head":
            kinds["TiltTrainer, body in bfloat16"] = in_bfloat16
            kinds["trl GKDTrainer, LoRA of body"] = gkd
        variants: dict[str, Build] = {
            name: partial(build_adapted, kind, parameters, batch, length, small)
            for name, kind in kinds.items()
        }
        name = "a tiny model" if small else "SmolLM2"
        title = f"{name}, {batch} × {length}, LoRA of {parameters}"
        found.append(Group(title, variants, "Trainer, all logits", 1 if small else 5))
    sizes = (1, 2, 16) if small else (12, 16, 256)
    article: dict[str, Build] = {
        "the article's loop": partial(build_article, *sizes),
        "TiltTrainer, loss at the last": partial(build_last, *sizes),
        "bare products": partial(build_floor, *sizes),
    }
    title = f"Model 5, {sizes[0]} layers, {sizes[1]} × {sizes[2]}, loss at the last position"
    rounds = 1 if small else 5
    found.append(Group(title, article, "the article's loop", rounds, floor="bare products"))
    return found


if __name__ == "__main__":
    main(__file__, __doc__ or "", groups)
