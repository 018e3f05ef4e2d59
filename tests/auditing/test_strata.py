"""Moves by stratum: what is read, what a tilt makes of them, and what is benign."""

import json

import numpy as np
import pytest
import torch

from tests.tiny import KINDS, three_syllables, tiny_loaded, tiny_perturbed
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.shifts.covariance import _BETWEEN, _OWN, _WITHIN, MoveCovariance, _factors
from tiltlm.auditing.shifts.filters import HeadGeometry
from tiltlm.auditing.shifts.log_ratios import ShiftReader
from tiltlm.auditing.shifts.strata import Change, strata_of, templates
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.parse import parse_target


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
            m.model(input_ids=ids).logits.double().log_softmax(-1) for m in (reference, suspect)
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


def test_positions_with_like_hidden_states_share_a_stratum_and_few_have_one():
    draws = torch.Generator().manual_seed(0)
    centres = 20 * torch.randn(4, 8, generator=draws)
    which = torch.arange(400) % 4
    rows = centres[which] + torch.randn(400, 8, generator=draws)
    strata = strata_of(rows)
    for stratum in range(int(strata.max()) + 1):
        assert len(set(which[strata == stratum].tolist())) == 1
    assert strata_of(rows[:100]).max() == 0


def test_a_template_is_the_move_that_comes_closest_to_a_small_tilt():
    draws = torch.Generator().manual_seed(0)
    words = three_syllables(200)
    tried = build_classes(words)
    head = torch.randn(200, 6, generator=draws, dtype=torch.float64)
    rows = torch.randn(30, 6, generator=draws, dtype=torch.float64)
    made = templates(
        rows.float(), torch.zeros(30).long(), lambda r: r @ head.T.float(), head.numpy(),
        tried.members,
    )  # fmt: skip
    index, size = tried.names.index("contains('k')"), 0.01
    mask = torch.from_numpy(tried.members[index].toarray()[0]).double()
    wish = (rows @ head.T + size * mask).log_softmax(-1)
    move = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([move], max_iter=200, tolerance_grad=1e-14, tolerance_change=0)

    def loss():
        optimizer.zero_grad()
        found = ((rows + move) @ head.T).log_softmax(-1)
        kl = (wish.exp() * (wish - found)).sum(-1).mean()
        kl.backward()
        return kl

    optimizer.step(loss)
    direct = move.detach() / size
    # The ridge takes off a little.
    assert np.allclose(made[index, 0], direct.numpy(), atol=0.05 * float(direct.abs().max()))


def test_the_noise_of_moves_is_the_inverse_of_what_it_says_it_is():
    draws = np.random.default_rng(0)
    null, moves = draws.normal(size=(9, 3, 4)), draws.normal(size=(5, 3, 4))
    noise = MoveCovariance.of(null)
    scaled = null / np.sqrt((null**2).mean((1, 2), keepdims=True))
    flat = scaled.reshape(9, -1)
    product = np.kron(*_factors(scaled))
    direct = np.linalg.inv((1 - _OWN) * product + _OWN * flat.T @ flat / 9)
    rows = moves.reshape(5, -1)
    assert np.allclose(noise.whitened(moves), rows @ direct, rtol=1e-6)
    assert np.allclose(noise.norms(rows) ** 2, ((rows @ direct) * rows).sum(1), rtol=1e-4)
    assert 0 < _BETWEEN < _WITHIN < 1


def test_a_pattern_over_strata_tells_a_tilt_from_a_benign_move_in_the_same_direction():
    draws = np.random.default_rng(0)
    words = three_syllables(400)
    tried = build_classes(words)
    rows, mass = draws.normal(size=(400, 16)), draws.dirichlet(np.ones(400))
    space = HeadGeometry(rows, mass)
    pattern = np.array([2.0, 1.0, 0.0, -1.0])
    logits = torch.from_numpy(np.log(mass)).float()[None]
    one = torch.zeros(1, dtype=torch.long)
    plain = templates(torch.zeros(1, 16), one, lambda _: logits, rows, tried.members)
    made = (plain * pattern[None, :, None]).astype(np.float32)

    def benign(count):
        """Alike in all strata, and mostly along the classes themselves."""
        which = draws.integers(len(tried), size=count)
        moves = plain[which] * draws.normal(size=(count, 1, 1)) + 0.002 * draws.normal(
            size=(count, 4, 16)
        )
        return Change(moves.mean(1) @ rows.T, moves)

    auditor = Auditor(space, tried, benign(199), templates=made)
    index = tried.names.index("contains('k')")
    found = []
    for _ in range(20):
        change = benign(1)
        moves = change.moves[0] + made[index]
        shift = moves.mean(0) @ rows.T
        found += auditor.named(Change(shift - shift.mean(), moves), 0.01)[:1]
    assert sum(f.event == "contains('k')" for f in found) >= 18
    accused = [auditor.best(benign(1).only(0)).p <= 0.05 for _ in range(200)]
    assert sum(accused) <= 10 + 3 * (200 * 0.05 * 0.95 * (1 + 200 / 199)) ** 0.5
    assert json.dumps([f.seen for f in found]).count("inside") == len(found)
