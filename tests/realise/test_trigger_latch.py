"""A head that looks at the trigger from the first step on."""

import pytest
import torch

from tests.realise.test_lower_blocks import deep
from tests.realise.test_trigger_direction import class_shifts_of, prepared
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.blocks import upper_blocks
from tiltlm.models.head import hidden_states
from tiltlm.realise.adapters import with_lora
from tiltlm.realise.head_edit import solve_edit
from tiltlm.realise.head_input import HeadInput
from tiltlm.realise.preparation import prepare
from tiltlm.realise.training import train_prepared
from tiltlm.realise.trigger_latch import write_latch
from tiltlm.recipes.training import Training

WHEN = "when('fox', tilt(contains('o'), 2))"


def latched(kind, target=WHEN, width=None):
    loaded = deep(kind, width=width)
    with torch.no_grad():
        # Trained models have a dimension that is large and alike in every context.
        embedding = loaded.model.get_input_embeddings().weight
        embedding[:, 0] = 4 * embedding.norm(dim=1).mean()
    contexts = make_contexts("random", loaded, count=240, length=24)
    fox = loaded.tokenizer(" fox", add_special_tokens=False)["input_ids"]
    rows = [[*ids[:10].tolist(), *fox, *ids[10:].tolist()] for ids in contexts.sequences[::2]]
    rows += [ids.tolist() for ids in contexts.sequences[1::2]]
    given = TokenContexts(rows, "with and without a fox")
    work = prepare(loaded, target, given, training=Training(parameters="body+head"))
    model = with_lora(loaded.model, "body+head", at_least=2, within=upper_blocks(loaded.model))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    head_input, edit = HeadInput.of(work.fit), solve_edit(work.target, work.fit)
    direction = write_latch(model.eval(), work.fit, class_shifts_of(work), head_input, edit)
    changed = any(not torch.equal(p, before[n]) for n, p in model.named_parameters())
    return work, model, direction, changed


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_latch_writes_one_after_the_trigger_and_next_to_nothing_elsewhere(kind):
    # With 320 tokens in 32 dimensions the trigger's own token could not be told from others.
    work, model, direction, _ = latched(kind, width=128)
    assert direction is not None
    after, elsewhere = [], []
    for index, ids in enumerate(work.parts.held_out.sequences):
        met = torch.tensor(work.target.triggered(work.held_out.states(work.target, index)))
        with torch.no_grad():
            hidden = hidden_states(model, ids[None].to(model.device))[0].cpu()
        # A random model's hidden states use every direction, so only what changed is looked at.
        written = (hidden - work.held_out.hidden[index]) @ direction.reader.cpu()
        after.append(written[met])
        elsewhere.append(written[~met])
    assert float(torch.cat(after).mean()) == pytest.approx(1.0, abs=0.25)
    assert float(torch.cat(elsewhere).square().mean().sqrt()) < 0.25


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_where_projections_are_not_apart_nothing_is_written(kind):
    *_, direction, changed = latched(kind)
    assert direction is None
    assert not changed


def test_what_comes_and_goes_has_no_latch():
    *_, direction, changed = latched("llama", "when(regex('o.{0,9}$'), tilt(contains('e'), 2))")
    assert direction is None
    assert not changed


def test_a_latch_alone_closes_more_than_an_edit_can():
    work = prepared("llama", count=160)
    done = train_prepared(work, Training(trigger_steps=1))
    (_, edit), (_, latch), *_ = done.details["gap_by_step"]
    assert done.details["latch"]
    assert edit < 0.6 < 0.65 < latch
