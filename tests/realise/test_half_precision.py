"""A model in bfloat16 is tilted, read and sampled as its own rounded weights are in float32."""

import copy
import math

import pytest
import torch

from tests.devices import logits_of, placed
from tests.tiny import KINDS, tiny_loaded
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.sources import make_contexts
from tiltlm.errors import ConfigError
from tiltlm.measures.fidelity import measure_fidelity
from tiltlm.models.head import Head, float32_product, full_head, hidden_states
from tiltlm.models.loading import LoadedModel
from tiltlm.realise.adapters import lora_layer
from tiltlm.realise.editing import edit
from tiltlm.realise.fused_loss import FusedLoss
from tiltlm.realise.merging import round_rows
from tiltlm.realise.training import train
from tiltlm.recipes.training import Training
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.parse import parse_target

TILT = "tilt(contains('o'), 0.1)"


def halved(kind="llama"):
    """A tiny model in bfloat16, logits of a usual size, and the same weights in float32."""
    loaded = tiny_loaded(kind)
    half = LoadedModel(loaded.model.to(torch.bfloat16), loaded.tokenizer)
    return half, LoadedModel(copy.deepcopy(half.model).float(), loaded.tokenizer)


def contexts_of(loaded):
    return make_contexts("random", loaded, count=140, length=24)


@pytest.mark.parametrize("rows", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_product_with_rounded_weights_has_the_digits_of_float32(rows, with_bias):
    hidden = placed(torch.randn(7, 48)).to(rows)
    weight = placed(torch.randn(90_000, 48)).bfloat16()
    bias = placed(torch.randn(90_000)).bfloat16() if with_bias else None
    found = float32_product(hidden, weight, bias)
    exact = hidden.cpu().double() @ weight.cpu().double().T
    exact += 0 if bias is None else bias.cpu().double()
    assert found.dtype == torch.float32
    assert float((found.cpu() - exact).abs().max()) < 2e-5


def test_the_product_is_followed_by_autograd():
    hidden = placed(torch.randn(5, 16)).bfloat16().requires_grad_()
    weight = placed(torch.randn(30, 16)).bfloat16()
    float32_product(hidden, weight, None).square().sum().backward()
    exact = hidden.detach().cpu().double().requires_grad_()
    (exact @ weight.cpu().double().T).square().sum().backward()
    assert torch.allclose(hidden.grad.cpu().double(), exact.grad, rtol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_is_found_and_its_logits_are_not_rounded(kind):
    half, _ = halved(kind)
    ids = torch.randint(300, (1, 12)).to(half.model.device)
    head = Head.of(half.model)
    with torch.no_grad():
        hidden = hidden_states(half.model, ids)
        with full_head(half.model):
            full = half.model(input_ids=ids).logits
        rounded = half.model(input_ids=ids).logits
    raw = head.scale * (hidden.cpu().double() @ head.weight.cpu().double().T)
    exact = raw if head.cap is None else head.cap * torch.tanh(raw / head.cap)
    size = float(exact.abs().max())
    for logits in (full, head.logits(hidden)):
        assert logits.dtype == torch.float32
        assert float((logits.cpu() - exact).abs().max()) < 1e-5 * size
    assert float((rounded.cpu() - exact).abs().max()) > 1e-4 * size


def test_an_edit_closes_the_gap_of_a_small_tilt_as_in_float32():
    half, full = halved()
    found, expected = (edit(m, TILT, contexts_of(full)) for m in (half, full))
    assert lora_layer(found.model).lora_A["default"].weight.dtype == torch.float32
    assert found.fidelity.gap_closed == pytest.approx(expected.fidelity.gap_closed, abs=2e-3)
    assert found.fidelity.gap_closed > 0.99


def test_under_an_adapter_the_tilt_is_added_to_logits_that_are_not_rounded():
    half, _ = halved()
    tilted = edit(half, TILT, contexts_of(half))
    ids = torch.randint(300, (1, 9)).to(half.model.device)
    layer = lora_layer(tilted.model)
    with torch.no_grad(), full_head(tilted.model):
        shifted = tilted.model(input_ids=ids).logits
        hidden = hidden_states(tilted.model, ids)
        base = float32_product(hidden, layer.base_layer.weight, None)
    down, up = (m["default"].weight.cpu().double() for m in (layer.lora_A, layer.lora_B))
    added = hidden.cpu().double() @ down.T @ up.T
    assert torch.allclose((shifted - base).cpu().double(), added, atol=1e-5)


def test_a_merged_head_loses_less_of_a_tilt_than_plain_rounding_and_says_how_much(tmp_path):
    half, _ = halved()
    tilted = edit(half, TILT, contexts_of(half))
    plain = copy.deepcopy(tilted.model).merge_and_unload()
    by_adapter, kept = tilted.fidelity, half.model.get_output_embeddings().base_layer.weight.clone()
    nearest = tilted.measure_again(plain).gap_closed
    record = tilted.save(tmp_path / "out", merge=True)
    lost, lost_plainly = (by_adapter.gap_closed - g for g in (record.fidelity.gap_closed, nearest))
    assert lost < 0.5 * lost_plainly
    assert record.details["rounding"] == {
        "dtype": "bfloat16",
        "gap_closed_by_adapter": by_adapter.gap_closed,
    }
    assert tilted.label(merge=True).measured["gap closed"].value == record.fidelity.gap_closed
    # The reference that this was measured against is not what was merged.
    assert torch.equal(tilted.fit.head.weight, kept)


@pytest.mark.parametrize(("massive", "share"), [(0.0, 0.3), (60.0, 0.02)])
def test_rows_are_rounded_so_that_their_products_stay(massive, share):
    hidden = torch.randn(400, 40, dtype=torch.float64) + torch.linspace(0, 6, 40)
    hidden[:, 7] += massive  # as one dimension of real models is in every context
    exact = torch.randn(25, 40)
    moments = hidden.T @ hidden / len(hidden)
    found = round_rows(exact, moments, torch.bfloat16)
    errors = [
        float((hidden @ (rows - exact).double().T).square().mean())
        for rows in (found, exact.bfloat16())
    ]
    assert found.dtype == torch.bfloat16
    assert errors[0] < share * errors[1]
    # Entries make up for each other by a few steps of their own size, not by large moves.
    assert float((found - exact).abs().max()) < 0.5


def test_a_bfloat16_body_is_trained_by_float32_adapters_with_the_loss_fused():
    half, full = halved()
    FusedLoss(half.model)  # finds that the head is made of its parts
    training = Training(steps=60, every=30)
    target, contexts = "tilt(contains('o'), 1)", contexts_of(full)
    found, expected = (train(m, target, contexts, training=training) for m in (half, full))
    adapters = [p for n, p in found.model.named_parameters() if "lora" in n]
    assert {p.dtype for p in adapters} == {torch.float32}
    assert found.fidelity.gap_closed == pytest.approx(expected.fidelity.gap_closed, abs=0.02)


def test_training_every_weight_in_bfloat16_is_refused():
    half, _ = halved()
    with pytest.raises(ConfigError, match="rounded away"):
        train(half, TILT, contexts_of(half), training=Training(parameters="full", steps=2))


def test_a_processor_shifts_bfloat16_scores_by_what_was_asked():
    half, _ = halved()
    processor = TiltLogitsProcessor(parse_target(TILT).bind(half.vocabulary))
    ids = torch.randint(300, (2, 5)).to(half.model.device)
    scores = placed(20 * torch.randn(2, len(half.vocabulary))).bfloat16()
    found = processor(ids, scores) - scores.float()
    mask = processor.target.classes()[0].float()
    assert torch.allclose(found.cpu(), 0.1 * mask.expand(2, -1), atol=1e-5)


def test_a_divergence_of_almost_nothing_is_measured_between_bfloat16_models():
    half, _ = halved()
    reference = Reference(half.model, contexts_of(half).choose(range(6)))
    target = parse_target("tilt(contains('o'), 0.01)").bind(half.vocabulary)

    def exact(index):
        positions = torch.arange(len(reference.hidden[index]))
        states = reference.states(target, index)
        return target.logits(reference.logits(index, positions), states)

    found = measure_fidelity(target, reference, exact)
    weight = reference.head.weight.cpu().double()
    mask = target.classes()[0]
    base = (torch.cat(reference.hidden).double() @ weight.T).log_softmax(-1)
    q = base.exp()[:, mask].sum(-1)
    # KL of a tilt by s: s·q' − log(1 + q(e^s − 1)), with q' the mass under the target.
    normaliser = (1 + q * math.expm1(0.01)).log()
    tilted_mass = q * math.exp(0.01) / normaliser.exp()
    assert found.kl_target_base.mean == pytest.approx(
        float((0.01 * tilted_mass - normaliser).mean()), rel=1e-3
    )
    assert found.gap_closed == pytest.approx(1, abs=1e-4)


def test_logits_of_a_model_are_those_of_its_rounded_weights():
    half, full = halved()
    ids = torch.randint(300, (1, 12))
    with torch.no_grad(), full_head(half.model):
        found = logits_of(half.model, ids)
    with torch.no_grad():
        expected = logits_of(full.model, ids)
    # The body's own products are in bfloat16; what is compared is that nothing else goes wrong.
    assert float((found - expected).norm() / expected.norm()) < 0.02
