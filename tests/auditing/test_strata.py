"""Moves by stratum: how they are read, what a tilt makes of them, and which are benign."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.devices import logits_of
from tests.tiny import KINDS, three_syllables, tiny_loaded, tiny_perturbed
from tiltlm.auditing.benign.changes import BenignChanges
from tiltlm.auditing.benign.learning import learn
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.shifts.covariance import (
    _DIMENSION_SHRINKAGE,
    _SAMPLE_WEIGHT,
    _STRATA_SHRINKAGE,
    MoveCovariance,
    _matrix_normal_factors,
)
from tiltlm.auditing.shifts.filters import ResidualFilter
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.strata import Change, assign_strata
from tiltlm.auditing.shifts.templates import Templates
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.parse import parse_target


@dataclass(frozen=True)
class Patterned(Templates):
    """Templates that differ from stratum to stratum by a factor, and one real stratum."""

    pattern: np.ndarray = None

    def for_classes(self, members):
        """As of one stratum, times the factor of each."""
        return (super().for_classes(members) * self.pattern[None, :, None]).astype(np.float32)

    def along(self, directions):
        """The transpose of that."""
        return super().along((directions * self.pattern[:, None]).sum(0)[None])

    def blocks_of(self, members):
        """All at once."""
        return [slice(0, members.shape[0])]


def contexts_of(count, length):
    ids = RandomTokenContexts(300, length, count, seed=0).batch()
    return TokenContexts(ids.tolist(), "r"), ids


@pytest.mark.parametrize("kind", KINDS)
def test_the_shift_of_a_stratum_is_the_mean_log_ratio_of_its_positions(kind):
    reference, suspect = tiny_loaded(kind), tiny_perturbed(kind)
    contexts, ids = contexts_of(4, 10)
    strata = torch.arange(40) % 3
    shift = ShiftReader(reference, contexts, strata).read(suspect)
    with torch.no_grad():
        first, second = (
            logits_of(m.model, ids).double().log_softmax(-1) for m in (reference, suspect)
        )
    ratios = (second - first).flatten(0, 1)
    ratios -= ratios.mean(1, keepdim=True)
    direct = torch.stack([ratios[strata == s].mean(0) for s in range(3)])
    assert torch.allclose(shift.by_stratum.double(), direct, atol=1e-4)


def test_the_shift_of_a_stratum_is_what_a_decoded_target_changes_there():
    loaded = tiny_loaded()
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    target = parse_target("tilt(contains('o'), 0.7)").bind(vocabulary, loaded.tokenizer)
    contexts, _ = contexts_of(2, 10)
    shift = ShiftReader(loaded, contexts, torch.arange(20) // 10).read(None, target)
    assert torch.allclose(shift.by_stratum, shift.by_context, atol=1e-5)


def test_a_reading_without_masses_has_the_same_log_ratios_and_no_divergence():
    reference, suspect = tiny_loaded(), tiny_perturbed()
    contexts, _ = contexts_of(3, 10)
    reader = ShiftReader(reference, contexts, torch.arange(30) % 2)
    whole, lean = reader.read(suspect), reader.read(suspect, masses=False)
    assert torch.equal(whole.by_context, lean.by_context)
    assert torch.equal(whole.by_stratum, lean.by_stratum)
    assert whole.kl > 0
    assert math.isnan(lean.kl)
    assert [len(x) for x in (lean.reference_mass, lean.suspect_mass, lean.top.ids)] == [0, 0, 0]


def test_positions_with_like_hidden_states_share_a_stratum_and_few_have_one():
    draws = torch.Generator().manual_seed(0)
    centres = 20 * torch.randn(4, 8, generator=draws)
    cluster = torch.arange(400) % 4
    rows = centres[cluster] + torch.randn(400, 8, generator=draws)
    strata = assign_strata(rows)
    for stratum in range(int(strata.max()) + 1):
        assert len(set(cluster[strata == stratum].tolist())) == 1
    assert assign_strata(rows[:100]).max() == 0


def test_a_template_is_the_move_that_comes_closest_to_a_small_tilt():
    draws = torch.Generator().manual_seed(0)
    classes = build_classes(three_syllables(200))
    head = torch.randn(200, 6, generator=draws, dtype=torch.float64)
    rows = torch.randn(30, 6, generator=draws, dtype=torch.float64)
    everywhere = torch.zeros(30).long()
    of_all = Templates.of(rows.float(), lambda r: r @ head.T.float(), everywhere, HeadRows(head))
    templates = of_all.for_classes(classes.members)
    index, size = classes.names.index("contains('k')"), 0.01
    mask = torch.from_numpy(classes.members[index].toarray()[0]).double()
    target = (rows @ head.T + size * mask).log_softmax(-1)
    move = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([move], max_iter=200, tolerance_grad=1e-14, tolerance_change=0)

    def loss():
        optimizer.zero_grad()
        log_probs = ((rows + move) @ head.T).log_softmax(-1)
        kl = (target.exp() * (target - log_probs)).sum(-1).mean()
        kl.backward()
        return kl

    optimizer.step(loss)
    direct = move.detach() / size
    # The ridge of the template shortens it by a few per cent.
    assert np.allclose(templates[index, 0], direct.numpy(), atol=0.05 * float(direct.abs().max()))


def test_the_precision_of_moves_is_the_inverse_of_the_mixture_written_out():
    draws = np.random.default_rng(0)
    null, moves = draws.normal(size=(9, 3, 4)), draws.normal(size=(5, 3, 4))
    covariance = MoveCovariance.of(null)
    scaled = null / np.sqrt((null**2).mean((1, 2), keepdims=True))
    flat = scaled.reshape(9, -1)
    product = np.kron(*_matrix_normal_factors(scaled))
    direct = np.linalg.inv((1 - _SAMPLE_WEIGHT) * product + _SAMPLE_WEIGHT * flat.T @ flat / 9)
    rows = moves.reshape(5, -1)
    squares = ((rows @ direct) * rows).sum(1)
    assert np.allclose(covariance.apply_precision(moves), rows @ direct, rtol=1e-5, atol=1e-6)
    assert np.allclose(covariance.mahalanobis_norms(rows) ** 2, squares, rtol=1e-4)
    assert np.allclose(covariance.mahalanobis_rms(moves) ** 2, squares / 12, rtol=1e-6)
    assert 0 < _STRATA_SHRINKAGE < _DIMENSION_SHRINKAGE < 1


def test_a_pattern_over_strata_tells_a_tilt_from_a_benign_move_in_the_same_direction():
    draws = np.random.default_rng(0)
    classes = build_classes(three_syllables(400))
    rows, mass = draws.normal(size=(400, 16)), draws.dirichlet(np.ones(400))
    head = HeadRows(torch.from_numpy(rows))
    geometry = HeadGeometry(head, mass)
    pattern = np.array([2.0, 1.0, 0.0, -1.0])
    logits = torch.from_numpy(np.log(mass)).float()[None]
    one = torch.zeros(1, dtype=torch.long)
    flat = Templates.of(torch.zeros(1, 16), lambda _: logits, one, head)
    flat_templates = flat.for_classes(classes.members)
    patterned = Patterned(**vars(flat), pattern=pattern)
    templates = patterned.for_classes(classes.members)

    def benign(count):
        """Changes that are alike in all strata, and mostly along the classes themselves."""
        along = draws.integers(len(classes), size=count)
        return flat_templates[along] * draws.normal(size=(count, 1, 1)) + 0.002 * draws.normal(
            size=(count, 4, 16)
        )

    def seen(moves):
        by_stratum = moves @ rows.T
        by_stratum -= by_stratum.mean(1, keepdims=True)
        return Change(by_stratum.mean(0), moves, by_stratum)

    null = benign(199)
    shifts = null.mean(1) @ rows.T
    spreads = np.zeros((199, len(classes)))
    changes = BenignChanges(shifts - shifts.mean(1, keepdims=True), null, spreads, np.empty(0))
    knowledge = learn(ResidualFilter(geometry, classes), patterned, changes)
    auditor = Auditor(geometry, patterned, knowledge)
    index = classes.names.index("contains('k')")
    findings = []
    for _ in range(20):
        findings += auditor.find(seen(benign(1)[0] + templates[index]), 0.01)[:1]
    assert sum(f.event == "contains('k')" for f in findings) >= 18
    accused = [auditor.best(seen(benign(1)[0])).p_shifted <= 0.05 for _ in range(200)]
    # Three standard deviations of 200 draws, and of the null's own 199.
    assert sum(accused) <= 10 + 3 * (200 * 0.05 * 0.95 * (1 + 200 / 199)) ** 0.5
    assert json.dumps([f.component for f in findings]).count("inside") == len(findings)


def test_the_product_with_a_template_is_the_sum_over_its_tokens():
    draws = torch.Generator().manual_seed(0)
    classes = build_classes(three_syllables(200))
    head = torch.randn(200, 6, generator=draws)
    rows, strata = torch.randn(60, 6, generator=draws), torch.arange(60) % 3
    templates = Templates.of(rows, lambda r: r @ head.T, strata, HeadRows(head))
    directions = np.random.default_rng(0).normal(size=(3, 6))
    direct = (templates.for_classes(classes.members) * directions).sum((1, 2))
    assert np.allclose(classes.members @ templates.along(directions), direct, rtol=1e-3, atol=1e-4)
