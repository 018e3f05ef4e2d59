"""One suspect, audited with less than all of its logits: log-probabilities, or text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from audit_bench import Bench
from tiltlm.audit.hypotheses import Hypotheses
from tiltlm.audit.moves import Moves
from tiltlm.audit.nulls import NullPack
from tiltlm.audit.observers import ModelObserver
from tiltlm.audit.plan import plan_text
from tiltlm.audit.reading_text import hits_and_probabilities
from tiltlm.audit.seeing import seen_in
from tiltlm.audit.sequential import TiltEvidence
from tiltlm.audit.top_auditor import TopAuditor
from tiltlm.audit.top_null import TopNull
from tiltlm.audit.writers import ModelWriter
from tiltlm.audit_logprobs_command import named_by
from tiltlm.audit_text_command import tolerances
from tiltlm.measures.pair import Pair, Reader
from tiltlm.models import LoadedModel

LENGTH, BUDGET = 64, 10_240


class Audited(Protocol):
    """What audits by log-probabilities share."""

    model: LoadedModel
    pack: NullPack
    tried: Hypotheses
    moves: Moves
    top_null: TopNull


def by_log_probs(
    bench: Audited, suspect: LoadedModel, rate: float, without: str | None = None
) -> list[dict[str, Any]]:
    """Classes named from the 20 likeliest tokens at every fourth position of the pack's contexts.

    Args:
        bench: what all share.
        suspect: to be audited.
        rate: of false positives.
        without: a family that the null lacks.
    """
    observer = ModelObserver(Pair(bench.model, suspect))
    places = observer.places(bench.pack.contexts, bench.pack.top["ids"].shape[1])
    seen, _, _ = seen_in(Reader(bench.model.model), observer.observe(places))
    auditor = TopAuditor(seen, bench.tried, bench.moves, bench.top_null, without=without or "")
    return [
        {
            "event": bench.tried.names[n.index],
            "token_ids": bench.tried.token_ids(n.index),
            "strength": n.strength,
            "interval": n.interval,
            "p": n.p,
        }
        for n in named_by(auditor, rate)
    ]


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
    rows = np.stack([bench.mask(e).numpy().astype(float) for e in events])
    classes = Hypotheses(tuple(events), ("event",) * len(events), sparse.csr_matrix(rows))
    # As the command does: half of the rate for benign changes, half for luck.
    evidence = TiltEvidence(tolerances(bench.pack, classes, bench.mass, rate / 2))
    rate = rate / 2
    writer, reader = ModelWriter(suspect), Reader(bench.model.model)
    asked = 0
    while evidence.tokens < BUDGET and evidence.p.min() * len(events) > rate:
        answers = writer.write(16, LENGTH, seed + asked)
        asked += len(answers)
        for hits, likely in hits_and_probabilities(reader, answers, classes):
            evidence.update(hits, likely)
    found = bool(evidence.p.min() * len(events) <= rate)
    return {"event": events[int(evidence.p.argmin())] if found else None, "tokens": evidence.tokens}


def least_tokens(bench: Bench, event: str, strength: float, rate: float) -> int:
    """What Wald's bound asks for a tilt of an event, by its mass in the reference's samples."""
    mass = float(bench.mass[bench.mask(event).numpy()].sum())
    return plan_text(strength, mass, rate).least


def jaccard(ids: Iterable[int], truth: set[int]) -> float:
    """Of two sets of tokens."""
    first = set(ids)
    return len(first & truth) / len(first | truth)
