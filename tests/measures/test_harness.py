"""Tasks of lm-evaluation-harness: a small one of our own, without a network."""

import json

import pytest

from tests.tiny import tiny_loaded
from tiltlm.errors import ConfigError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.harness import compare_tasks
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel
from tiltlm.realise.editing import edit
from tiltlm.targets.parse import parse_target

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed (extra: tasks)")

TASK = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["o", "e"]
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))
    words = ["the f", "the b", "c", "tw", "h", "ax", "s", "w", "n", "m"]
    rows = [json.dumps({"question": w, "answer": n % 2}) for n, w in enumerate(words)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "tiny.yaml").write_text(TASK.format(file=tmp_path / "rows.jsonl"))
    return tmp_path


def test_a_strong_tilt_changes_answers_and_is_paired_by_question(folder):
    loaded = tiny_loaded()
    tilted = edit(loaded, "tilt(tokens(79), 40)", "random")  # 79 is "o"
    assert loaded.tokenizer.decode([79]) == "o"
    model = LoadedModel(tilted.model.merge_and_unload(), loaded.tokenizer)
    (found,) = compare_tasks(Pair(tiny_loaded(), model), ["tiny_choice"], include=folder)
    assert found.name == "tiny_choice, acc"
    assert found.items == 10
    assert found.model == 0.5  # it always answers "o", which half of the answers are
    assert 0 <= found.base <= 1


@pytest.mark.slow
def test_the_same_model_twice_gives_no_difference(folder):
    loaded = tiny_loaded()
    pair = Pair(loaded, loaded)
    (found,) = compare_tasks(pair, ["tiny_choice"], include=folder, limit=4)
    assert (found.difference, found.items, found.p) == (0, 4, 1)


def test_what_cannot_be_done_is_told(folder):
    loaded = tiny_loaded()
    with pytest.raises(ConfigError, match="knows no task 'none'"):
        compare_tasks(Pair(loaded, loaded), ["none"], include=folder)
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    target = parse_target("tilt(contains('o'), 1)").bind(vocabulary)
    with pytest.raises(ConfigError, match="logits processor"):
        compare_tasks(Pair(loaded, loaded, target, decodes=True), ["tiny_choice"])
