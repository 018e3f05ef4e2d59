"""Edit against train against decode: SmolLM2 towards `tilt(contains('x'), 1)`.

What edit and train take until they close 0.95 of the gap, from the same contexts and the same
reference, which are made before and not counted. Decode takes nothing beforehand, but acts at every
token: the second group is what that costs while generating, beside an edited model.

    python -m benchmarks.speed.realisations [--small]
"""

from __future__ import annotations

import time
from functools import cache, partial
from typing import Any

import torch

from benchmarks.harness.timing import Build, Group, Meter, Unavailable, Work, main, plain
from benchmarks.harness.trainers import pretrained
from tiltlm import SamplingOptions, sample
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import TiltError
from tiltlm.progress import NoProgress
from tiltlm.realise.adapters import as_adapter
from tiltlm.realise.editing import edit_prepared
from tiltlm.realise.head_edit import solve_edit
from tiltlm.realise.preparation import Prepared, prepare
from tiltlm.realise.training import train_prepared
from tiltlm.recipes.training import Training
from tiltlm.targets.logits_processor import TiltLogitsProcessor

TARGET = "tilt(contains('x'), 1)"
ENOUGH = 0.95


class Clock(NoProgress):
    """Notes when each look at the gap was done."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def advance(self, done: int, note: str = "") -> None:
        """A look has something to say of the gap; other steps do not."""
        if note.startswith("gap closed"):
            self.looks.append(time.monotonic())


@cache
def prepared(small: bool) -> Prepared:
    """Contexts and the reference there; made once."""
    loaded = pretrained(small)
    if not small:
        return prepare(loaded, TARGET)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, (8, 16), generator=generator).tolist()
    return prepare(loaded, TARGET, TokenContexts(ids, "random tokens"))


def build_edit(small: bool) -> Work:
    """Until the adapter is there; that it closes enough is looked at afterwards, on other time."""
    work = prepared(small)

    def run(meter: Meter) -> None:
        with meter:
            adapted = as_adapter(work.loaded.model, solve_edit(work.target, work.fit))
        adapted.unload()
        if not small:
            done = edit_prepared(work)
            done.model.unload()  # type: ignore[operator, union-attr]
            _enough(done.fidelity.gap_closed)

    return run


def build_train(small: bool) -> Work:
    """Until a look finds enough; the looks on the way are counted, as a user waits for them too."""
    work = prepared(small)

    def run(meter: Meter) -> None:
        work.progress = clock = Clock()
        begin = time.monotonic()
        steps = 4 if small else 60
        done = train_prepared(work, Training(steps=steps, every=2 if small else 5, patience=steps))
        done.model.unload()  # type: ignore[operator, union-attr]
        gaps = [gap for _, gap in done.details["gap_by_step"][1:]]
        for moment, gap in zip(clock.looks, gaps, strict=True):
            if gap >= ENOUGH or small:
                meter.add(moment - begin)
                return
        _enough(max(gaps))

    return run


def _enough(gap: float) -> None:
    if gap < ENOUGH:
        raise Unavailable(f"closes {gap:.3f} of the gap, not {ENOUGH}")


def build_generation(kind: str, batch: int, tokens: int, small: bool) -> Work:
    """`sample` from the base, the base through the processor, or the edited model."""
    loaded, text = pretrained(small), torch.zeros(batch, 1, dtype=torch.long)
    model: Any = loaded.model
    work = prepared(small)
    processor = TiltLogitsProcessor(work.target) if kind == "decode" else None
    if kind == "edit":
        reference = Reference(model, work.parts.fit)
        try:
            model = as_adapter(model, solve_edit(work.target, reference))
        except TiltError as error:
            raise Unavailable(str(error)) from None
    sample(model, text, 2, processor=processor)

    def call() -> None:
        sample(model, text, tokens, SamplingOptions(seed=1), processor=processor)

    return plain(call)


def groups(small: bool) -> list[Group]:
    """Realising, and then generating."""
    batch, tokens = (2, 4) if small else (64, 64)
    realising: dict[str, Build] = {
        "train": partial(build_train, small),
        "edit": partial(build_edit, small),
    }
    generating: dict[str, Build] = {
        "base": partial(build_generation, "base", batch, tokens, small),
        "decode": partial(build_generation, "decode", batch, tokens, small),
        "edited, adapter not merged": partial(build_generation, "edit", batch, tokens, small),
    }
    rounds = 1 if small else 3
    return [
        Group(f"Seconds to {ENOUGH} of the gap", realising, "train", rounds, memory=False),
        Group(
            f"Generating {batch} × {tokens} tokens",
            generating,
            "base",
            rounds,
            memory=False,
            amount=batch * tokens,
            unit="tokens",
            cost=True,
        ),
    ]


if __name__ == "__main__":
    main(__file__, __doc__ or "", groups)
