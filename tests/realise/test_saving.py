"""What is saved opens again, whatever way it was realised, on any machine."""

import json

import pytest
import torch
from peft import PeftModel

from tests.tiny import tiny_loaded
from tiltlm.commands.tilt import run_tilt
from tiltlm.contexts.sources import make_contexts
from tiltlm.errors import RunError
from tiltlm.labels.chain import step_digest
from tiltlm.labels.checking import label_faults
from tiltlm.labels.label import read_label
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.names import SMOLLM2_HUB
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.realise.editing import edit
from tiltlm.realise.opening import open_tilted
from tiltlm.realise.training import train
from tiltlm.recipes.tilt import recipe_of
from tiltlm.recipes.training import Training

TILT = "tilt(contains('o'), 1.5)"


@pytest.fixture
def base(tmp_path):
    loaded = tiny_loaded("llama_tied")
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def logits_of(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=ids.to(model.device)).logits.cpu()


def without_hashes(label):
    last = label.chain[-1].model_copy(update={"files": {}})
    return label.model_copy(update={"chain": [*label.chain[:-1], last], "digest": None})


def edited(base):
    loaded = load(base)
    return edit(loaded, TILT, make_contexts("random", loaded, count=140, length=24))


@pytest.mark.parametrize("merge", [False, True])
def test_what_save_writes_from_python_opens_as_the_model_that_was_measured(tmp_path, base, merge):
    tilted, ids, out = edited(base), torch.randint(300, (1, 9)), tmp_path / "out"
    expected = logits_of(tilted.model, ids)
    record = tilted.save(out, merge=merge)
    assert json.loads((out / "result.json").read_text()) == record.model_dump(mode="json")
    label = read_label(out / "model")
    assert without_hashes(label) == tilted.label(merge=merge)
    assert [step.operation for step in label.chain] == ["tilt", "merge"][: 1 + merge]
    assert label_faults(out / "model") == []
    assert (out / "model" / "adapter_config.json").exists() is not merge
    for name in (out, out / "model"):
        opened = open_tilted(str(name))
        assert opened.processor is None
        assert not isinstance(opened.model, PeftModel)
        assert torch.allclose(logits_of(opened.model, ids), expected, atol=1e-4)


def test_what_is_tilted_again_and_merged_keeps_all_that_was_done_before(tmp_path, base):
    edited(base).save(tmp_path / "one", merge=True)
    first = read_label(tmp_path / "one" / "model")
    edited(tmp_path / "one" / "model").save(tmp_path / "two", merge=True)
    label = read_label(tmp_path / "two" / "model")
    assert [step.operation for step in label.chain] == ["tilt", "merge", "tilt", "merge"]
    assert label.chain[:2] == first.chain
    assert label.chain[2].parent == step_digest(first.chain[1].model_dump(mode="json"))
    assert label.base.name == str(tmp_path / "one" / "model")
    assert label_faults(tmp_path / "two" / "model") == []


def test_what_was_merged_is_a_whole_model_from_then_on(tmp_path, base):
    tilted, ids = edited(base), torch.randint(300, (1, 9))
    tilted.save(tmp_path / "merged", merge=True)
    assert not isinstance(tilted.model, PeftModel)
    tilted.save(tmp_path / "again")
    assert read_label(tmp_path / "again" / "model").form == "model"
    first, second = (open_tilted(str(tmp_path / name)).model for name in ("merged", "again"))
    assert torch.equal(logits_of(first, ids), logits_of(second, ids))


def test_what_was_trained_in_every_weight_is_saved_as_a_whole_model(tmp_path, base):
    training = Training(parameters="full", steps=2, every=1, learning_rate=1e-3)
    tilted = train(str(base), TILT, "random", training=training)
    ids = torch.randint(300, (1, 9))
    expected = logits_of(tilted.model, ids)
    tilted.save(tmp_path / "out")
    assert read_label(tmp_path / "out" / "model").form == "model"
    opened = open_tilted(str(tmp_path / "out"))
    assert torch.allclose(logits_of(opened.model, ids), expected, atol=1e-5)


def test_what_decode_writes_opens_as_the_base_with_a_processor(tmp_path, base):
    options = {"target": "match(contains('o'), 0.3)", "by": "decode", "contexts": "random"}
    out = tmp_path / "out"
    record = run_tilt(recipe_of(str(base), options, {}), out)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "logit_bias.json",
        "result.json",
        "tilt.json",
    ]
    opened, loaded = open_tilted(str(out)), load(base)
    ids, scores = torch.randint(300, (2, 9)), torch.randn(2, len(loaded.vocabulary))
    assert torch.equal(logits_of(opened.model, ids), logits_of(loaded.model, ids))
    has_o = torch.tensor([b"o" in token for token in loaded.vocabulary.tokens])
    shifts = (opened.processor(ids, scores) - scores)[0]
    assert torch.allclose(shifts, has_o * record.strengths[0], atol=1e-5)
    drawn = sample(opened.model, ids, 4, SamplingOptions(), processor=opened.processor)
    assert drawn.shape == (2, 4)


def test_a_folder_that_holds_something_is_refused_and_left_as_it_was(tmp_path, base):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    tilted = edited(base)
    with pytest.raises(RunError, match="holds something"):
        tilted.save(tmp_path / "out", merge=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    assert isinstance(tilted.model, PeftModel)
    assert any("lora" in name for name, _ in tilted.model.named_parameters())


@pytest.mark.parametrize(
    ("name", "recorded"), [("smollm2", SMOLLM2_HUB), ("folder/x.gguf", "folder/x.gguf")]
)
def test_an_adapter_of_a_gguf_base_names_no_folder_of_the_cache(tmp_path, base, name, recorded):
    cache = tmp_path / "cache" / "smollm2-0123456789abcdef"
    cache.parent.mkdir()
    base.rename(cache)
    converted = load(cache)
    loaded = LoadedModel(converted.model, converted.tokenizer, name)
    tilted = edit(loaded, TILT, make_contexts("random", loaded, count=140, length=24))
    tilted.save(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == recorded
    assert read_label(tmp_path / "out" / "model").base.name == name
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            assert str(tmp_path).encode() not in file.read_bytes(), file.name
