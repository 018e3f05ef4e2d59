import json


def test_tokens_counts_an_event_and_shows_it(tiltlm_command):
    code, out, _ = tiltlm_command("tokens", "contains('x')", "--model", "model5")
    assert code == 0
    assert "897 of 50,257 tokens, 1.78%" in out
    assert "one of them is the control token '<|endoftext|>'" in out
    assert "variants not in it: 'X'" in out
    assert "inside longer words, 895 of them: ' ex'" in out


def test_tokens_prints_the_record_as_json(tiltlm_command):
    _, out, _ = tiltlm_command("tokens", "contains('x') & ~special()", "--json")
    record = json.loads(out)
    assert (record["tokens"], record["vocabulary"]) == (896, 50257)
    assert all("x" in example["text"] for example in record["examples"])
    assert set(record) == {
        "event",
        "depends_on_context",
        "tokens",
        "vocabulary",
        "share",
        "special_ids",
        "variants",
        "inside_longer_words",
        "examples",
    }


def test_as_many_examples_are_shown_as_were_asked_for(tiltlm_command):
    for count in (0, 3):
        _, out, _ = tiltlm_command("tokens", "contains('x')", "--json", "--examples", str(count))
        assert len(json.loads(out)["examples"]) == count
