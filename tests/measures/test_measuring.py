"""What `tiltlm measure` finds, on tiny models whose truth is known."""

import copy
import json
import math
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from tests.conftest import TINY_RUN
from tests.tiny import KINDS, TEXT, tiny_loaded, tiny_tokenizer
from tiltlm import load_recipe, run_recipe
from tiltlm.cli.main import app
from tiltlm.commands.measure import run_measure
from tiltlm.commands.tilt import run_tilt
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.errors import ConfigError, MeasurementError, TargetError, TiltError, VocabularyError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.effects import by_position, effect_of
from tiltlm.measures.generation import draw_answers, measure_drawn
from tiltlm.measures.minimal_pairs import find_pair_sets, margins_of
from tiltlm.measures.opening import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.measures.persistence import after_fine_tuning, after_int8, after_merging
from tiltlm.measures.suite import measure_pair
from tiltlm.measures.suite_sizes import SUITES, Sizes, Sources
from tiltlm.measures.token_changes import heat_of, token_changes_of
from tiltlm.measures.token_metrics import read_token_metrics
from tiltlm.models.loading import LoadedModel
from tiltlm.models.sampling import SamplingOptions
from tiltlm.realise.editing import edit
from tiltlm.recipes.tilt import recipe_of
from tiltlm.targets.parse import parse_target

SMALL = Sizes(contexts=8, length=24, far=2, far_length=60, draws=4, drawn=12, pairs=6, survivors=3)


def bound(loaded, text):
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    return parse_target(text).bind(vocabulary, loaded.tokenizer)


def contexts(count=8, length=24, seed=0):
    return TokenContexts(RandomTokenContexts(300, length, count, seed=seed).batch().tolist(), "r")


def decoding(text, kind="llama"):
    loaded = tiny_loaded(kind)
    return Pair(loaded, loaded, bound(loaded, text), decodes=True)


@pytest.fixture(scope="module")
def edited():
    loaded = tiny_loaded()
    tilted = edit(loaded, "tilt(contains('o'), 1)", contexts(24))
    merged = tilted.model.merge_and_unload()
    return Pair(tiny_loaded(), LoadedModel(merged, loaded.tokenizer), tilted.target)


@pytest.fixture
def tilted_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    loaded = tiny_loaded()
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    options = {"target": "tilt(contains('o'), 1)", "contexts": "random"}
    run_tilt(recipe_of(str(tmp_path / "base"), options, {}), tmp_path / "out")
    return tmp_path


# -- effect ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [-3, 0.1, 1, 5])
def test_an_exact_tilt_is_found_at_its_strength(strength):
    found = effect_of(read_token_metrics(decoding(f"tilt(contains('o'), {strength})"), contexts()))
    assert found.strength.mean == pytest.approx(strength, abs=1e-4)
    assert found.gap_closed.mean == pytest.approx(1)
    assert found.collateral.mean == pytest.approx(0, abs=1e-6)
    assert found.mass_model.mean == pytest.approx(found.mass_target.mean)


def test_figures_agree_with_dense_float64_ones(edited):
    some = contexts(4, 12)
    seen = read_token_metrics(edited, some)
    ids = torch.stack(some.sequences)
    base, model = (
        m.model.double()(ids).logits.log_softmax(-1)
        for m in (copy.deepcopy(edited.base), copy.deepcopy(edited.model))
    )
    event = edited.target.event_masks([None])[0, 0]
    kl = (base.exp() * (base - model)).sum(-1)
    found = effect_of(seen)
    assert found.kl_base_model.mean == pytest.approx(float(kl.mean()), rel=1e-3)
    assert found.mass_model.mean == pytest.approx(float(model.exp()[..., event].sum(-1).mean()))
    following = model[:, :-1].gather(-1, ids[:, 1:, None]).sum()
    assert sum(seen.sums("next_model")) == pytest.approx(float(following), rel=1e-5)


def test_a_body_that_is_shared_is_run_once_and_found_out(edited):
    assert edited.shares_body
    other = copy.deepcopy(edited.model)
    with torch.no_grad():
        next(p for n, p in other.model.named_parameters() if "layers.0" in n).add_(0.1)
    moved = Pair(edited.base, other, edited.target)
    assert not moved.shares_body
    there = effect_of(read_token_metrics(moved, contexts(2))).kl_base_model.mean
    assert there > effect_of(read_token_metrics(edited, contexts(2))).kl_base_model.mean


@pytest.mark.parametrize("kind", KINDS)
def test_any_architecture_is_read_as_it_reads_itself(kind):
    model = tiny_loaded(kind).model
    ids = torch.arange(12)[None]
    reader = LogitReader(model)
    found = reader.logits(reader.rows(ids, torch.ones_like(ids)))
    torch.testing.assert_close(found, model(input_ids=ids).logits, rtol=1e-4, atol=1e-3)


def test_padding_does_not_count():
    pair = decoding("tilt(contains('o'), 1)")
    long, short = contexts(1, 24).sequences[0].tolist(), contexts(1, 9, 1).sequences[0].tolist()
    together = read_token_metrics(pair, TokenContexts([long, short], "x"))
    alone = read_token_metrics(pair, TokenContexts([short], "x"))
    for name in ("mass_model", "kl_base_model", "next_base"):
        first, second = together.figures[name][1], alone.figures[name][0]
        assert first[:8] == pytest.approx(second[:8], rel=1e-4, abs=1e-6)


def test_the_mass_by_position_is_that_of_those_positions():
    seen = read_token_metrics(decoding("tilt(contains('o'), 1)"), contexts(6, 20))
    first, second = by_position(seen, [0, 4, 20])
    mass = torch.tensor([f.tolist() for f in seen.figures["mass_model"]])
    assert first.model.mean == pytest.approx(float(mass[:, :4].mean()))
    assert second.model.mean == pytest.approx(float(mass[:, 4:].mean()))


def test_a_trigger_is_measured_where_it_is_met_and_leaks_nothing_when_exact():
    pair = decoding("when('coffee', tilt(contains('o'), 2))")
    ids = [pair.base.tokenizer(TEXT)["input_ids"][:40] for _ in range(3)]
    found = effect_of(read_token_metrics(pair, TokenContexts(ids, "x")))
    assert found.strength.mean == pytest.approx(2, abs=1e-3)
    assert found.leakage.mean == pytest.approx(0, abs=1e-6)


def test_moved_tokens_are_those_of_the_event_and_a_text_is_coloured(edited):
    seen = read_token_metrics(edited, contexts())
    moved = token_changes_of(seen, edited.vocabulary)
    assert all("o" in t.text and t.model > t.base for t in moved.up)
    assert all("o" not in t.text for t in moved.down)
    heat = heat_of(seen, edited.vocabulary)
    assert heat.log_ratio[0] is None
    assert len(heat.tokens) == len(heat.log_ratio) == 24


# -- drawing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.0, 0.8)])
def test_hit_rates_are_as_expected_however_text_is_drawn(temperature, top_p):
    pair = decoding("tilt(contains('o'), 1)")
    options = SamplingOptions(temperature, 0, top_p, seed=3)
    prompts = torch.zeros(64, 1, dtype=torch.long)
    found = measure_drawn(pair, prompts, draw_answers(pair, prompts, 24, options), options)
    spread = math.sqrt(found.expected.mean / (64 * 24))
    assert abs(found.hit_rate.mean - found.expected.mean) < 4 * spread
    assert found.expected.mean == pytest.approx(found.target.mean)
    assert found.base.mean < found.target.mean


# -- pairs -------------------------------------------------------------------------------------


def test_a_sentence_has_the_log_probability_that_transformers_gives_it(edited, tmp_path):
    (tmp_path / "blimp").mkdir()
    line = {"sentence_good": "the fox had an axe.", "sentence_bad": "the fox an had axe."}
    (tmp_path / "blimp" / "one.jsonl").write_text(json.dumps(line) + "\n")
    (only,) = find_pair_sets(tmp_path)
    found = margins_of(edited, only)
    sums = []
    for sentence in line.values():
        ids = torch.tensor([[0, *edited.base.tokenizer(sentence)["input_ids"]]])
        with torch.no_grad():
            loss = edited.base.model(input_ids=ids, labels=ids).loss
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


# -- persistence -------------------------------------------------------------------------------


def test_a_merge_has_nothing_of_the_tilt_at_the_base_and_all_at_the_model(edited):
    some = contexts(4)
    found = list(after_merging(edited, some, (0.0, 0.5, 1.0)))
    whole = effect_of(read_token_metrics(edited, some)).strength.mean
    strengths = [s.strength.mean for s in found]
    # A head edit is linear in the weights, and a tilt's log-odds are linear in the logits.
    assert strengths == pytest.approx([0, whole / 2, whole], abs=2e-3)


def test_int8_keeps_the_tilt_and_leaves_both_models_as_they_were(edited):
    before = [p.clone() for p in edited.model.model.parameters()]
    found = after_int8(edited, contexts(4))
    assert found.strength.mean == pytest.approx(1, abs=0.1)
    after = edited.model.model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_fine_tuning_treats_base_and_model_alike(edited):
    clean = contexts(16, 16, seed=5)
    same = Pair(edited.base, edited.base, edited.target)
    for survival in after_fine_tuning(same, contexts(3), clean, (1, 3)):
        assert survival.strength.mean == pytest.approx(0, abs=1e-4)
    found = after_fine_tuning(edited, contexts(3), clean, (1, 3))
    assert [s.amount for s in found] == [1, 3]
    assert all(0.9 < s.strength.mean < 1.1 for s in found)


# -- the whole ---------------------------------------------------------------------------------


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
    assert pair.target.strengths == label["strengths"]
    with pytest.raises(TargetError, match="no label says"):
        open_pair(
            str(tilted_folder / "base"), str(tilted_folder / "base"), "match(contains('o'), 0.2)"
        )


def test_a_damaged_label_is_told(tilted_folder):
    (tilted_folder / "out" / "model" / "tilt.json").write_text("{")
    with pytest.raises(ConfigError, match="label is damaged"):
        open_pair(str(tilted_folder / "out"))
