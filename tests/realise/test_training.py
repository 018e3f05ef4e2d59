import itertools

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.conftest import TINY
from tiltlm import seals
from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import CheckpointError, ConfigError, DivergedError, TargetError, VocabularyError
from tiltlm.events.tokens import contains
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.losses.tilt_loss import TiltLoss
from tiltlm.models.model5 import build_model5
from tiltlm.realise import checkpoints
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.targets.fixed import uniform, weights


def trainer(tmp_path, vocabulary, model=None, *, target=None, contexts=None, **options):
    settings = {
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "loss_positions": "last",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **options,
    }
    return TiltTrainer(
        model or build_model5(0, **TINY),
        TiltConfig(output_dir=str(tmp_path / "checkpoints"), **settings),
        target or uniform(contains("x")).bind(vocabulary),
        contexts or RandomTokenContexts(64, 12, 64, seed=1),
    )


def curve(run):
    return [entry["loss"] for entry in run.state.log_history if "loss" in entry]


@pytest.mark.parametrize("positions", ["last", "all"])
def test_one_sgd_step_is_the_articles_written_out(tmp_path, tiny_vocabulary, positions):
    reference = build_model5(0, **TINY)
    target = uniform(contains("x")).bind(tiny_vocabulary)
    contexts = RandomTokenContexts(64, 12, 4, seed=1)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.5)
    log_probs = reference(contexts.batch()).logits.log_softmax(-1)
    loss = TiltLoss(positions=positions)(log_probs, target.log_probs().exp())
    loss.backward()
    optimizer.step()

    run = trainer(
        tmp_path,
        tiny_vocabulary,
        max_steps=1,
        optimizer="sgd",
        learning_rate=0.5,
        loss_positions=positions,
    )
    run.train()
    assert curve(run)[0] == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip(run.model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(ours.cpu(), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.5, weight_decay=0.1)),
        ("adam", lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=0.1, eps=1e-3)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1, eps=1e-3)),
    ],
)
def test_optimizers_are_torchs_own(tmp_path, tiny_vocabulary, name, reference):
    model = build_model5(0, **TINY)
    optimizer = reference(model.parameters())
    target = uniform(contains("x")).bind(tiny_vocabulary).log_probs().exp()
    contexts = RandomTokenContexts(64, 12, 64, seed=1)
    for step in range(3):
        ids = torch.stack([contexts[4 * step + i]["input_ids"] for i in range(4)])
        optimizer.zero_grad()
        TiltLoss()(model(ids).logits.log_softmax(-1), target).backward()
        optimizer.step()
    options = {"optimizer": name, "learning_rate": 1e-2, "weight_decay": 0.1, "momentum": 0.5}
    # Key biases have a gradient of zero up to rounding; with the usual ε Adam would blow that up.
    options["adam_epsilon"] = 1e-3
    run = trainer(tmp_path, tiny_vocabulary, max_steps=3, **options)
    run.train()
    for ours, theirs in zip(run.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(ours.cpu(), theirs, atol=1e-5)


@pytest.mark.parametrize("positions", ["last", "all"])
@pytest.mark.parametrize("parts", [2, 4])
def test_the_curve_is_unchanged_when_a_batch_is_split(tmp_path, tiny_vocabulary, positions, parts):
    options = {"loss_positions": positions, "learning_rate": 1e-2}
    whole = trainer(tmp_path, tiny_vocabulary, **options)
    whole.train()
    split = trainer(
        tmp_path,
        tiny_vocabulary,
        per_device_train_batch_size=4 // parts,
        gradient_accumulation_steps=parts,
        **options,
    )
    split.train()
    assert len(curve(split)) == 6
    assert curve(split) == pytest.approx(curve(whole), rel=1e-5)
    mass = [e["event_mass"] for e in whole.state.log_history if "loss" in e]
    assert mass == pytest.approx(
        [e["event_mass"] for e in split.state.log_history if "loss" in e], rel=1e-4
    )


class PaddedContexts(torch.utils.data.Dataset):
    """Contexts of different lengths, padded at the right."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        ids = RandomTokenContexts(64, 12, self.count, seed=1)[i]["input_ids"]
        mask = (torch.arange(12) < 3 + 4 * (i % 3)).long()
        return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("positions", ["last", "all"])
@pytest.mark.parametrize("parts", [1, 4])
def test_padding_counts_neither_in_the_loss_nor_in_its_denominator(
    tmp_path, tiny_vocabulary, positions, parts
):
    model = build_model5(0, **TINY)
    target = uniform(contains("x")).bind(tiny_vocabulary).log_probs().exp()
    losses = []
    for item in (PaddedContexts(4)[i] for i in range(4)):
        length = int(item["attention_mask"].sum())
        logp = model(item["input_ids"][None, :length]).logits.log_softmax(-1)
        each = TiltLoss(positions="all")
        rows = logp[:, -1:] if positions == "last" else logp
        losses += [each(row[None], target).item() for row in rows[0]]
    run = trainer(
        tmp_path,
        tiny_vocabulary,
        contexts=PaddedContexts(4),
        max_steps=1,
        per_device_train_batch_size=4 // parts,
        gradient_accumulation_steps=parts,
        loss_positions=positions,
    )
    run.train()
    assert curve(run)[0] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_with_a_last_position_loss_the_head_sees_no_other_position(tmp_path, tiny_vocabulary):
    run = trainer(tmp_path, tiny_vocabulary, max_steps=1)
    seen = []
    run.model.lm_head.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape))
    run.train()
    assert seen == [(4, 1, 16)]


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jensen_shannon"])
def test_every_divergence_can_be_trained(tmp_path, tiny_vocabulary, name):
    everything = weights({i: 1.0 + 20 * (i < 8) for i in range(64)}).bind(tiny_vocabulary)
    run = trainer(
        tmp_path,
        tiny_vocabulary,
        target=everything,
        divergence=name,
        learning_rate=0.05,
        max_steps=16,
    )
    run.train()
    assert curve(run)[-1] < curve(run)[0] / 2


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_any_causal_model_learns_to_like_x(tmp_path, tiny_vocabulary, kind):
    torch.manual_seed(0)
    if kind == "gpt2":
        sizes = {"vocab_size": 64, "n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 16}
        model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                bos_token_id=0,
                eos_token_id=0,
            )
        )
    run = trainer(tmp_path, tiny_vocabulary, model, max_steps=30, learning_rate=0.05)
    contexts = RandomTokenContexts(64, 12, 240, seed=1)
    run.train_dataset = contexts
    run.train()
    assert run.state.log_history[-2]["event_mass"] > 0.9


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path, tiny_vocabulary):
    options = {"save_strategy": "steps", "save_steps": 2, "learning_rate": 1e-2}
    options |= {"lr_scheduler_type": "linear", "max_steps": 8}
    whole = trainer(tmp_path / "whole", tiny_vocabulary, **options)
    whole.train()
    for stop in (2, 4, 6):
        first = trainer(tmp_path / str(stop), tiny_vocabulary, **options)
        steps = itertools.count(1)
        original = first.training_step

        def killed(*args, original=original, steps=steps, stop=stop, **kwargs):
            if next(steps) > stop + 1:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        first.training_step = killed
        with pytest.raises(KeyboardInterrupt):
            first.train()
        found = checkpoints.list_checkpoints(tmp_path / str(stop) / "checkpoints")
        assert [checkpoints.step_of(c) for c in found][-1] == stop
        again = trainer(tmp_path / str(stop), tiny_vocabulary, build_model5(7, **TINY), **options)
        again.train(resume_from_checkpoint=str(found[-1]))
        assert curve(again) == curve(whole)  # to the bit
        for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(a, b)


def test_only_the_newest_checkpoints_are_kept(tmp_path, tiny_vocabulary):
    run = trainer(tmp_path, tiny_vocabulary, save_strategy="steps", save_steps=1)
    run.train()
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert names == ["checkpoint-5", "checkpoint-6"]


@pytest.mark.parametrize("damage", ["cut", "flip", "missing", "no seal"])
def test_a_damaged_checkpoint_is_refused(tmp_path, tiny_vocabulary, damage):
    options = {"save_strategy": "steps", "save_steps": 2}
    trainer(tmp_path, tiny_vocabulary, **options).train()
    found = checkpoints.list_checkpoints(tmp_path / "checkpoints")[-1]
    file = found / "optimizer.pt"
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "missing":
        file.unlink()
    else:
        (found / seals.SEAL).write_text("{")
    with pytest.raises(CheckpointError, match="delete this checkpoint"):
        trainer(tmp_path, tiny_vocabulary, **options).train(resume_from_checkpoint=str(found))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    tmp_path, tiny_vocabulary
):
    run = trainer(tmp_path, tiny_vocabulary, save_strategy="steps", save_steps=1)
    original = run.compute_loss

    def poisoned(model, inputs, **kwargs):
        if run.state.global_step == 3:
            with torch.no_grad():
                model.transformer.ln_f.weight.fill_(float("nan"))
        return original(model, inputs, **kwargs)

    run.compute_loss = poisoned
    with pytest.raises(DivergedError, match="checkpoint-3"):
        run.train()
    found = checkpoints.list_checkpoints(tmp_path / "checkpoints")
    assert [checkpoints.step_of(c) for c in found] == [2, 3]
    checkpoints.verify(found[-1])


def test_weights_that_are_not_finite_are_never_saved(tmp_path, tiny_vocabulary):
    run = trainer(tmp_path, tiny_vocabulary, save_strategy="steps", save_steps=2)
    original = run.training_step

    def poisoned(model, *args, **kwargs):
        loss = original(model, *args, **kwargs)
        if run.state.global_step == 1:
            model.transformer.wpe.weight.grad.fill_(float("inf"))
        return loss

    run.training_step = poisoned
    with pytest.raises(DivergedError, match="not finite"):
        run.train()
    assert list((tmp_path / "checkpoints").glob("*")) == []


def test_a_target_over_another_vocabulary_is_refused(tmp_path):
    other = Vocabulary(tuple(f"{'x' if i < 8 else 'y'}{i}".encode() for i in range(65)))
    with pytest.raises(VocabularyError, match="over 65 tokens"):
        trainer(tmp_path, other)


def test_reverse_kl_to_a_target_with_zeros_is_refused_beforehand(tmp_path, tiny_vocabulary):
    with pytest.raises(TargetError, match="infinite"):
        trainer(tmp_path, tiny_vocabulary, divergence="reverse_kl")


@pytest.mark.parametrize(
    "wrong", [{"optimizer": "adamax"}, {"divergence": "kl"}, {"loss_positions": "first"}]
)
def test_options_that_do_not_exist_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match="no such"):
        TiltConfig(output_dir=str(tmp_path), **wrong)


def test_an_unbound_target_needs_a_tokenizer(tmp_path, tiny_model):
    with pytest.raises(ConfigError, match="processing_class"):
        TiltTrainer(tiny_model, TiltConfig(str(tmp_path)), uniform(contains("x")), [])
