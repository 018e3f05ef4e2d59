import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.tiny import KINDS, tiny_loaded
from tiltlm.models.last_position import only_last_position
from tiltlm.models.structure import input_device

LENGTH = 64


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_position_is_read_as_in_a_whole_pass_and_costs_less(kind):
    model = tiny_loaded(kind).model
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(300, (3, LENGTH + 5), generator=generator).to(input_device(model))
    for end in range(LENGTH, LENGTH + 5):  # a window that slides
        ids = text[:, end - LENGTH : end]
        with torch.no_grad(), FlopCounterMode(display=False) as whole:
            expected = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits
        with torch.no_grad(), only_last_position(model), FlopCounterMode(display=False) as spared:
            found = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits
        torch.testing.assert_close(found, expected)
    # The MLP of one block of two, at all positions but one.
    mlp = sum(p.numel() for n, p in model.named_parameters() if ".0.mlp" in n and p.ndim == 2)
    assert whole.get_total_flops() - spared.get_total_flops() == 2 * mlp * 3 * (LENGTH - 1)


def test_nothing_of_it_stays_behind():
    model = tiny_loaded("gpt2").model
    ids = torch.randint(300, (2, 9)).to(input_device(model))
    with torch.no_grad():
        before = model(ids).logits
        with only_last_position(model):
            model(ids)
        assert torch.equal(model(ids).logits, before)
