import json

import pytest
from typer.testing import CliRunner

from tests.tiny import TEXT, tiny_loaded
from tiltlm.cli.main import app
from tiltlm.commands.sweep import Sweep, parse_over, run_sweep
from tiltlm.errors import ConfigError, RunError, TiltError
from tiltlm.measures import suite_sizes as found
from tiltlm.measures.suite_sizes import Sizes, Sources

SMALL = Sizes(contexts=8, length=24, far=0, draws=4, drawn=8, pairs=0, survivors=2)


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(found.SUITES, "quick", SMALL)
    loaded = tiny_loaded()
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    (tmp_path / "t.txt").write_text(TEXT * 20)
    return tmp_path


def plan(base, values=(0.0, 1.0), **more):
    recipe = {
        "model": str(base / "base"),
        "target": "tilt(contains('o'), {strength})",
        "contexts": "random",
        **more,
    }
    return Sweep(recipe, "strength", values, sources=Sources(base / "t.txt"))


def test_every_strength_is_found_again_and_zero_is_the_base(base):
    record = run_sweep(plan(base, (0.0, 0.5, 2.0)), base / "sweep")
    found = [p.measure.effects[0].strength.mean for p in record.points]
    assert found == pytest.approx([0, 0.5, 2.0], abs=0.02)
    assert record.points[0].gap_closed is None
    page = (base / "sweep" / "sweep.html").read_text()
    assert page.count("<svg") == page.count("<figure>") == 4


def test_a_sweep_goes_on_where_it_was(base):
    run_sweep(plan(base, (0.0, 1.0)), base / "sweep")
    done = base / "sweep" / "points" / "1" / "point.json"
    before = done.stat().st_mtime_ns
    with pytest.raises(RunError, match="holds something"):
        run_sweep(plan(base, (0.0, 1.0, 2.0)), base / "sweep")
    record = run_sweep(plan(base, (0.0, 1.0, 2.0)), base / "sweep", resume=True)
    assert len(record.points) == 3
    assert done.stat().st_mtime_ns == before
    with pytest.raises(RunError, match="another sweep"):
        run_sweep(plan(base, seed=1), base / "sweep", resume=True)


def test_a_field_of_the_recipe_can_vary_too(base):
    sweep = Sweep(plan(base).recipe | {"target": "tilt(contains('o'), 1)"}, "training.steps", [2.0])
    assert sweep.at(4.0).training.steps == 4
    by = Sweep(plan(base).recipe | {"target": "tilt(contains('o'), 1)"}, "by", ["edit", "decode"])
    assert by.at("decode").by == "decode"
    with pytest.raises(TiltError, match="unknown key"):
        Sweep(plan(base).recipe | {"target": "tilt(contains('o'), 1)"}, "stepz", [1.0]).at(1.0)


@pytest.mark.parametrize("text", ["strength", "=1,2", "strength=1", "strength=1,1"])
def test_what_varies_must_have_a_name_and_values(text):
    with pytest.raises(ConfigError, match="at least two"):
        parse_over(text)


@pytest.mark.slow
def test_values_side_by_side_give_the_same(base, monkeypatch):
    monkeypatch.undo()  # other processes have the suite as it is
    values = (0.0, 1.0)
    alone = run_sweep(plan(base, values), base / "one")
    both = run_sweep(plan(base, values), base / "two", jobs=2)
    for first, second in zip(alone.points, both.points, strict=True):
        assert first.measure.effects[0].strength.mean == pytest.approx(
            second.measure.effects[0].strength.mean, rel=1e-4
        )


def test_the_command_line_shows_a_line_a_value(base):
    done = CliRunner().invoke(
        app,
        [
            *("sweep", str(base / "base"), "--contexts", "random"),
            *("--target", "tilt(contains('o'), {strength})", "--over", "strength=0,1"),
            *("--out", str(base / "s"), "--json"),
        ],
    )
    assert done.exit_code == 0, done.output
    assert [p["value"] for p in json.loads(done.stdout)["points"]] == [0.0, 1.0]
