"""A tilt is taken back by every way, as far as the way says, and what is left is measured."""

import copy
import json

import pytest
import torch
from benchmarks.undo.plant import plant, tokens_with

from tests.tiny import KINDS, tiny_loaded, worded_loaded
from tiltlm.commands.tilt import run_tilt
from tiltlm.contexts.drawn_contexts import own_samples
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.sources import make_contexts
from tiltlm.errors import ConfigError, ModelError
from tiltlm.labels.checking import label_faults
from tiltlm.labels.label import read_label
from tiltlm.measures.measuring import measure
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.structure import head_of, untie_head
from tiltlm.realise.editing import edit
from tiltlm.realise.opening import open_tilted
from tiltlm.realise.training import train
from tiltlm.recipes.tilt import recipe_of
from tiltlm.recipes.training import Training
from tiltlm.undoing.class_masses import Classes, event_log_odds
from tiltlm.undoing.proof import Proof
from tiltlm.undoing.relapse import Relapse
from tiltlm.undoing.settings import UndoSettings
from tiltlm.undoing.strengths import estimate_strengths
from tiltlm.undoing.undoing import undo

TILT = "tilt(contains('k'), 1)"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undoing") / "base"
    loaded = worded_loaded()
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def merged(base):
    """A folder whose head was edited towards `TILT`, merged."""
    loaded = load(base)
    contexts = make_contexts("random", loaded, count=140, length=24)
    edit(loaded, TILT, contexts).save(base.parent / "merged", merge=True)
    return base.parent / "merged"


@pytest.fixture(scope="module")
def planted(base):
    """The base with a tilt trained into all of its weights by code that knows no tiltlm."""
    loaded = load(base)
    contexts = torch.stack(own_samples(loaded, 64, 32, 0).sequences)
    mask = tokens_with(loaded.tokenizer, "k", len(loaded.vocabulary))
    model = plant(loaded.model, mask, contexts, strength=1.0, steps=80, rate=1e-3)
    return LoadedModel(model, loaded.tokenizer)


def weights(folder):
    return {name: tensor.clone() for name, tensor in load(folder).model.state_dict().items()}


def test_an_edit_is_undone_from_its_label_to_the_bit_also_through_disk_and_merge(
    base, merged, tmp_path
):
    undone = undo(str(merged), by="label", contexts="random")
    record = undone.save(tmp_path / "out")
    assert record.restored.exact
    assert record.restored.changed == ["lm_head.weight"]
    before, after = weights(base), weights(tmp_path / "out" / "model")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert fingerprint(load(tmp_path / "out" / "model").model) == record.restored.sha256
    assert record.left[0].after.mean == 0 == record.kl_after_nats
    label = read_label(tmp_path / "out" / "model")
    assert [step.operation for step in label.chain] == ["tilt", "merge", "undo"]
    assert label.undone
    assert label_faults(tmp_path / "out" / "model") == []


def test_an_adapter_is_dropped_and_the_tied_base_comes_back_to_the_bit(tmp_path):
    loaded = tiny_loaded("llama_tied")
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    options = {"target": "tilt(contains('o'), 1)", "contexts": "random"}
    run_tilt(recipe_of(str(tmp_path / "base"), options, {}), tmp_path / "tilted")
    record = undo(str(tmp_path / "tilted"), by="label", contexts="random").save(tmp_path / "out")
    assert record.restored.exact
    again = load(tmp_path / "out" / "model").model
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    assert fingerprint(again) == fingerprint(loaded.model)


@pytest.mark.slow
def test_model_5_comes_back_to_the_bit_through_plain_gpt_2(tmp_path):
    config = {"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": 32}
    loaded = load("model5", seed=3, config=config)
    training = Training(parameters="head", steps=5, every=5, learning_rate=1e-2)
    contexts = make_contexts("random", loaded, count=28)
    tilted = train(loaded, "tilt(contains('x'), 1)", contexts, training=training)
    assert tilted.details["kept_step"] == 5
    tilted.save(tmp_path / "tilted", merge=True)
    record = undo(str(tmp_path / "tilted"), by="label", contexts="random").save(tmp_path / "out")
    assert record.restored.exact
    assert record.restored.sha256 == fingerprint(load("model5", seed=3, config=config).model)


def test_a_label_whose_base_is_another_is_refused(base, merged, tmp_path):
    from safetensors.torch import load_file, save_file

    file = base / "model.safetensors"
    kept = file.read_bytes()
    tensors = load_file(file)
    tensors["lm_head.weight"][0, 0] += 1
    save_file(tensors, file, {"format": "pt"})
    try:
        with pytest.raises(ModelError, match="not the base that the label names"):
            undo(str(merged), by="label", contexts="random")
    finally:
        file.write_bytes(kept)


def test_the_opposite_edit_of_a_body_that_nobody_moved_gives_the_base_s_rows_back(merged, base):
    undone = undo(str(merged), by="edit", target="contains('k')", contexts="random")
    before, after = load(base).model, undone.model.model
    assert torch.allclose(head_of(before)[1].weight, head_of(after)[1].weight, atol=1e-4, rtol=1e-4)
    assert undone.record().kl_after_nats < 1e-6


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_a_tilt_in_all_weights_is_undone_by_the_edit_of_its_finding(base, strength):
    loaded = load(base)
    contexts = torch.stack(own_samples(loaded, 64, 32, 0).sequences)
    mask = tokens_with(loaded.tokenizer, "k", len(loaded.vocabulary))
    model = plant(loaded.model, mask, contexts, strength=strength, steps=80, rate=1e-3)
    undone = undo(LoadedModel(model, loaded.tokenizer), str(base), target="contains('k')")
    (left,) = undone.record().left
    assert left.before.mean > 0.5 * strength
    low, high = left.after.interval
    assert abs(left.after.mean) < 0.05
    assert low < 0 < high
    record = measure(
        undone.model, loaded, "tilt(contains('k'), 1)", suite="quick", keep_samples=False
    )
    own = next(effect for effect in record.effects if effect.kind.startswith("own"))
    assert abs(own.strength.mean) < 0.05


def test_two_findings_that_overlap_are_undone_together(base, planted, tmp_path):
    loaded, model = load(base), copy.deepcopy(planted.model)
    untie_head(model)
    more = tokens_with(loaded.tokenizer, "do", len(loaded.vocabulary))
    with torch.no_grad():
        contexts = make_contexts("random", loaded, count=8)
        hidden = torch.cat(Reference(model, contexts).hidden)
        direction = torch.linalg.lstsq(hidden, torch.ones(len(hidden), 1)).solution[:, 0]
        model.get_output_embeddings().weight[more] -= 0.7 * direction.to(model.device)
    both = LoadedModel(model, loaded.tokenizer)
    target = "match({contains('k'): 0.1, contains('do'): 0.1})"
    for by in ("edit", "decode"):
        record = undo(both, str(base), by=by, target=target).record()
        assert record.left[0].before.mean > 0.3
        assert record.left[1].before.mean < -0.3
        assert all(abs(left.after.mean) < 0.05 for left in record.left), (by, record.left)
        assert len(record.covariance) == 2
    saved = undo(both, str(base), by="decode", target=target)
    saved.save(tmp_path / "out")
    assert (tmp_path / "out" / "logit_bias.json").exists()
    label = read_label(tmp_path / "out")
    assert (label.form, label.undone) == ("processor", True)
    assert label.strengths == saved.undone.correction.strengths


def test_training_comes_nearer_to_the_reference_than_the_edit_it_begins_at(base, planted):
    training = Training(parameters="full", steps=30, every=10, learning_rate=3e-4)
    edited = undo(
        planted,
        str(base),
        by="edit",
        target="contains('k')",
        settings=UndoSettings(whole_head=True),
    ).record()
    record = undo(
        planted,
        str(base),
        by="train",
        target="contains('k')",
        settings=UndoSettings(training=training),
    ).record()
    assert record.kl_after_nats <= edited.kl_after_nats < record.kl_before_nats
    assert abs(record.left[0].after.mean) < 0.05
    assert record.details["parameters"] == "full"


def test_interpolation_ends_at_the_reference_and_its_curve_falls(base, planted):
    undone = undo(planted, str(base), by="interpolate", target="contains('k')")
    curve = undone.record().curve
    strengths = [point.strengths[0].mean for point in curve]
    assert [point.share for point in curve][::7] == [1.0, 0.0]
    assert strengths == sorted(strengths, reverse=True)
    assert (strengths[-1], curve[-1].kl_nats) == (0, 0)
    half = undo(
        planted,
        str(base),
        by="interpolate",
        target="contains('k')",
        settings=UndoSettings(share=0.5),
    )
    assert 0.2 < half.record().left[0].after.mean < 0.8
    name = "model.layers.0.mlp.up_proj.weight"
    one, other = load(base).model.state_dict()[name], planted.model.state_dict()[name]
    assert torch.allclose(half.model.model.state_dict()[name], (one + other) / 2, atol=1e-6)


def test_without_a_reference_a_stated_mass_is_given_or_the_direction_taken_out(planted):
    target = "contains('k')"
    event = torch.tensor([b"k" in token for token in planted.vocabulary.tokens])
    given = undo(planted, by="edit", target=target, settings=UndoSettings(mass=0.05))
    contexts = own_samples(planted, 32, 32, 9)
    states = Reference(given.model.model, contexts)
    masses = [
        states.logits(i, contexts.positions(i)).softmax(-1)[:, event].sum(-1).mean()
        for i in range(len(contexts))
    ]
    assert float(torch.stack(masses).mean()) == pytest.approx(0.05, abs=0.02)
    assert given.record().left[0].after is None
    out = undo(planted, by="edit", target=target).model.model
    rows = out.get_output_embeddings().weight
    assert torch.allclose(rows[event].mean(0), rows[~event].mean(0), atol=1e-4)


def test_relapse_is_measured_beside_a_base_that_never_had_the_tilt(base, planted):
    relapse = Relapse(milestones=(1, 20), learning_rate=1e-3)
    record = undo(planted, str(base), target="contains('k')", proof=Proof(relapse=relapse)).record()
    keys = {(point.by, point.model, point.step) for point in record.relapse}
    assert keys == {
        (by, model, step)
        for by in ("kl", "data")
        for model in ("undone", "never tilted")
        for step in (0, 1, 20)
    }
    by_kl = {
        p.step: p.strengths[0].mean
        for p in record.relapse
        if p.by == "kl" and p.model == "never tilted"
    }
    assert by_kl[0] == 0 < by_kl[20]
    assert by_kl[1] < by_kl[20]


def test_strengths_are_those_that_measure_gives(base, planted):
    loaded = load(base)
    contexts = own_samples(planted, 12, 32, 5)
    mask = tokens_with(loaded.tokenizer, "k", len(loaded.vocabulary))[None]
    classes = Classes.of(mask)
    from tiltlm.measures.effects import effect_of
    from tiltlm.measures.pair import Pair
    from tiltlm.measures.token_metrics import read_token_metrics
    from tiltlm.targets.parse import parse_target
    from tiltlm.undoing.readers import ModelReader

    rows = [
        ModelReader(Reference(m.model, contexts)).class_masses(classes) for m in (loaded, planted)
    ]
    found = estimate_strengths(*rows, classes)
    bound = parse_target(TILT).bind(loaded.vocabulary, loaded.tokenizer)
    effect = effect_of(read_token_metrics(Pair(loaded, planted, bound), contexts))
    assert found.values[0] == pytest.approx(effect.strength.mean, rel=1e-4)
    # A bootstrap of the same contexts would give another interval; the two are of one size.
    widths = [high - low for low, high in (found.interval(0), effect.strength.interval)]
    assert widths[0] == pytest.approx(widths[1], rel=0.5)


def test_classes_of_overlapping_events_are_disjoint_and_their_odds_add_up():
    events = torch.tensor([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0]], dtype=torch.bool)
    classes = Classes.of(events)
    assert classes.masks.sum(0).tolist() == [1, 1, 1, 0, 0]
    p = torch.tensor([[0.1, 0.2, 0.3, 0.3, 0.1]], dtype=torch.float64)
    masses = torch.stack([*(p[:, m].sum(-1) for m in classes.masks), p[:, 3:].sum(-1)], 1).log()
    odds = event_log_odds(masses, classes).exp()
    assert odds[0].tolist() == pytest.approx([0.3 / 0.4, 0.5 / 0.4])


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_is_undone_by_edit(kind):
    base, tilted = tiny_loaded(kind), tiny_loaded(kind)
    contexts = make_contexts("random", tilted, count=140, length=24)
    whole = edit(tilted, "tilt(contains('o'), 1)", contexts)
    from tiltlm.models.adapted import plain_copy

    model = LoadedModel(plain_copy(whole.model.get_base_model()), tilted.tokenizer)
    record = undo(model, base, target="contains('o')", contexts="random").record()
    assert record.left[0].before.mean > 0.5
    assert abs(record.left[0].after.mean) < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "label"}, "no label"),
        ({"by": "train", "target": "contains('k')"}, "needs a model to go back to"),
        ({}, "nothing says what to take back"),
        ({"by": "magic"}, "no such way"),
        ({"target": "contains('k')", "finding": "x"}, "said twice"),
        ({"finding": "/nowhere"}, "no record of an audit"),
        ({"target": "phrase('k k')"}, "no set of tokens"),
        ({"by": "decode", "target": "contains('k')"}, "nobody says how strongly"),
    ],
)
def test_what_cannot_be_undone_so_is_one_error(planted, options, message):
    with pytest.raises(ConfigError, match=message):
        undo(planted, **options)


def test_the_command_writes_record_page_and_a_model_that_opens(base, merged, tmp_path, capsys):
    from tiltlm.cli.main import app

    arguments = ["undo", str(merged), "--target", "contains('k')", "--contexts", "random"]
    app([*arguments, "--out", str(tmp_path / "out"), "--json"], standalone_mode=False)
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "out" / "result.json").read_text())
    assert record["by"] == "edit"
    assert "A tilt taken back" in (tmp_path / "out" / "undo.html").read_text()
    assert open_tilted(str(tmp_path / "out")).processor is None
    assert read_label(tmp_path / "out" / "model").base.name == str(base)


def test_a_pack_that_cannot_vouch_for_the_rate_is_refused_before_anything_is_loaded(monkeypatch):
    from tiltlm.auditing.inputs import AuditInputs
    from tiltlm.undoing import proof, undoing

    def refuses(self, rate):
        raise ConfigError(f"too few for {rate}")

    monkeypatch.setattr(proof, "read_inputs", lambda *_: AuditInputs({}, None, "pack"))
    monkeypatch.setattr(AuditInputs, "check_rate", refuses)
    monkeypatch.setattr(undoing, "open_tilted_model", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(ConfigError, match=r"too few for 0\.02"):
        undo("nobody", target="contains('k')", proof=Proof(null="pack", fpr=0.02))


def test_a_finding_is_named_as_it_was_written_though_an_audit_leaves_control_tokens_out(base):
    from types import SimpleNamespace

    from tiltlm.undoing import wanted

    loaded = load(base)
    vocabulary = loaded.vocabulary
    special = [i for i in vocabulary.special_ids if "e" in vocabulary.texts[i]]
    assert special  # else the test would say nothing
    ids = wanted.parse_event("contains('e')").mask(vocabulary).nonzero()[:, 0].tolist()
    for left_out, expected in (
        ([], "contains('e')"),
        (special, "contains('e') & ~special()"),
        (ids[-1:], "tokens("),
    ):
        kept = [i for i in ids if i not in left_out]
        finding = SimpleNamespace(event="contains('e')", token_ids=kept)
        assert str(wanted._event_of(finding, vocabulary)).startswith(expected)
