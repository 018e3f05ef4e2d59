"""Benign changes drawn at random: what an ordinary user might do to a model, no tilt in mind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tiltlm.treatments.from_training import MEMBERS, Alone, FromTraining
from tiltlm.treatments.treatment import FineTuning, Layers, Lora, Treatment
from tiltlm.treatments.weights import Noise, Pruning, Rounding, WeightChange

METHODS = ("full", "full", "lora", "lora-all", "rounded")
"""Of `draw_treatment`, drawn from evenly: two in five train all weights, since what they do has
most forms. The others are LoRA on the layers that peft takes by default, LoRA on all layers but the
head, and rounding."""

LORAS: dict[str, Layers] = {
    "lora": "default",
    "lora-all": "body",
    "lora-head": "all",
    "lora-head-alone": "head",
}
"""Layers of the LoRAs among methods."""

TRAININGS = ("full", "full", "sgd full", *LORAS)
"""Of a block of `benign_units`: each four members. SGD has momentum."""

WEIGHTS = ("8 bits", "6 bits", "5 bits", "4 bits", "pruned", "noise")
"""Of a block of `benign_units` besides: each one member, changed without any text."""

STEPS = (4, 8, 16, 32)
"""Steps of fine-tuning."""

BATCHES = (2, 4, 8)
"""Pieces of text a step."""

SHARES = (0.1, 0.3, 1.0)
"""Of the corpus's pieces."""

RANKS = (2, 4, 8, 16)
"""Of a LoRA."""

BITS = (8, 6, 5, 4)
"""Of a rounded weight."""

GROUPS = (None, 64, 32)
"""Rounded weights that share a scale; None for all of an output."""

SCALES = (0.3, 0.5, 1.5, 2.0)
"""Of what a training changed: interpolations with the reference, and extrapolations beyond."""

RATES = (0.01, 0.15)
"""Least and largest learning rate of full fine-tuning, over the model's width."""

LORA_RATE = 5
"""Learning rates of a LoRA are so many times those of full fine-tuning."""

SGD_RATE = 50
"""Learning rates of SGD with momentum are so many times those of AdamW."""

PRUNED, NOISE = (0.02, 0.2), (0.003, 0.03)
"""Least and largest share of weights that are pruned, and of noise over the weights' own spread."""


@dataclass(frozen=True)
class Unit:
    """Members of a pack that are made together.

    Attributes:
        number: of the unit, from 0.
        members: their numbers, one after the other.
        kind: one of `TRAININGS` or of `WEIGHTS`.
        training: number of the training among all trainings; None where nothing is trained.
    """

    number: int
    members: range
    kind: str
    training: int | None

    def draw(
        self,
        seed: int,
        corpora: Sequence[str],
        width: int,
        steps: Sequence[int] = STEPS,
        attempt: int = 0,
    ) -> Alone | FromTraining:
        """What the members of the unit are.

        Args:
            seed: of all units.
            corpora: names to choose from; trainings take all of them in turn.
            width: hidden size of the model; learning rates go by 1 / width.
            steps: of fine-tuning, to choose from.
            attempt: another one is another draw of the same kind, on the same corpus.
        """
        draws = np.random.default_rng([seed, self.number, attempt, 40_961])
        own = int(draws.integers(2**31))
        if self.training is None:
            return Alone(_draw_weight_change(draws, self.kind, own))
        turn, place = divmod(self.training, len(corpora))
        order = np.random.default_rng([seed, turn, 12_289]).permutation(len(corpora))
        ordered = sorted(set(steps))
        end = max(_FEWEST_STEPS, int(draws.choice(ordered[1:] or ordered)))
        tuning = _draw_tuning(draws, self.kind, corpora[int(order[place])], width, end, own)
        ways = {*ordered, end // 4, end // 2, 3 * end // 4} & {*range(1, end)}
        early = sorted(int(step) for step in draws.choice(sorted(ways), 2, replace=False))
        scale, after = float(draws.choice(SCALES)), str(draws.choice(_MILD))
        last = str(draws.choice(_LAST))
        return FromTraining(
            tuning,
            tuple(early),
            None if last == "changed" else scale,
            None if last == "scaled" else _draw_weight_change(draws, after, own),
        )


_MILD = ("8 bits", "6 bits", "5 bits", "pruned", "noise")
"""What is done to the weights of a model that was trained."""

_LAST = ("scaled", "changed", "both")
"""What becomes of a model at the end of its training."""

_FEWEST_STEPS = 3
"""Of a training that is looked at twice on the way."""


def benign_units(seed: int, count: int) -> list[Unit]:
    """The units of which the first members of a pack come.

    Kinds come in blocks, in each of which all have their part, so that small packs have all too.

    Args:
        seed: the same one gives the same units, and more of them where more members are asked for.
        count: members that the units have together at least.

    >>> few, more = benign_units(0, 5), benign_units(0, 300)
    >>> more[: len(few)] == few, len(more[-1].members) in (1, 4)
    (True, True)
    """
    units: list[Unit] = []
    kinds = _kinds(seed)
    first = trainings = 0
    while first < count:
        kind = next(kinds)
        trains = kind in TRAININGS
        members = range(first, first + (MEMBERS if trains else 1))
        units.append(Unit(len(units), members, kind, trainings if trains else None))
        first, trainings = members.stop, trainings + trains
    return units


def _kinds(seed: int) -> Iterator[str]:
    """Kinds of units without end, block after block."""
    block = 0
    while True:
        order = np.random.default_rng([seed, block, 24_593])
        yield from (str(kind) for kind in order.permutation([*TRAININGS, *WEIGHTS]))
        block += 1


def draw_treatment(
    seed: int, corpora: Sequence[str], width: int, steps: Sequence[int] = STEPS
) -> Treatment:
    """A treatment at random, of which one change comes.

    Args:
        seed: the same one draws the same treatment.
        corpora: names to choose from.
        width: hidden size of the model; learning rates go by 1 / width.
        steps: of fine-tuning, to choose from.

    >>> draw_treatment(3, ["news"], 64) == draw_treatment(3, ["news"], 64)
    True
    """
    draws = np.random.default_rng([seed, 51_966])
    method = METHODS[int(draws.integers(len(METHODS)))]
    if method == "rounded":
        return _draw_weight_change(draws, f"{BITS[int(draws.integers(len(BITS)))]} bits", seed)
    corpus = str(draws.choice(list(corpora)))
    return _draw_tuning(draws, method, corpus, width, int(draws.choice(steps)), seed)


def _draw_tuning(
    draws: np.random.Generator, method: str, corpus: str, width: int, steps: int, seed: int
) -> FineTuning:
    rate = _log_uniform(draws, RATES) / width
    share, batch = float(draws.choice(SHARES)), int(draws.choice(BATCHES))
    momentum = method.startswith("sgd")
    lora = None
    if method in LORAS:
        rank = int(draws.choice(RANKS))
        lora = Lora(rank, LORAS[method])
        rate *= LORA_RATE
    if momentum:
        rate *= SGD_RATE
    return FineTuning(corpus, share, steps, batch, rate, lora, seed, momentum)


def _draw_weight_change(draws: np.random.Generator, kind: str, seed: int) -> WeightChange:
    if kind == "pruned":
        return Pruning(_log_uniform(draws, PRUNED), seed)
    if kind == "noise":
        return Noise(_log_uniform(draws, NOISE), seed)
    return Rounding(int(kind.split()[0]), GROUPS[int(draws.integers(len(GROUPS)))], seed)


def _log_uniform(draws: np.random.Generator, between: tuple[float, float]) -> float:
    return float(np.exp(draws.uniform(*np.log(between))))
