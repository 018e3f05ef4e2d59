"""The figures of a tilt at contexts, on tiny models whose truth is known."""

import copy
import math

import pytest
import torch

from tests.devices import logits_of
from tests.measures.shared import contexts, decoding
from tests.tiny import KINDS, TEXT, tiny_loaded
from tiltlm.contexts.logit_reader import LogitReader, position_blocks
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.measures.effects import by_position, effect_of, unmeasured_of
from tiltlm.measures.pair import Pair
from tiltlm.measures.token_changes import heat_of, token_changes_of
from tiltlm.measures.token_metrics import read_token_metrics


@pytest.mark.parametrize("strength", [-3, 0.1, 1, 5])
def test_an_exact_tilt_is_found_at_its_strength(strength):
    pair = decoding(f"tilt(contains('o'), {strength})")
    effect = effect_of(read_token_metrics(pair, contexts()))
    assert effect.strength.mean == pytest.approx(strength, abs=1e-4)
    assert effect.gap_closed.mean == pytest.approx(1)
    assert effect.collateral.mean == pytest.approx(0, abs=1e-6)
    assert effect.mass_model.mean == pytest.approx(effect.mass_target.mean)


def test_figures_agree_with_dense_float64_ones(edited):
    few = contexts(4, 12)
    metrics = read_token_metrics(edited, few)
    ids = torch.stack(few.sequences)
    base, model = (
        m.model.double().cpu()(ids).logits.log_softmax(-1)
        for m in (copy.deepcopy(edited.base), copy.deepcopy(edited.model))
    )
    event = edited.target.event_masks([None])[0, 0]
    kl = (base.exp() * (base - model)).sum(-1)
    effect = effect_of(metrics)
    assert effect.kl_base_model.mean == pytest.approx(float(kl.mean()), rel=1e-3)
    assert effect.mass_model.mean == pytest.approx(float(model.exp()[..., event].sum(-1).mean()))
    following = model[:, :-1].gather(-1, ids[:, 1:, None]).sum()
    assert sum(metrics.sums("next_model")) == pytest.approx(float(following), rel=1e-5)


def test_a_body_that_is_shared_is_run_once_and_found_out(edited):
    assert edited.shares_body
    other = copy.deepcopy(edited.model)
    with torch.no_grad():
        next(p for n, p in other.model.named_parameters() if "layers.0" in n).add_(0.1)
    moved = Pair(edited.base, other, edited.target)
    assert not moved.shares_body
    kl = effect_of(read_token_metrics(moved, contexts(2))).kl_base_model.mean
    assert kl > effect_of(read_token_metrics(edited, contexts(2))).kl_base_model.mean


@pytest.mark.parametrize("kind", KINDS)
def test_any_architecture_is_read_as_it_reads_itself(kind):
    model = tiny_loaded(kind).model
    ids = torch.arange(12)[None]
    reader = LogitReader(model)
    logits = reader.logits(reader.rows(ids, torch.ones_like(ids)))
    torch.testing.assert_close(logits.cpu(), logits_of(model, ids), rtol=1e-4, atol=1e-3)


def test_padding_does_not_count():
    pair = decoding("tilt(contains('o'), 1)")
    long, short = contexts(1, 24).sequences[0].tolist(), contexts(1, 9, 1).sequences[0].tolist()
    together = read_token_metrics(pair, TokenContexts([long, short], "x"))
    alone = read_token_metrics(pair, TokenContexts([short], "x"))
    for name in ("mass_model", "kl_base_model", "next_base"):
        first, second = together.figures[name][1], alone.figures[name][0]
        assert first[:8] == pytest.approx(second[:8], rel=1e-4, abs=1e-6)


def test_the_mass_by_position_is_that_of_those_positions():
    metrics = read_token_metrics(decoding("tilt(contains('o'), 1)"), contexts(6, 20))
    first, second = by_position(metrics, [0, 4, 20])
    mass = torch.tensor([f.tolist() for f in metrics.figures["mass_model"]])
    assert first.model.mean == pytest.approx(float(mass[:, :4].mean()))
    assert second.model.mean == pytest.approx(float(mass[:, 4:].mean()))


def test_a_trigger_is_measured_where_it_is_met_and_leaks_nothing_when_exact():
    pair = decoding("when('coffee', tilt(contains('o'), 2))")
    ids = [pair.base.tokenizer(TEXT)["input_ids"][:40] for _ in range(3)]
    effect = effect_of(read_token_metrics(pair, TokenContexts(ids, "x")))
    assert effect.strength.mean == pytest.approx(2, abs=1e-3)
    assert effect.leakage.mean == pytest.approx(0, abs=1e-6)


def test_moved_tokens_are_those_of_the_event_and_a_text_is_coloured(edited):
    metrics = read_token_metrics(edited, contexts())
    moved = token_changes_of(metrics, edited.vocabulary)
    assert all("o" in t.text and t.model > t.base for t in moved.up)
    assert all("o" not in t.text for t in moved.down)
    heat = heat_of(metrics, edited.vocabulary)
    assert heat.log_ratio[0] is None
    assert len(heat.tokens) == len(heat.log_ratio) == 24


def test_a_block_of_positions_has_the_logits_of_those_positions():
    model = tiny_loaded().model
    reader = LogitReader(model)
    some = TokenContexts([[1, 2, 3, 4, 5], [6, 7], [8, 9, 10]], "x")
    rows = reader.read(some, [0, 1, 2])
    assert [len(r) for r in rows] == [5, 2, 3]
    positions = [torch.tensor([1, 4]), torch.tensor([0, 1]), torch.tensor([2])]
    blocks = list(position_blocks(positions, 3))
    assert [sum(len(part) for _, part in block) for block in blocks] == [3, 2]
    logits = torch.cat([reader.logits_of(rows, block) for block in blocks])
    wanted = [
        logits_of(model, ids[None])[0, p] for ids, p in zip(some.sequences, positions, strict=True)
    ]
    torch.testing.assert_close(logits.cpu(), torch.cat(wanted), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("only_next", [False, True])
def test_progress_is_told_of_every_context_in_turn(only_next):
    told = []
    pair = decoding("tilt(contains('o'), 1)")
    read_token_metrics(pair, contexts(6), told.append, only_next=only_next)
    assert told == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("when('coffee', tilt(contains('o'), 2))", "trigger is met at none"),
        ("tilt(phrase('coffee cup'), 2)", "impossible or certain"),
        ("uniform(contains('o'))", "impossible or certain"),
    ],
)
def test_a_strength_that_cannot_be_measured_is_none_and_has_a_reason(target, reason):
    pair = decoding(target)
    ids = pair.base.tokenizer("the fox and the box")["input_ids"]
    metrics = read_token_metrics(pair, TokenContexts([ids, ids[2:]], "x"))
    effect = effect_of(metrics)
    assert effect.strength is None
    assert reason in unmeasured_of(metrics, effect)["strength"]
    assert effect.mass_model is not None


def test_a_model_that_rules_tokens_out_has_no_finite_divergence_from_its_base():
    pair = decoding("uniform(contains('o'))")
    metrics = read_token_metrics(pair, contexts(3))
    effect = effect_of(metrics)
    assert (effect.kl_base_model, effect.collateral) == (None, None)
    assert effect.gap_closed.mean == pytest.approx(1)
    assert {"strength", "collateral", "KL of base to model"} == set(unmeasured_of(metrics, effect))
    assert all(r is None or math.isfinite(r) for r in heat_of(metrics, pair.vocabulary).log_ratio)
