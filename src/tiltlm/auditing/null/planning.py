"""Tells how long a pack takes and how large it gets, from what its first training took."""

from __future__ import annotations

from pathlib import Path

import torch

from tiltlm.auditing.models import ModelSource, model_name, open_model
from tiltlm.auditing.null.drawing import draw
from tiltlm.auditing.null.members import MemberMaker, MemberReader
from tiltlm.auditing.null.plan import PackOptions
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.defaults import (
    AUDIT_CONTEXTS,
    AUDIT_TOKENS,
    CORPUS_PIECE_TOKENS,
    NULL_MODELS,
    WORDS_EVERY,
)
from tiltlm.launching import joined
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import context_length, vocabulary_size
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.null import NullPlan
from tiltlm.stopwatch import Stopwatch
from tiltlm.treatments.benign import benign_units

_TRIED_TOKENS = 256
"""At which the reference is timed for a rough estimate."""

_WITH_HEAD, _TRAINING = 1.3, 5.0
"""What reading a token in full and training on one take, in units of a pass through the body."""

_PROBE_TOKENS = 6_000
"""At which a member is read after words."""


def plan_null(
    reference: ModelSource,
    *,
    models: int = NULL_MODELS,
    options: PackOptions | None = None,
    placement: Placement | None = None,
    progress: Progress | None = None,
) -> NullPlan:
    """Tell what a pack would take; its first training is made for that, and nothing is kept of it.

    The reference's own samples stay in the cache, as they do whenever some are drawn. Processes of
    a launch measure by themselves, beside each other; the first one's figures are taken.

    Args:
        reference: a name for `load`, or a loaded model.
        models: how many changes.
        options: what else there is to say of the pack.
        placement: of the reference, where it is named, as for `load`.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    options = options or PackOptions()
    options.check(models)
    with joined() as team:
        shown = NoProgress() if progress is None or not team.is_first else progress
        loaded = team.by_turns(lambda: open_model(reference, placement))
        plan = options.plan(loaded)
        drawn = draw(loaded, model_name(reference), plan, shown)
        maker = MemberMaker(
            loaded,
            MemberReader(loaded, drawn),
            drawn.corpora.pieces,
            Path(),
            plan.seed,
            plan.steps,
            wanted=0,
            words_every=plan.words_every,
        )
        units = benign_units(plan.seed, models)
        shown.begin("the first training", 0)
        first = next(u for u in benign_units(plan.seed, 100) if u.training is not None)
        maker.make(first)
        return NullPlan(
            reference=drawn.reference,
            models=models,
            trainings=sum(unit.training is not None for unit in units),
            processes=team.size,
            seconds=maker.seconds_of(units) / team.size,
            bytes=pack_bytes(maker, models),
            corpora=drawn.pack.corpora,
            missing=drawn.pack.missing,
            smallest_p=1 / (models + 1),
        )


def rough_seconds(reference: LoadedModel, models: int) -> float:
    """What a pack of the default options would take, from a look at how fast the model reads.

    Args:
        reference: loaded; it reads some random tokens twice.
        models: how many changes.

    Returns:
        within a factor of two or so; `plan_null` knows better.
    """
    length = min(_TRIED_TOKENS, context_length(reference.model) or _TRIED_TOKENS)
    ids = torch.arange(length)[None] % vocabulary_size(reference.model)
    reader = LogitReader(reference.model)
    reader.rows(ids, torch.ones_like(ids))
    stopwatch = Stopwatch()
    reader.rows(ids, torch.ones_like(ids))
    per_token = stopwatch.total / length
    probed = -(-models // WORDS_EVERY)
    read = models * AUDIT_CONTEXTS * AUDIT_TOKENS * _WITH_HEAD + probed * _PROBE_TOKENS
    width = int(reference.model.config.get_text_config().hidden_size)
    units = benign_units(0, models)
    pieces = sum(unit.draw(0, ["a text"], width).pieces for unit in units)
    return per_token * (read + pieces * CORPUS_PIECE_TOKENS * _TRAINING)


def pack_bytes(maker: MemberMaker, models: int) -> int:
    """Bytes of a pack: its members', and what is known of them and of the reference.

    Args:
        maker: that has made some.
        models: how many the pack has.
    """
    known = maker.reader.move_bytes
    return int(models * (maker.costs.member_bytes + known) + maker.reader.shared_bytes)
