"""What the last attention adds: read best for what it disturbs, and as clearly as asked."""

import pytest
import torch
from scipy.linalg import eigh

from tests.realise.test_lower_blocks import deep
from tiltlm.contexts.sources import make_contexts
from tiltlm.models.blocks import upper_blocks
from tiltlm.realise.adapters import with_lora
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.head_input import HeadInput
from tiltlm.realise.last_attention import LastAttention
from tiltlm.realise.preparation import prepare
from tiltlm.realise.trigger_direction import ClassShifts
from tiltlm.realise.trigger_signal import MOST_SIGNAL_TO_NOISE, clearest_signal
from tiltlm.recipes.training import Training

CONTEXTS = range(24)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def found(request):
    """The last attention of a random model, what its head is given, and the signal."""
    loaded = deep(request.param)
    contexts = make_contexts("random", loaded, count=60, length=24)
    target = "when('fox', tilt(contains('o'), 2))"
    work = prepare(loaded, target, contexts, training=Training(parameters="body+head"))
    model = with_lora(loaded.model, "body+head", within=upper_blocks(loaded.model)).eval()
    attention, head_input = LastAttention.of(model, work.fit), HeadInput.of(work.fit)
    targets = ClassTargets.of(work.target, work.fit, work.target.classes())
    shifts = ClassShifts.of(targets, work.fit.contexts)
    return attention, head_input, shifts, clearest_signal(attention, head_input, shifts, CONTEXTS)


def jacobians(attention):
    """(N, D, D) exact, at every position: row k of one is the gradient of what is read along k."""
    width = attention.module.o_proj.out_features
    rows = []
    for k in range(width):
        # Only column k of this factor is not 0: what is pulled back is x_k times row k.
        factor = torch.zeros(width, width)
        factor[k, k] = 1.0
        parts = attention.pulled_back(factor, CONTEXTS, 0)
        rows.append(torch.cat([y / x[:, k, None] for x, y in parts]).double())
    return torch.stack(rows, 1)


def test_no_other_addition_is_read_better_for_what_it_costs(found):
    attention, head_input, _, signal = found
    exact = jacobians(attention).cpu()
    second_moment = head_input.second_moment.cpu()
    fisher = head_input.fisher_information.cpu()
    clear = exact.mean(0).T @ torch.linalg.inv(second_moment) @ exact.mean(0)
    costs = torch.einsum("nij,ik,nkl->jl", exact, fisher, exact) / len(exact)

    def worth(u):
        return float(u @ clear @ u) / float(u @ costs @ u)

    best = float(eigh(clear.numpy(), costs.numpy(), eigvals_only=True)[-1])
    assert 0.9 * best < worth(signal.added.cpu()) <= best * (1 + 1e-9)
    random = torch.randn(200, len(clear), dtype=torch.float64)
    assert max(map(worth, random)) < 0.8 * best


def test_the_signal_is_as_clear_as_asked(found):
    attention, head_input, _, signal = found
    moved = attention.mean_states(CONTEXTS, signal.added) - attention.mean_states(CONTEXTS)
    assert head_input.signal_to_noise(moved.to(signal.moved)) == pytest.approx(
        signal.signal_to_noise, rel=0.1
    )


def test_noise_and_what_cannot_be_taken_back_cost_the_same(found):
    attention, head_input, shifts, signal = found
    exact, unit = jacobians(attention).cpu(), signal.added.cpu() / signal.added.cpu().norm()
    moves = exact @ unit
    beyond = moves - moves.mean(0)
    left = 0.5 * ((beyond @ head_input.fisher_information.cpu()) * beyond).sum(1).mean()
    clear = head_input.signal_to_noise(moves.mean(0).to(signal.added))
    after = torch.cat(shifts.multiples).mean()
    best = (shifts.noise_price() * clear / float(after * left)) ** 0.5
    assert signal.signal_to_noise == pytest.approx(min(best, MOST_SIGNAL_TO_NOISE), rel=0.25)


def test_nothing_else_reads_a_move_with_less_noise(found):
    _, head_input, _, signal = found
    reader = head_input.best_reader(signal.moved)
    assert float(reader @ signal.moved) == pytest.approx(1.0)
    noise = float(reader @ head_input.second_moment @ reader)
    assert noise == pytest.approx(1 / head_input.signal_to_noise(signal.moved), rel=1e-3)
    for _ in range(50):
        other = reader + 0.1 * reader.norm() * torch.randn(len(reader)).to(reader)
        other = other / (other @ signal.moved)
        assert float(other @ head_input.second_moment @ other) >= noise * (1 - 1e-4)
