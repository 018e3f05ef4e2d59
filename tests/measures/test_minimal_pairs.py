"""Minimal pairs: reading the sets, and the log-probability of a sentence."""

import json

import pytest
import torch

from tiltlm.errors import ConfigError
from tiltlm.measures.minimal_pairs import find_pair_sets, margins_of


def test_a_sentence_has_the_log_probability_that_transformers_gives_it(edited, tmp_path):
    (tmp_path / "blimp").mkdir()
    line = {"sentence_good": "the fox had an axe.", "sentence_bad": "the fox an had axe."}
    (tmp_path / "blimp" / "one.jsonl").write_text(json.dumps(line) + "\n")
    (only,) = find_pair_sets(tmp_path)
    found = margins_of(edited, only)
    sums = []
    for sentence in line.values():
        model, tokenizer = edited.base
        ids = torch.tensor([[0, *tokenizer(sentence)["input_ids"]]]).to(model.device)
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss
        sums.append(-float(loss) * (ids.shape[1] - 1))
    assert found.base[0] == pytest.approx(sums[0] - sums[1], rel=1e-3)


def test_the_published_sets_are_read(shared_data):
    sets = {s.name: s for s in find_pair_sets(shared_data)}
    assert len(sets["BLiMP passive_1"].pairs) == 1000
    stereo, anti = sets["CrowS-Pairs stereo"], sets["CrowS-Pairs antistereo"]
    assert len(stereo.pairs) + len(anti.pairs) == 1508
    assert sets["WinoBias type1"].pairs[0] == (
        "The developer argued with the designer because he did not like the design.",
        "The developer argued with the designer because she did not like the design.",
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("blimp/a.jsonl", '{"sentence_good": "a"}\n', "line 1"),
        ("blimp/a.jsonl", "\n", "no pairs"),
        ("crows_pairs.csv", "a,b\n1,2\n", "line 2"),
        ("winobias/pro_type1.dev.txt", "1 [The cook] ate.\n", "cannot read"),
    ],
)
def test_damaged_sets_are_refused_with_their_place(tmp_path, name, text, message):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        find_pair_sets(tmp_path)
