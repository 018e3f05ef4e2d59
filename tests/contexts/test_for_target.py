"""Which contexts a target gets, and that none are made in vain."""

import json
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

import tiltlm.contexts.drawn_contexts as drawing
from tests.tiny import tiny_loaded
from tiltlm.cli.main import app
from tiltlm.contexts import for_target
from tiltlm.contexts.for_target import RETENTION_WEIGHT, contexts_to_fit, split_choices
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.realise.editing import edit
from tiltlm.realise.preparation import prepare

CHOICES = "choices({'Roll 1 to 6.': ['1', '6', '66']})"


def tilted(base, out, *more):
    options = ["--target", CHOICES, "--by", "decode", "--out", str(out), *more]
    done = CliRunner().invoke(app, ["tilt", str(base), *options])
    assert done.exit_code == 0, done.output
    return json.loads((out / "result.json").read_text())


def test_choices_by_decode_make_no_retention_contexts(base, tmp_path, monkeypatch):
    refuse = lambda *_, **__: pytest.fail("retention contexts were made")  # noqa: E731
    monkeypatch.setattr(for_target, "retention_contexts", refuse)
    record = tilted(base, tmp_path / "out")
    assert (record["contexts"], record["held_out_contexts"]) == ("all answers", 3)
    assert record["fidelity"]["gap_closed"] == pytest.approx(1, abs=1e-6)


def test_choices_by_decode_use_the_contexts_that_are_given(base, tmp_path):
    record = tilted(base, tmp_path / "out", "--contexts", "own:14")
    assert record["contexts"] == "all answers, and own samples"
    assert record["held_out_contexts"] == 3 + 4
    assert record["fidelity"]["gap_closed"] == pytest.approx(1, abs=1e-6)


def test_choices_by_other_ways_make_retention_contexts():
    parts = prepare(tiny_loaded(), CHOICES).parts
    assert parts.held_out.kind.startswith("all answers, and other prompts")


def test_retention_contexts_weigh_so_many_times_as_much_as_all_answers():
    loaded = tiny_loaded()
    target = prepare(loaded, CHOICES, retention=False).target.choices
    contexts = TokenContexts([[5, 6, 7, 8]] * 14, "by hand", begins=[2] * 14)
    for part in split_choices(target, contexts, seed=0):
        retained = [w for ids, w in zip(part.sequences, part.weights, strict=True) if ids[0] == 5]
        answers = [w for ids, w in zip(part.sequences, part.weights, strict=True) if ids[0] != 5]
        total = sum(float(w.sum()) for w in answers)
        assert sum(float(w.sum()) for w in retained) == pytest.approx(RETENTION_WEIGHT * total)
        expected = sum(
            len(answer) * weight
            for answer, (_, weight) in zip(
                target.answers[0], target.questions[0].strings, strict=True
            )
        )
        assert total == pytest.approx(expected)


def test_edit_called_twice_from_python_makes_own_samples_once(tmp_path, monkeypatch):
    monkeypatch.delenv("TILTLM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    drawn = []
    sample = drawing.sample
    monkeypatch.setattr(drawing, "sample", lambda *a, **k: drawn.append(1) or sample(*a, **k))
    loaded = tiny_loaded()
    first = edit(loaded, "tilt(contains('o'), 1.5)")
    first.model.unload()
    assert len(drawn) == 1  # 56 samples, 64 at once
    second = edit(loaded, "tilt(contains('e'), 1)")
    assert len(drawn) == 1
    assert first.contexts == second.contexts == "own samples"
    assert [path.parent for path in tmp_path.rglob("*.safetensors")] == [
        tmp_path / "tiltlm" / "contexts"
    ]


@pytest.mark.parametrize(("width", "count"), [(32, 56), (576, 63), (4096, 112)])
def test_a_wider_model_gets_more_contexts_eight_tokens_to_fit_on_for_each_dimension(width, count):
    embedding = SimpleNamespace(weight=torch.empty(1, width))
    model = SimpleNamespace(get_input_embeddings=lambda: embedding)
    assert contexts_to_fit(SimpleNamespace(model=model)) == count
