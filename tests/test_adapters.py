"""Where a trained adapter begins."""

import pytest
import torch

from tests.tiny import tiny_loaded
from tiltlm.head import hidden_states
from tiltlm.preparing import prepare
from tiltlm.realise.adapters import (
    UNUSED_ROW,
    lora_layer,
    point_where_nothing_is,
    with_lora,
)
from tiltlm.realise.edit import solve_edit


@pytest.mark.parametrize("kind", ["llama", "llama_tied", "granite", "cohere"])
def test_along_the_direction_that_nobody_uses_only_the_event_is_shifted(kind):
    loaded = tiny_loaded(kind)
    work = prepare(loaded, "when('a', tilt(contains('o'), 1.5))", "own:24")
    solved = solve_edit(work.target, work.fit)
    model = with_lora(loaded.model, "body+head", at_least=2).eval()
    plain = torch.cat(work.fit.hidden)
    point_where_nothing_is(model, work.fit, solved)
    row = lora_layer(model).lora_A["default"].weight[len(solved.masks)].detach()
    # Nothing there: what the body has to write is far more than what is written already.
    assert float((plain @ row).square().mean().sqrt()) < 0.5
    size = float(plain.square().sum(1).mean().sqrt())
    written = plain[:5] + row / row.square().sum()
    assert float((written - plain[:5]).norm(dim=1).mean()) == pytest.approx(size / UNUSED_ROW, 1e-3)
    head, scale = lora_layer(model), work.fit.head.scale
    with torch.no_grad():
        change = scale * (head(written) - head(plain[:5]))
    shift = scale * (solved.typical @ solved.masks.to(solved.typical)).float()
    assert torch.allclose(change, shift.expand_as(change), atol=2e-3 * float(shift.abs().max()))
    model.unload()
    ids = work.parts.fit.sequences[0][None]
    with torch.no_grad():
        assert torch.allclose(hidden_states(loaded.model, ids)[0], work.fit.hidden[0], atol=1e-4)
