"""One suspect, audited with less than all of its logits: log-probabilities, or text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import compress
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse

from benchmarks.audit.bench import Bench
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.logprobs.auditor import TopKAuditor
from tiltlm.auditing.logprobs.findings import find_classes
from tiltlm.auditing.logprobs.log_ratios import log_ratios_at, null_at
from tiltlm.auditing.logprobs.null import TopKNull
from tiltlm.auditing.logprobs.suspects import LocalSuspect
from tiltlm.auditing.null.pack import NullPack, member_families
from tiltlm.auditing.shifts.log_ratios import TOP_TOKENS
from tiltlm.auditing.shifts.place_covariance import PlaceCovariance, learn_place_covariance
from tiltlm.auditing.text.class_probabilities import hits_and_probabilities, tilted_masses
from tiltlm.auditing.text.sample_size import plan_text
from tiltlm.auditing.text.sequential_test import TiltEvidence
from tiltlm.auditing.text.suspects import LocalTextSuspect
from tiltlm.auditing.text.tolerance import tolerances
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel

LENGTH, BUDGET = 64, 10_240


class Audited(Protocol):
    """What audits by log-probabilities share."""

    model: LoadedModel
    pack: NullPack
    tried: TokenClasses
    moves: PlaceCovariance
    top_null: TopKNull


def by_log_probs(
    bench: Audited, suspect: LoadedModel, rate: float, without: str | None = None
) -> list[dict[str, Any]]:
    """Classes named from the 20 likeliest tokens at every fourth position of the pack's contexts.

    Args:
        bench: what all share.
        suspect: to be audited.
        rate: of false positives.
        without: a family of which neither the null nor the covariance of moves knows.

    Returns:
        classes that were shifted, the clearest first, each with whether it looks planted.
    """
    local = LocalSuspect(Pair(bench.model, suspect))
    positions = local.positions(bench.pack.contexts, bench.pack.top["ids"].shape[1])
    shift = log_ratios_at(LogitReader(bench.model.model), local.read(positions))
    moves, null = (bench.moves, bench.top_null) if without is None else _unknowing(bench, without)
    auditor = TopKAuditor(shift.log_ratios, bench.tried, moves, null)
    return [
        {
            "event": bench.tried.names[n.index],
            "token_ids": bench.tried.token_ids(n.index),
            "strength": n.strength,
            "interval": n.interval,
            "p_shifted": n.p_shifted,
            "p_planted": n.p_planted,
            "planted": n.is_planted(rate),
            "likeness": None if n.likeness is None else vars(n.likeness),
        }
        for n in find_classes(auditor, rate)
    ]


@cache
def _unknowing(bench: Audited, family: str) -> tuple[PlaceCovariance, TopKNull]:
    """What is known of benign changes by a pack that lacks a family."""
    kept = np.array(member_families(bench.pack)) != family
    top = {name: tensor[torch.from_numpy(kept)] for name, tensor in bench.pack.top.items()}
    rows = HeadRows.of(LogitReader(bench.model.model).head)
    learnt = learn_place_covariance(top["ids"].numpy(), top["ratios"].numpy(), rows)
    pack = replace(
        bench.pack,
        top=top,
        place_covariance=torch.from_numpy(learnt).float(),
        members=list(compress(bench.pack.members, kept)),
        family_covariances=None,
    )
    moves = PlaceCovariance.of(rows, learnt)
    places = range(top["ids"].shape[1])
    return moves, null_at(pack, places, TOP_TOKENS, bench.tried, moves, bench.model)


def by_text(
    bench: Bench, suspect: LoadedModel, events: Sequence[str], rate: float, seed: int
) -> dict[str, Any]:
    """Whether any of some events is decided from text, and after how many tokens.

    Args:
        bench: what all share.
        suspect: that writes.
        events: to test.
        rate: α.
        seed: of what it writes.
    """
    # As the command does: half of the rate for benign changes, half for luck.
    rate = rate / 2
    classes, tolerated = _tolerated(bench, tuple(events), rate)
    evidence = TiltEvidence(tolerated)
    writer, reader = LocalTextSuspect(suspect), LogitReader(bench.model.model)
    asked = 0
    while evidence.tokens < BUDGET and evidence.p.min() * len(events) > rate:
        answers = writer.write(16, LENGTH, seed + asked)
        asked += len(answers)
        for hits, likely in hits_and_probabilities(reader, answers, classes):
            evidence.update(hits, likely)
    found = bool(evidence.p.min() * len(events) <= rate)
    return {"event": events[int(evidence.p.argmin())] if found else None, "tokens": evidence.tokens}


@cache
def _tolerated(
    bench: Bench, events: tuple[str, ...], rate: float
) -> tuple[TokenClasses, np.ndarray]:
    """Some events as classes, and how far each may move."""
    rows = np.stack([bench.mask(e).numpy().astype(float) for e in events])
    classes = TokenClasses(events, ("event",) * len(events), sparse.csr_matrix(rows))
    masses = tilted_masses(LogitReader(bench.model.model), bench.pack.contexts, classes)
    return classes, tolerances(bench.pack, classes, masses, rate)


def least_tokens(bench: Bench, event: str, strength: float, rate: float) -> int:
    """What Wald's bound asks for a tilt of an event, by its mass in the reference's samples."""
    mass = float(bench.mass[bench.mask(event).numpy()].sum())
    return plan_text(strength, mass, rate).least


def jaccard(ids: Iterable[int], truth: set[int]) -> float:
    """Of two sets of tokens."""
    first = set(ids)
    return len(first & truth) / len(first | truth)
