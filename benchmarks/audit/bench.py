"""What the parts of `audit.power` share: the reference, its pack, the auditors, the events."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness.tiny_language import tiny_language, write_corpora
from tiltlm.auditing.benign.learning import learn, with_classes
from tiltlm.auditing.classes.token_classes import TokenClasses, build_lists
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.logits.calibration import calibrated_auditor
from tiltlm.auditing.logits.finding import Finding
from tiltlm.auditing.logits.reach import within_reach
from tiltlm.auditing.logprobs.log_ratios import null_at
from tiltlm.auditing.null.building import build_null
from tiltlm.auditing.null.pack import NullPack, member_families
from tiltlm.auditing.null.pack_files import load_pack
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.log_ratios import TOP_TOKENS, Shift
from tiltlm.auditing.shifts.place_covariance import PlaceCovariance
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.contexts.sources import make_contexts
from tiltlm.defaults import CORPUS_PIECE_TOKENS, CORPUS_PIECES
from tiltlm.events.parse import parse_event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import vocabulary_size
from tiltlm.treatments.benign import draw_treatment
from tiltlm.treatments.treatment import Treatment

LISTS, WORDS = 3, 60
"""Lists of words drawn at random, of which the auditor is given the names, with as many decoys."""

SEED = 9_000_000  # of treatments that no pack has
WIDTH = 96


class Bench:
    """Made once for all organisms and decoys."""

    def __init__(self, data: Path, out: Path, models: int) -> None:
        self.model = tiny_language(data, out / "model")
        sources = [f"text:{path}" for path in write_corpora(data, out / "corpora")]
        if not (out / "pack" / "null.json").is_file():
            reference = str(out / "model")
            build_null(
                reference,
                out / "pack",
                models=models,
                corpora=sources,
                default_corpora=False,
                resume=True,
            )
        self.pack: NullPack = load_pack(out / "pack")
        self.vocabulary = Vocabulary.from_tokenizer(
            self.model.tokenizer, vocabulary_size(self.model.model)
        )
        self.corpora = {
            s: make_contexts(s, self.model, count=CORPUS_PIECES, length=CORPUS_PIECE_TOKENS)
            for s in sources
        }
        self.reader = ShiftReader(self.model, self.pack.contexts, self.pack.strata)
        self.lists = self._lists()
        self.mass = self.reader.read(self.model).reference_mass.numpy()
        self.space = HeadGeometry(HeadRows.of(self.reader.head), self.mass)
        self.auditor = calibrated_auditor(
            self.pack, self.reader, self.space, self.vocabulary, self.lists
        )
        self.tried: TokenClasses = self.auditor.residual_filter.hypotheses
        self.plain = self.auditor.residual_filter.first(len(self.pack.hypotheses))
        rows = range(self.pack.top["ids"].shape[1])
        self.moves = PlaceCovariance.of(
            self.space.rows, self.pack.place_covariance.double().numpy()
        )
        self.top_null = null_at(self.pack, rows, TOP_TOKENS, self.tried, self.moves, self.model)
        self.kinds = np.array(member_families(self.pack))

    def named(self, shift: Shift, rate: float, without: str | None = None) -> list[Finding]:
        """What is found of a suspect, by an auditor whose null may lack a family."""
        auditor = self.auditor if without is None else self.without(without)
        found = auditor.find(shift.change(self.space), rate)
        return within_reach(found, shift, max(self.pack.kl))

    @cache  # noqa: B019  (one bench a run)
    def without(self, family: str) -> Auditor:
        """An auditor whose null lacks a family."""
        templates = self.auditor.column_space_filter.templates
        changes = self.pack.changes.choose(self.kinds != family)
        knowledge = learn(ResidualFilter(self.space, self.pack.hypotheses), templates, changes)
        added = build_lists(self.vocabulary, self.lists, self.pack.hypotheses)
        knowledge = with_classes(knowledge, added, self.space, templates, changes)
        return Auditor(self.space, templates, knowledge)

    def treatment(self, seed: int) -> Treatment:
        """Of a benign change that the pack does not have."""
        return draw_treatment(SEED + seed, tuple(self.corpora), WIDTH)

    def benign(self, seed: int) -> LoadedModel:
        """The change itself."""
        return self.treatment(seed).apply(self.model, self.corpora)

    def mask(self, event: str) -> torch.Tensor:
        """(V,) of an event or a list."""
        if event not in self.lists:
            return parse_event(event).mask(self.vocabulary)
        ids = self.tried.token_ids(self.tried.names.index(event))
        return torch.zeros(len(self.vocabulary)).index_fill_(0, torch.tensor(ids), 1.0) > 0

    def _lists(self) -> dict[str, list[str]]:
        draws = np.random.default_rng(0)
        words = sorted({t[1:] for t in self.vocabulary.texts if len(t) > 4 and t[:1] == " "})
        return {
            f"list {n}": list(draws.choice(words, WORDS, replace=False)) for n in range(2 * LISTS)
        }
