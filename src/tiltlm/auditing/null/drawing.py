"""Draws what all members of a pack are made of and read at."""

from __future__ import annotations

import torch

from tiltlm.auditing.classes.clusters import cluster_tokens
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.null.drawn import Drawn
from tiltlm.auditing.null.plan import BuildPlan
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.strata import assign_strata
from tiltlm.auditing.shifts.templates import stratum_masses
from tiltlm.auditing.shifts.trigger_probes import make_trigger_probes
from tiltlm.contexts import evaluation
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import Progress
from tiltlm.treatments.corpora import gather_corpora


def draw(reference: LoadedModel, name: str, plan: BuildPlan, progress: Progress) -> Drawn:
    """Draw it.

    Args:
        reference: whose benign changes the members are.
        name: of it, for records.
        plan: of the pack.
        progress: told of progress.

    Raises:
        ConfigError: a text to train on cannot be read.
        ModelError: the reference's logits are no product of its head.
    """
    key = plan.reference
    progress.begin("the reference's own samples", plan.contexts)
    samples = evaluation.own(
        reference, plan.contexts, plan.length, plan.seed, key, progress.advance
    )
    progress.begin("texts to train on", 0)
    corpora = gather_corpora(
        reference, plan.corpora, defaults=plan.default_corpora, seed=plan.seed, key=key
    )
    reader = ShiftReader(reference, samples)
    head, strata = HeadRows.of(reader.head), assign_strata(reader.rows)
    mass = stratum_masses(reader.rows, reader.logits, strata, len(head))
    return Drawn(
        reference={"name": name, "sha256": key},
        vocabulary=reference.vocabulary.fingerprint,
        samples=samples,
        strata=strata,
        stratum_mass=torch.from_numpy(mass),
        hypotheses=build_classes(reference.vocabulary, clusters=cluster_tokens(head, key)),
        probes=make_trigger_probes(reference, plan.words, samples),
        corpora=corpora,
    )
