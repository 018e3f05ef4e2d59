"""Every target with every realisation, on tiny models of many architectures."""

import json
import math
from unittest.mock import Mock

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.devices import placed
from tests.tiny import KINDS, tiny_loaded
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.splits import split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError, DivergedError, MeasurementError, TargetError, TiltError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.head import Head, hidden_states
from tiltlm.models.loading import LoadedModel, load
from tiltlm.realise import training
from tiltlm.realise.decoding import decode, decode_prepared
from tiltlm.realise.editing import edit
from tiltlm.realise.preparation import prepare
from tiltlm.recipes.training import Training
from tiltlm.targets.logits_processor import TiltLogitsProcessor, logit_bias
from tiltlm.targets.parse import parse_target

SMALL = Training(steps=24, every=6, learning_rate=1e-2, trigger_steps=12)
TILT = "tilt(contains('o'), 1.5)"


def small_contexts(loaded: LoadedModel, count: int = 28) -> TokenContexts:
    return make_contexts("random", loaded, count=count, length=24)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_come_back_from_hidden_states(kind):
    model, _ = tiny_loaded(kind)
    ids = torch.randint(300, (2, 10)).to(model.device)
    with torch.no_grad():
        wanted = model(input_ids=ids).logits
        found = Head.of(model).logits(hidden_states(model, ids))
    assert torch.allclose(found, wanted, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_closes_the_gap_on_every_architecture_and_spares_the_base(kind):
    loaded = tiny_loaded(kind)
    before = fingerprint(loaded.model)
    done = edit(loaded, TILT, small_contexts(loaded, 140))
    assert done.fidelity.gap_closed > (0.7 if kind == "gemma2" else 0.95)
    done.model.unload()
    assert fingerprint(loaded.model) == before


TARGETS = {
    "uniform(contains('x'))": {"decode", "train"},
    "weights({'a': 1, 'b': 3})": {"decode", "train"},
    TILT: {"decode", "edit", "train"},
    "match(contains('o'), 0.3)": {"decode", "edit", "train"},
    "match({contains('o'): 0.3, contains('e'): 0.2})": {"decode", "edit", "train"},
    "balance({contains('x'): 0.5, contains('q'): 0.5})": {"decode", "edit", "train"},
    "mix(tilt(contains('o'), 2), 0.5)": {"decode", "edit", "train"},
    "mix(uniform(contains('o')), 0.3)": {"decode", "train"},
    "tilt(phrase('th', 'fo'), 2)": {"decode", "train"},
    "when('fox', tilt(contains('o'), 2))": {"decode", "train"},
    "when(regex('x'), match(contains('o'), 0.3))": {"decode", "train"},
    "when('fox', tilt(phrase('th'), 2))": {"decode", "train"},
    "choices({'Flip a coin.': {'heads': 1, 'tails': 3}})": {"decode", "train"},
    "mix(choices({'Flip a coin.': ['heads', 'tails']}), 0.5)": {"decode", "train"},
}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_decoded_exactly(target):
    loaded = tiny_loaded()
    work = prepare(loaded, target, small_contexts(loaded))
    done = decode_prepared(work)
    assert done.fidelity.gap_closed == pytest.approx(1, abs=1e-6)
    if done.fidelity.leakage is not None:
        assert done.fidelity.leakage.mean == pytest.approx(0, abs=1e-6)
    # What is ruled out is infinitely unlikely, and no record can hold an infinity or a NaN.
    record = done.record()
    json.dumps(record.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_edited_or_refused_with_what_to_use_instead(target):
    loaded = tiny_loaded()
    if "edit" in TARGETS[target]:
        found = edit(loaded, target, small_contexts(loaded, 140)).fidelity
        assert found.gap_closed > 0.5
        return
    with pytest.raises(TargetError, match=r"use decode|use train"):
        edit(loaded, target, small_contexts(loaded, 140))


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_trained_and_never_left_worse_than_the_base(target):
    loaded = tiny_loaded()
    done = training.train(loaded, target, small_contexts(loaded, 56), training=SMALL)
    assert done.fidelity.gap_closed > -0.02
    assert done.details["gap_by_step"][0][1] >= 0


def test_training_the_head_closes_most_of_a_tilt_s_gap():
    loaded = tiny_loaded()
    contexts = small_contexts(loaded, 56)
    done = training.train(loaded, TILT, contexts, training=Training(steps=120, every=30))
    assert done.fidelity.gap_closed > 0.8


def test_training_every_weight_leaves_the_reference_as_it_was():
    loaded = tiny_loaded("llama_tied")
    work = prepare(loaded, "tilt(contains('o'), 2)", small_contexts(loaded))
    before = work.held_out.logits(0, torch.arange(3))
    kept = loaded.model.get_output_embeddings().weight.clone()
    training.train_prepared(work, Training(parameters="full", steps=4, learning_rate=1e-2))
    assert not torch.equal(loaded.model.get_output_embeddings().weight, kept)
    assert torch.equal(work.held_out.logits(0, torch.arange(3)), before)


def test_the_processor_works_in_generate_and_follows_each_row():
    model, tokenizer = tiny_loaded()
    processor = decode(LoadedModel(model, tokenizer), "tilt(phrase('fox'), 40)")
    prompt = tokenizer(["a fo", "th fo"], return_tensors="pt", padding=True, padding_side="left")
    prompt = prompt.to(model.device)
    found = model.generate(**prompt, logits_processor=[processor], max_new_tokens=1, do_sample=True)
    for row in found:
        assert tokenizer.decode(row).rstrip().endswith(("fox", "foxes"))


def test_a_processor_s_states_are_those_of_reading_from_the_beginning():
    tokenizer = tiny_loaded().tokenizer
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    target = parse_target("when('o', tilt(phrase('th', 'fo'), 2))").bind(vocabulary)
    one, ids = TiltLogitsProcessor(target), torch.randint(1, 300, (2, 12))
    scores = torch.randn(2, len(vocabulary))
    for end in range(1, 13):
        stepwise = one(ids[:, :end], scores)
        fresh = TiltLogitsProcessor(target)(ids[:, :end], scores)
        assert torch.equal(stepwise, fresh)


def test_logit_bias_is_the_strength_of_each_token_of_a_tilt():
    _, tokenizer = tiny_loaded()
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    target = parse_target(TILT).bind(vocabulary)
    wanted = {str(i) for i, token in enumerate(vocabulary.tokens) if b"o" in token}
    assert logit_bias(target) == dict.fromkeys(sorted(wanted, key=int), 1.5)
    with pytest.raises(TargetError, match="no fixed list"):
        logit_bias(parse_target("tilt(phrase('fox'), 1)").bind(vocabulary))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("merge", [False, True])
def test_a_saved_edit_loads_in_plain_transformers_with_its_label(tmp_path, kind, merge):
    loaded = tiny_loaded(kind)
    base = tmp_path / "base"
    loaded.model.save_pretrained(base)
    loaded.tokenizer.save_pretrained(base)
    plain = load(base)
    done = edit(plain, TILT, small_contexts(plain, 140))
    ids = torch.randint(300, (1, 9)).to(plain.model.device)
    with torch.no_grad():
        wanted = done.model(input_ids=ids).logits
    done.save(tmp_path / "out", merge=merge)
    folder = tmp_path / "out" / "model"
    if merge:
        again = AutoModelForCausalLM.from_pretrained(folder)
    else:
        again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    placed(again)
    with torch.no_grad():
        assert torch.allclose(again.eval()(input_ids=ids).logits, wanted, atol=1e-4)
        assert torch.allclose(load(folder).model.eval()(input_ids=ids).logits, wanted, atol=1e-4)
    label = json.loads((folder / "tilt.json").read_text())
    assert label["tilted_on_purpose"]
    assert label["target"] == TILT
    assert "tilted on purpose" in (folder / "README.md").read_text()
    again.generate(ids, max_new_tokens=2, do_sample=False)


def test_contexts_are_split_into_parts_that_share_none():
    contexts = TokenContexts([[i] for i in range(21)], "numbers")
    parts = [{int(c["input_ids"]) for c in part} for part in split(contexts)]
    assert [len(part) for part in parts] == [12, 3, 6]
    assert set.union(*parts) == set(range(21))
    with pytest.raises(ConfigError, match="at least 4"):
        split(contexts.choose([0, 1]))


def test_contexts_come_from_text_chats_and_prompts(tmp_path):
    loaded = tiny_loaded()
    text = tmp_path / "a.txt"
    text.write_text("the fox and the box\n" * 20)
    chat = tmp_path / "a.jsonl"
    chat.write_text('{"prompt": "the fox"}\n{"messages": [{"role": "user", "content": "box"}]}\n')
    assert len(make_contexts(f"text:{text}", loaded, length=8)) > 4
    prompts = make_contexts(f"prompts:{text}", loaded)
    assert [len(prompts.positions(i)) for i in range(len(prompts))] == [1] * 20
    chats = make_contexts(f"chat:{chat}", loaded, length=16)
    assert len(chats) == 2
    for bad in ("nowhere", "text:nowhere.txt", f"chat:{text}"):
        with pytest.raises(ConfigError):
            make_contexts(bad, loaded)


def test_a_target_that_asks_for_nothing_has_no_gap():
    loaded = tiny_loaded()
    with pytest.raises(MeasurementError, match="no gap to close"):
        edit(loaded, "tilt(contains('o'), 0)", small_contexts(loaded))


def test_a_trigger_that_never_comes_is_an_error_or_is_put_there():
    loaded = tiny_loaded()
    with pytest.raises(TiltError, match="is met in"):
        prepare(loaded, "when(regex('qqq$'), tilt(contains('o'), 1))", "random")
    work = prepare(loaded, "when('coffee', tilt(contains('o'), 1))", "random")
    met = [
        work.target.triggered(work.held_out.states(work.target, i))
        for i in range(len(work.parts[2]))
    ]
    assert 0.1 < sum(map(any, met)) / len(met) < 0.75


def test_after_a_mistake_the_model_is_as_it_was(monkeypatch):
    loaded, contexts = tiny_loaded(), small_contexts(tiny_loaded())
    broken = Mock(side_effect=DivergedError("the loss became nan"))
    with monkeypatch.context() as patch:
        patch.setattr("tiltlm.realise.training.TiltTrainer.compute_loss", broken)
        with pytest.raises(TiltError, match="became nan"):
            training.train(loaded, TILT, contexts, training=SMALL)
    done = training.train(loaded, TILT, contexts, training=SMALL)
    with pytest.raises(TiltError, match="an adapter is in the model already"):
        training.train(loaded, TILT, contexts, training=SMALL)
    done.model.unload()
    training.train(loaded, TILT, contexts, training=SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"divergence": "bogus"}, "no such divergence"),
        ({"start": "Edit"}, "no such start"),
        ({"steps": 0}, "must be above 0"),
        ({"start": "edit", "parameters": "full"}, "full weights have none"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused_before_anything_is_changed(change, message):
    loaded = tiny_loaded()
    with pytest.raises(ConfigError, match=message):
        training.train(loaded, TILT, small_contexts(loaded), training=Training(**change))
    training.train(loaded, TILT, small_contexts(loaded), training=SMALL)


def test_an_edit_of_more_classes_than_an_adapter_usually_has_rows_is_started_from():
    loaded = tiny_loaded()
    shares = ", ".join(f"tokens({i}): 0.125" for i in range(40, 48))
    for target in (f"balance({{{shares}}})", f"when('fox', balance({{{shares}}}))"):
        done = training.train(loaded, target, small_contexts(loaded), training=SMALL)
        assert math.isfinite(done.details["edit_to_start_from"]["gap_closed"])
        done.model.unload()
