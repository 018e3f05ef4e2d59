"""The whole of `tiltlm measure` on tiny models: the command, and the function behind it."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from tests.conftest import TINY_RUN
from tests.measures.shared import SMALL, bound, contexts
from tests.tiny import TEXT, tiny_loaded, tiny_tokenizer
from tiltlm import load_recipe, measure, run_recipe
from tiltlm.cli.main import app
from tiltlm.commands.measure import run_measure
from tiltlm.commands.tilt import run_tilt
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.errors import (
    ConfigError,
    MeasurementError,
    ModelError,
    TargetError,
    TiltError,
    VocabularyError,
)
from tiltlm.measures.effects import effect_of
from tiltlm.measures.opening import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.measures.persistence import after_merging
from tiltlm.measures.suite import measure_pair
from tiltlm.measures.suite_sizes import SUITES, Sources
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.models.adapted import lora_factors
from tiltlm.models.loading import LoadedModel
from tiltlm.realise.editing import edit
from tiltlm.recipes.tilt import recipe_of


def test_a_base_against_itself_is_never_called_different(tmp_path):
    loaded = tiny_loaded()
    (tmp_path / "t.txt").write_text(TEXT * 20)
    pair = Pair(loaded, loaded, bound(loaded, "tilt(contains('o'), 0)"))
    found = measure_pair(pair, SMALL, Sources(tmp_path / "t.txt"))
    assert found.comparisons
    assert not any(c.different for c in found.comparisons)
    assert all(e.strength.mean == 0 for e in found.effects)


def test_the_command_measures_what_tilt_saved_and_draws_a_page(tilted_folder):
    (tilted_folder / "t.txt").write_text(TEXT * 20)
    record = run_measure(
        str(tilted_folder / "out"),
        tilted_folder / "m",
        suite=SMALL,
        sources=Sources(tilted_folder / "t.txt"),
    )
    assert record.shares_body
    assert record.wished_strength == 1
    own = record.effects[0].strength
    assert own.mean == pytest.approx(1, abs=0.02)
    saved = json.loads((tilted_folder / "m" / "measure.json").read_text())
    assert saved["effects"][0]["strength"]["mean"] == own.mean
    page = (tilted_folder / "m" / "measure.html").read_text()
    assert page.count("<svg") == 5
    assert "NaN" not in page
    assert not any(s in page for s in ("<script", 'src="', "@import"))
    assert "minimal pairs" in record.missing


def test_the_command_line_prints_json_alone(tilted_folder, monkeypatch):
    monkeypatch.setitem(SUITES, "quick", SMALL)
    done = CliRunner().invoke(app, ["measure", str(tilted_folder / "out"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["kind"] == "measure"
    shown = CliRunner().invoke(app, ["measure", str(tilted_folder / "out")])
    assert "β̂" in shown.stdout
    assert "not measured" in shown.stdout


def test_without_an_event_nothing_is_made_up(tilted_folder):
    base = str(tilted_folder / "base")
    record = run_measure(base, against=base, suite=SMALL)
    assert record.event is None
    assert all(e.strength is None and e.mass_model is None for e in record.effects)
    assert not record.drawn
    assert not record.survivals
    assert "effect, strength, hit rates" in record.missing


def test_a_run_of_the_article_is_measured_against_the_model_it_began_from(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    run_recipe(load_recipe("quick", [*TINY_RUN, "train.steps=12"]), tmp_path / "run", seed=3)
    small = replace(SMALL, length=8, far_length=16, drawn=4)
    record = run_measure(str(tmp_path / "run"), suite=small, on_tokens=200)
    assert record.base["name"] == "model5"
    assert record.target == "uniform(contains('x'))"
    own = record.effects[0]
    assert own.mass_target.mean == pytest.approx(1)
    assert own.mass_model.mean > own.mass_base.mean
    assert len(record.on) == 2


# -- bad input ---------------------------------------------------------------------------------


def test_another_tokenizer_is_refused(tilted_folder):
    loaded = tiny_loaded()
    other = tiny_tokenizer()
    other.add_tokens(["extra"])
    with pytest.raises(VocabularyError, match="different tokens"):
        Pair(loaded, LoadedModel(loaded.model, other))


def test_a_model_that_gives_no_numbers_is_refused_and_nothing_is_written(tilted_folder):
    loaded = tiny_loaded()
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight[5] = math.nan
    loaded.model.save_pretrained(tilted_folder / "nan")
    loaded.tokenizer.save_pretrained(tilted_folder / "nan")
    with pytest.raises(MeasurementError, match="not numbers"):
        measure(loaded, tiny_loaded(), suite=SMALL)
    with pytest.raises(ModelError, match=r"no numbers: lm_head\.weight"):
        run_measure(
            str(tilted_folder / "nan"),
            tilted_folder / "m",
            against=str(tilted_folder / "base"),
            suite=SMALL,
        )
    assert not (tilted_folder / "m").exists()


def test_bad_arguments_are_refused_before_anything_is_done(tilted_folder, tmp_path):
    base = str(tilted_folder / "base")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "nothing").mkdir()
    for message, arguments in (
        ("no label", {}),
        ("no such suite", {"against": base, "suite": "middle"}),
        ("cannot read the text", {"against": base, "sources": Sources(tmp_path / "none.txt")}),
        ("text is empty", {"against": base, "sources": Sources(tmp_path / "empty.txt")}),
        ("no pairs here", {"against": base, "sources": Sources(None, tmp_path / "nothing")}),
        ("--target", {"against": base, "target": "tilt(contains('o'"}),
    ):
        with pytest.raises(TiltError, match=message):
            run_measure(base, **{"suite": SMALL, **arguments})


def test_a_match_is_measured_at_the_strength_of_its_label(tilted_folder):
    options = {"target": "match(contains('o'), 0.2)", "contexts": "random"}
    run_tilt(recipe_of(str(tilted_folder / "base"), options, {}), tilted_folder / "match")
    pair, _, label = open_pair(str(tilted_folder / "match"))
    assert pair.target.strengths == label.strengths
    with pytest.raises(TargetError, match="no label says"):
        open_pair(
            str(tilted_folder / "base"), str(tilted_folder / "base"), "match(contains('o'), 0.2)"
        )


def test_a_damaged_label_is_told(tilted_folder):
    (tilted_folder / "out" / "model" / "tilt.json").write_text("{")
    with pytest.raises(ConfigError, match="label is damaged"):
        open_pair(str(tilted_folder / "out"))


# -- what cannot be measured --------------------------------------------------------------------


class Told:
    """A `Progress` that keeps what it is told."""

    def __init__(self):
        self.parts = []

    def begin(self, title, total):
        self.parts.append((title, total, []))

    def advance(self, done, note=""):
        self.parts[-1][2].append(done)

    def note(self, text):
        pass


@pytest.mark.parametrize(
    "target", ["tilt(phrase('the fox'), 2)", "when('coffee', uniform(contains('o')))"]
)
def test_what_cannot_be_measured_is_named_and_the_rest_is_measured(tilted_folder, target):
    text = tilted_folder / "t.txt"
    text.write_text(TEXT * 20)
    options = {"target": target, "contexts": f"text:{text}", "by": "decode"}
    run_tilt(recipe_of(str(tilted_folder / "base"), options, {}), tilted_folder / "decoded")
    record = run_measure(
        str(tilted_folder / "decoded"),
        tilted_folder / "m",
        suite=SMALL,
        sources=Sources(text),
    )
    unmeasured = [e.kind for e in record.effects if e.strength is None]
    assert unmeasured
    assert all(f"strength, {kind}" in record.missing for kind in unmeasured)
    assert all(e.mass_model is not None for e in record.effects)
    assert len(record.drawn) == 3
    compared = {c.name for c in record.comparisons}
    assert not compared & set(record.missing)
    assert "samples, hit rate" in compared
    assert "NaN" not in (tilted_folder / "m" / "measure.html").read_text()


def test_every_part_of_the_suite_tells_of_its_progress_to_the_end(tilted_folder):
    text = tilted_folder / "t.txt"
    text.write_text(TEXT * 20)
    (tilted_folder / "blimp").mkdir()
    line = {"sentence_good": "the fox had an axe.", "sentence_bad": "the fox an had axe."}
    (tilted_folder / "blimp" / "one.jsonl").write_text(json.dumps(line) + "\n")
    told = Told()
    run_measure(
        str(tilted_folder / "out"),
        suite=replace(SMALL, milestones=(1,), on=2, on_tokens=30),
        sources=Sources(text, tilted_folder),
        progress=told,
    )
    assert {title.split(":")[0] for title, _, _ in told.parts} >= {
        "the base's own samples",
        "answers to requests",
        "reading",
        "drawing",
        "reading draws at 1.0, top-p 1.0",
        "drawing far on",
        "BLiMP one",
        "int8, merging",
        "fine-tuning on text, base and model",
    }
    assert [t for t, total, done in told.parts if not done or done[-1] != total] == []


def test_base_and_its_edited_head_are_read_with_one_body_and_one_product(tilted_folder):
    pair = open_pair(str(tilted_folder / "out"))[0]
    few, flops = contexts(4), []
    for read in (pair, Pair(pair.base, pair.base, pair.target)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            list(read.read(few))
        flops.append(counter.get_total_flops())
    down, up = lora_factors(pair.model.model.get_output_embeddings())
    assert flops[0] - flops[1] == 2 * few.tokens * (down.numel() + up.numel())


def test_merges_of_an_edited_head_run_the_body_once_in_all(tilted_folder, monkeypatch):
    pair = open_pair(str(tilted_folder / "out"))[0]
    few, passes, rows = contexts(4), [], LogitReader.rows
    whole = effect_of(read_token_metrics(pair, few)).strength.mean
    monkeypatch.setattr(LogitReader, "rows", lambda *a: passes.append(1) or rows(*a))
    strengths = [s.strength.mean for s in after_merging(pair, few, (0.0, 0.5, 1.0))]
    assert len(passes) == 1
    assert strengths == pytest.approx([0, whole / 2, whole], abs=2e-3)


# -- the function -------------------------------------------------------------------------------


def test_the_function_measures_models_that_are_loaded_and_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    base, loaded = tiny_loaded(), tiny_loaded()
    tilted = edit(loaded, "tilt(contains('o'), 1)", contexts(24))
    with pytest.raises(ModelError, match="adapter is in the model"):
        measure(LoadedModel(tilted.model, tilted.tokenizer), base, tilted.target, suite=SMALL)
    with pytest.raises(ModelError, match="adapter is in the base"):
        measure(base, loaded, tilted.target, suite=SMALL)
    merged = LoadedModel(tilted.model.merge_and_unload(), loaded.tokenizer)
    record = measure(merged, base, "tilt(contains('o'), 1)", suite=SMALL, keep_samples=False)
    assert not list(tmp_path.iterdir())
    assert record.effects[0].strength.mean == pytest.approx(1, abs=0.02)
    assert (record.model, record.base["name"], record.by) == ("LlamaForCausalLM",) * 2 + (None,)
    assert (record.target, record.wished_strength) == ("tilt(contains('o'), 1)", 1)
    kept = measure(merged, base, "tilt(contains('o'), 1)", suite=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert kept.effects == record.effects


def test_the_function_takes_names_and_labels_as_the_command_does(tilted_folder):
    base, out = str(tilted_folder / "base"), tilted_folder / "out"
    figures = [
        record.model_dump(exclude={"seconds", "model"})
        for record in (measure(out, suite=SMALL), run_measure(str(out), suite=SMALL))
    ]
    assert figures[0] == figures[1]
    assert figures[0]["by"] == "edit"
    with pytest.raises(ConfigError, match="no base"):
        measure(tiny_loaded())
    with pytest.raises(TargetError, match="fitted to contexts"):
        measure(tiny_loaded(), base, "match(contains('o'), 0.2)")


def test_a_target_that_is_decoded_is_measured_by_the_base_alone():
    base = tiny_loaded()
    record = measure(base, base, "tilt(contains('o'), 2)", suite=SMALL, decodes=True)
    assert record.by == "decode"
    assert record.effects[0].strength.mean == pytest.approx(2, abs=1e-3)
