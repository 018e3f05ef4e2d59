import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.tiny import KINDS, tiny_loaded
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ModelError
from tiltlm.models.head import replaced_forward
from tiltlm.realise.adapters import with_lora
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.frozen_body import FrozenBody
from tiltlm.realise.fused_loss import FusedLoss
from tiltlm.realise.preparation import prepare
from tiltlm.realise.trainer import TiltTrainer

TARGETS = ["tilt(contains('o'), 1.5)", "uniform(contains('o'))", "when('a', tilt(phrase('th'), 2))"]


def gradients(work, model, folder, **options):
    """Loss and gradients of one batch."""
    args = TiltConfig(output_dir=str(folder), per_device_train_batch_size=4, **options)
    contexts = work.parts.fit
    trainer = TiltTrainer(model, args, work.target, contexts, reference=work.fit)
    batch = trainer._prepare_inputs(
        trainer.data_collator([contexts[i] for i in range(len(contexts))])
    )
    model.zero_grad()
    loss = trainer.compute_loss(model.eval(), batch)
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), found, trainer._event_mass


def contexts_of(loaded):
    torch.manual_seed(0)
    size = loaded.model.config.get_text_config().vocab_size
    rows = [torch.randint(size, (n,)).tolist() for n in (9, 12, 7, 12) * 7]
    return TokenContexts(rows, "random", begins=[0, 3, 1, 0] * 7)


def same(fused, dense):
    assert fused[0] == pytest.approx(dense[0], rel=1e-5, abs=1e-6)
    assert fused[1].keys() == dense[1].keys()
    for name, gradient in fused[1].items():
        error = (gradient - dense[1][name]).norm()
        # The dense loss has Σq = 1 to float32 only, which shows where p − q nearly cancels.
        assert error <= 1e-3 * dense[1][name].norm() + 1e-5, name
    for a, b in zip(fused[2], dense[2], strict=True):
        assert a.tolist() == pytest.approx(b.tolist(), rel=1e-4)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_on_every_architecture_it_is_the_loss_through_all_logits(tmp_path, kind, target):
    loaded = tiny_loaded(kind)
    work = prepare(loaded, target, contexts_of(loaded))
    fused, dense = (gradients(work, loaded.model, tmp_path, fused_loss=f) for f in (True, False))
    same(fused, dense)


@pytest.mark.parametrize("positions", ["all", "last"])
@pytest.mark.parametrize("divergence", ["forward_kl", "reverse_kl", "jensen_shannon"])
@pytest.mark.parametrize("parameters", ["head", "body+head"])
def test_with_adapters_only_they_get_the_same_gradients(
    tmp_path, parameters, divergence, positions
):
    loaded = tiny_loaded()
    work = prepare(loaded, TARGETS[0], contexts_of(loaded))
    model = with_lora(loaded.model, parameters)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    options = {"divergence": divergence, "loss_positions": positions}
    fused, dense = (
        gradients(work, model, tmp_path, fused_loss=f, **options) for f in (True, False)
    )
    assert all("lora_" in name for name in fused[1])
    same(fused, dense)


def test_all_logits_are_never_made(tmp_path):
    loaded = tiny_loaded()
    work = prepare(loaded, TARGETS[0], contexts_of(loaded))
    args = TiltConfig(output_dir=str(tmp_path), per_device_train_batch_size=4)
    trainer = TiltTrainer(loaded.model, args, work.target, work.parts.fit, reference=work.fit)
    head = loaded.model.get_output_embeddings()

    def refuse(_):
        raise AssertionError("the head was applied")

    with replaced_forward(head, refuse):
        batch = trainer._prepare_inputs(
            trainer.data_collator([work.parts.fit[i] for i in range(4)])
        )
        trainer.compute_loss(loaded.model, batch).backward()


def test_a_head_that_is_not_its_parts_goes_through_all_logits_and_says_so(tmp_path):
    loaded = tiny_loaded()
    work = prepare(loaded, TARGETS[0], contexts_of(loaded))
    config = LoraConfig(r=2, target_modules=["lm_head"], use_dora=True)
    model = get_peft_model(loaded.model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    with pytest.warns(UserWarning, match="all logits"):
        fused = gradients(work, model, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(fused, gradients(work, model, tmp_path, fused_loss=False))


@pytest.mark.parametrize("option", [{"use_dora": True}, {"lora_dropout": 0.5}, {"lora_bias": True}])
def test_what_is_more_than_lora_is_seen_while_it_is_still_no_change(option):
    model = tiny_loaded().model
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head"], **option))
    with pytest.raises(ModelError, match="not that of its parts"):
        FusedLoss(adapted)


def test_of_two_adapters_neither_is_left_out_without_a_word():
    adapted = with_lora(tiny_loaded().model, "head")
    adapted.add_adapter("second", LoraConfig(r=2, target_modules=["lm_head"]))
    adapted.base_model.set_adapter(["default", "second"])
    with pytest.raises(ModelError, match="not that of its parts"):
        FusedLoss(adapted)


@pytest.mark.parametrize("kind", KINDS)
def test_where_only_the_head_is_trained_the_body_never_runs_again(tmp_path, kind):
    loaded = tiny_loaded(kind)
    work = prepare(loaded, TARGETS[0], contexts_of(loaded))
    model = with_lora(loaded.model, "head")
    torch.nn.init.normal_(model.get_output_embeddings().lora_B["default"].weight, std=0.02)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrozenBody, "of", lambda *_: None)
        expected = gradients(work, model, tmp_path)
    args = TiltConfig(output_dir=str(tmp_path), per_device_train_batch_size=4)
    trainer = TiltTrainer(model, args, work.target, work.parts.fit, reference=work.fit)

    def refuse(*_, **__):
        raise AssertionError("the body ran")

    batch = trainer._prepare_inputs(
        trainer.data_collator([work.parts.fit[i] for i in range(len(work.parts.fit))])
    )
    model.zero_grad()
    for layer in loaded.model.base_model.modules():
        if layer is not loaded.model.base_model:
            layer.forward = refuse
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    same((loss.item(), found, trainer._event_mass), expected)


@pytest.mark.parametrize("parameters", ["body+head", "full"])
def test_a_body_that_is_trained_is_not_answered_for(parameters):
    loaded = tiny_loaded()
    work = prepare(loaded, TARGETS[0], contexts_of(loaded))
    model = loaded.model if parameters == "full" else with_lora(loaded.model, parameters)
    assert FrozenBody.of(model, work.fit) is None


def test_another_model_s_hidden_states_are_not_answered_with():
    loaded, other = tiny_loaded(), tiny_loaded()
    with torch.no_grad():
        other.model.get_input_embeddings().weight.mul_(1.5)
    work = prepare(other, TARGETS[0], contexts_of(loaded))
    assert FrozenBody.of(with_lora(loaded.model, "head"), work.fit) is None
