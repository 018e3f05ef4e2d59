"""Where a server is asked: after texts at which base and target differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tiltlm.auditing.prompt_texts import sent_ids
from tiltlm.contexts.for_target import ContextMaker, split_choices
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import MeasurementError
from tiltlm.losses.divergences import precise_kl
from tiltlm.models.chat import request_prompts
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Progress
from tiltlm.serving.verify.hypotheses import Prompted, prompted
from tiltlm.targets.bound import BoundTarget

CONTEXTS, CONTEXT_TOKENS = 48, 32
"""The base's own samples, in which prompts are looked for, and tokens of each."""

PROMPTS, OF_ONE_CONTEXT = 48, 4
"""Prompts that a server may be asked after, and how many of them are of one context."""

_TRIGGERED = "own:48"

_LEAST_NATS = 1e-4
"""Where base and target differ by no more than this after any prompt, nothing tells them apart."""

_ROWS = 64
"""Positions whose logits are made together."""


@dataclass(frozen=True)
class Found:
    """A prompt, with how much base and target differ after it.

    Attributes:
        ids: of the prompt.
        context: number of its context.
        nats: KL of target from base, and back, in sum.
    """

    ids: list[int]
    context: int
    nats: float


def telling_contexts(
    loaded: LoadedModel,
    target: BoundTarget,
    source: str | None,
    seed: int,
    key: str,
    progress: Progress,
) -> TokenContexts:
    """Contexts in which a target asks for something.

    Args:
        loaded: the base.
        target: bound, and fitted if it needs that.
        source: as for `make_contexts`; None for what the target takes.
        seed: of what is drawn.
        key: of the base's weights; own samples are kept in the cache under it.
        progress: told how far work has come.
    """
    if source is None and target.choices is not None:
        return split_choices(target.choices, None, seed).held_out
    if target.triggers:
        maker = ContextMaker(loaded, seed, key, progress)
        parts = maker.parts(target, source or _TRIGGERED)
        rows = [ids.tolist() for p in (parts.fit, parts.held_out) for ids in p.sequences]
        return TokenContexts(rows, parts.fit.kind)
    progress.begin("making contexts", CONTEXTS)
    return make_contexts(
        source or "own",
        loaded,
        count=CONTEXTS,
        length=CONTEXT_TOKENS,
        seed=seed,
        key=key,
        advance=progress.advance,
    )


def find_prompts(
    loaded: LoadedModel, target: BoundTarget, contexts: TokenContexts, *, as_text: bool
) -> list[Prompted]:
    """The beginnings of contexts after which base and target differ most.

    Args:
        loaded: the base.
        target: bound, and fitted if it needs that.
        contexts: where to look.
        as_text: whether prompts are sent as text, so that only those serve which are cut into the
            same tokens again.

    Raises:
        MeasurementError: base and target hardly differ anywhere.
    """
    reader = LogitReader(loaded.model.eval())
    found: list[Found] = []
    for number, ids in enumerate(contexts.sequences):
        row = ids.tolist()
        usable = _usable(loaded, row) if as_text else [row[: i + 1] for i in range(len(row))]
        if usable:
            found += _differences(reader, target, usable, number)
    chosen = _chosen(found)
    if not chosen or chosen[0].nats < _LEAST_NATS:
        raise MeasurementError(
            f"base and target hardly differ after any of {len(found):,} prompts, so nothing that "
            "is drawn there could tell them apart",
            where=target.text,
            fix="give contexts in which the target asks for something: --contexts text:FILE",
        )
    texts = [prompt.ids for prompt in chosen]
    wrapped = _templated(loaded, texts)
    logits = logits_after(reader, texts)
    inside = logits_after(reader, wrapped) if wrapped else []
    return [
        prompted(ids, row, target, (wrapped[i], inside[i]) if wrapped else None)
        for i, (ids, row) in enumerate(zip(texts, logits, strict=True))
    ]


def logits_after(reader: LogitReader, prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Logits of the token after each prompt.

    Args:
        reader: of a model.
        prompts: token ids of each.

    Returns:
        (V,) float32 of each, on the processor.
    """
    contexts = TokenContexts(prompts, "prompts")
    logits: dict[int, torch.Tensor] = {}
    for batch in reader.batches(contexts):
        for index, rows in zip(batch, reader.read(contexts, batch), strict=True):
            logits[index] = reader.logits(rows[-1:])[0].cpu()
    return [logits[index] for index in range(len(prompts))]


def _usable(loaded: LoadedModel, row: list[int]) -> list[list[int]]:
    """Beginnings of a context that a server cuts into the same tokens, each one longer."""
    special = set(loaded.tokenizer.all_special_ids)
    own = row[1:] if row[0] in special else row
    ends = [i for i, token in enumerate(own) if token in special]
    own = own[: ends[0]] if ends else own
    cut = [sent_ids(loaded.tokenizer, own[: length + 1]) for length in range(len(own))]
    return [ids for ids in cut if ids is not None]


def _differences(
    reader: LogitReader, target: BoundTarget, prompts: list[list[int]], context: int
) -> list[Found]:
    """How much base and target differ after prompts that begin one the other."""
    longest = TokenContexts([prompts[-1]], "prompts")
    rows = reader.read(longest, [0])[0]
    states = target.read(prompts[-1])
    found = []
    for begin in range(0, len(prompts), _ROWS):
        block = prompts[begin : begin + _ROWS]
        places = [len(ids) - 1 for ids in block]
        base = reader.logits(rows[places])
        tilt = target.logits(base, [states[place] for place in places]).log_softmax(-1)
        base = base.log_softmax(-1)
        there, back = precise_kl(tilt, base), precise_kl(base, tilt)
        nats = (there + back.nan_to_num(posinf=0.0)).tolist()
        found += [Found(ids, context, value) for ids, value in zip(block, nats, strict=True)]
    return found


def _chosen(found: Sequence[Found]) -> list[Found]:
    """Those that differ most, few of each context."""
    taken: dict[int, int] = {}
    chosen: list[Found] = []
    most = max(OF_ONE_CONTEXT, -(-PROMPTS // max(1, len({f.context for f in found}))))
    for prompt in sorted(found, key=lambda f: -f.nats):
        if taken.get(prompt.context, 0) < most and len(chosen) < PROMPTS:
            taken[prompt.context] = taken.get(prompt.context, 0) + 1
            chosen.append(prompt)
    return chosen


def _templated(loaded: LoadedModel, prompts: Sequence[list[int]]) -> list[list[int]]:
    """The prompts inside the tokenizer's chat template; none where it has none."""
    if not loaded.tokenizer.chat_template:
        return []
    texts = [str(loaded.tokenizer.decode(ids, skip_special_tokens=True)) for ids in prompts]
    return request_prompts(loaded.tokenizer, texts)
