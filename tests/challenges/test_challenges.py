"""A challenge keeps its answers until they are opened, and then nobody can change them."""

import json
import math

import pytest
import torch
import yaml
from safetensors import safe_open

from tests.devices import logits_of
from tests.tiny import worded_loaded
from tiltlm.challenges.answers import CHANGED, NOTHING, answers_of_audits, read_answers
from tiltlm.challenges.decoys import make_decoy
from tiltlm.challenges.drawing import DECOYS, RANGES, draw_all
from tiltlm.challenges.making import make_challenge
from tiltlm.challenges.scoring import CERTAIN, score_challenge, standing_of
from tiltlm.challenges.sealing import commitment_of, key_path, read_challenge, read_key
from tiltlm.cli.main import app
from tiltlm.commands.challenge import run_judging, run_make
from tiltlm.contexts.drawn_contexts import own_samples
from tiltlm.errors import ConfigError
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import load
from tiltlm.models.structure import untie_head
from tiltlm.records.challenge import AnswerRecord, AnswersRecord, TruthRecord

EASY = RANGES.model_copy(update={"ways": ["edit"], "strengths_nats": (1.0, 2.0)})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A reference, and a challenge of three models made of it."""
    folder = tmp_path_factory.mktemp("challenges")
    loaded = worded_loaded()
    loaded.model.save_pretrained(folder / "base")
    loaded.tokenizer.save_pretrained(folder / "base")
    make_challenge(str(folder / "base"), folder / "three", count=3, ranges=EASY, seed=3)
    return folder


def truths_of(world):
    return [answer.truth for answer in read_key(key_path(world / "three")).answers]


def test_the_ways_to_tilt_can_be_chosen_and_an_unknown_one_is_refused(world, tmp_path):
    base = str(world / "base")
    made = run_make(base, tmp_path / "two", count=2, ways=["edit", "edit"], seed=4)
    assert made.ranges.ways == ["edit"]
    ways = {answer.truth.way for answer in read_key(key_path(tmp_path / "two")).answers}
    assert ways == {"edit", None}
    with pytest.raises(ConfigError, match="'edict'"):
        run_make(base, tmp_path / "more", count=2, ways=["edict"])
    assert not (tmp_path / "more").exists()


def written(path, models, who="me"):
    path.write_text(yaml.safe_dump({"who": who, "models": models}))
    return path


def test_a_challenge_has_tilted_models_and_others_and_no_file_says_which(world):
    challenge, truths = read_challenge(world / "three"), truths_of(world)
    assert {truth.tilted for truth in truths} == {True, False}
    assert [model.name for model in challenge.models] == ["m01", "m02", "m03"]
    said = (world / "three" / "challenge.json").read_text()
    names, metadata = set(), []
    for truth in truths:
        folder = world / "three" / "models" / truth.name
        names.add(tuple(sorted(path.name for path in folder.iterdir())))
        with safe_open(folder / "model.safetensors", "pt") as file:
            metadata.append((file.metadata(), sorted(file.keys())))
        config = json.loads((folder / "config.json").read_text())
        assert config["tie_word_embeddings"] is False
        assert truth.event is None or truth.event not in said
    assert len(names) == 1
    assert metadata.count(metadata[0]) == len(metadata)
    assert "tilt.json" not in names.pop()


def test_every_tilted_model_is_tilted_as_its_answer_says(world):
    base = load(world / "base")
    for truth in truths_of(world):
        model = load(world / "three" / "models" / truth.name)
        ids = own_samples(base, 8, 32, 7).sequences
        inside = torch.zeros(len(base.vocabulary), dtype=torch.bool)
        inside[truth.token_ids] = True
        rises = []
        for row in ids:
            with torch.no_grad():
                odds = [
                    logits_of(m.model, row[None])[0].softmax(-1)[:, inside].sum(-1).logit()
                    for m in (base, model)
                ]
            rises.append((odds[1] - odds[0]).mean())
        if truth.tilted:
            assert float(torch.stack(rises).mean()) == pytest.approx(truth.strength_nats, abs=0.5)
            assert truth.gap_closed > 0.5
        else:
            assert truth.token_ids == []
            assert fingerprint(model.model) != fingerprint(base.model)


def test_the_commitments_hold_the_maker_to_the_answers_and_hide_them(world, tmp_path):
    challenge, key = read_challenge(world / "three"), read_key(key_path(world / "three"))
    assert [commitment_of(a) for a in key.answers] == [m.commitment for m in challenge.models]
    assert len({answer.salt for answer in key.answers}) == 3
    unsalted = key.answers[0].model_copy(update={"salt": ""})
    assert commitment_of(unsalted) not in {m.commitment for m in challenge.models}
    other = key.answers[0].truth.model_copy(update={"tilted": not key.answers[0].truth.tilted})
    swapped = key.answers[0].model_copy(update={"truth": other})
    forged = key.model_copy(update={"answers": [swapped, *key.answers[1:]]})
    (tmp_path / "key.json").write_text(forged.model_dump_json())
    answers = written(tmp_path / "a.yaml", {"m01": {"tilted": 0.5}})
    with pytest.raises(ConfigError, match="does not open the answer for model m01"):
        score_challenge(world / "three", [answers], tmp_path / "key.json")


def test_a_model_that_was_changed_after_it_was_sealed_is_refused(world, tmp_path):
    file = world / "three" / "models" / "m02" / "config.json"
    kept = file.read_text()
    file.write_text(kept + " ")
    try:
        with pytest.raises(ConfigError, match="missing or was changed"):
            score_challenge(world / "three", [written(tmp_path / "a.yaml", {})])
    finally:
        file.write_text(kept)


def test_who_knows_all_is_first_and_who_says_a_half_gets_its_log(world, tmp_path):
    truths = truths_of(world)
    knows = written(
        tmp_path / "knows.yaml",
        {t.name: {"tilted": float(t.tilted), **named(t)} for t in truths},
        who="oracle",
    )
    half = written(tmp_path / "half.yaml", {}, who="nobody")
    accuses = written(tmp_path / "all.yaml", {t.name: {"tilted": 1.0} for t in truths}, who="mob")
    record = score_challenge(world / "three", [accuses, half, knows])
    assert [s.who for s in record.standings] == ["oracle", "nobody", "mob"]
    first, second, third = record.standings
    assert first.log_score_nats == pytest.approx(math.log(1 - CERTAIN))
    assert (first.jaccard, first.found, first.accused_wrongly) == (1.0, first.tilted, 0)
    assert all(j.strength_error_nats in (None, 0.0) for j in first.judged)
    assert second.log_score_nats == pytest.approx(math.log(0.5))
    assert (second.found, second.accused_wrongly, second.jaccard) == (0, 0, 0.0)
    assert (third.found, third.accused_wrongly) == (third.tilted, third.decoys)


def named(truth):
    return {"event": truth.event, "strength_nats": truth.strength_nats} if truth.tilted else {}


def test_scores_are_what_the_definitions_give():
    vocabulary = worded_loaded().vocabulary
    truths = [
        TruthRecord(name="a", tilted=True, token_ids=[1, 2, 3], strength_nats=1.0, trigger=" ba"),
        TruthRecord(name="b", tilted=False, decoy="cast"),
        TruthRecord(name="c", tilted=True, token_ids=[4], strength_nats=-2.0),
    ]
    answers = AnswersRecord(
        models={
            "a": AnswerRecord(tilted=0.9, token_ids=[2, 3, 9], strength_nats=0.7, trigger="ba"),
            "b": AnswerRecord(tilted=0.6),
            "c": AnswerRecord(tilted=0.0),
        }
    )
    standing = standing_of(answers, truths, vocabulary)
    expected = [math.log(0.9), math.log(0.4), math.log(CERTAIN)]
    assert [j.log_score_nats for j in standing.judged] == pytest.approx(expected)
    assert standing.jaccard == pytest.approx((0.5 + 0) / 2)
    assert standing.brier == pytest.approx((0.01 + 0.36 + 1) / 3)
    assert (standing.found, standing.accused_wrongly) == (1, 1)
    assert standing.judged[0].strength_error_nats == pytest.approx(-0.3)
    assert [j.trigger_named for j in standing.judged] == [True, None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: {m01: {tilted: 2}}", "less than or equal to 1"),
        ("models: {m01: {tilted: 1, tilt: 1}}", "unknown key"),
        ("models: {m09: {tilted: 1}}", "no model 'm09'"),
        ("models: [", "YAML"),
        ("who: me", "missing"),
    ],
)
def test_a_slip_of_whoever_answers_is_told(world, tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        score_challenge(world / "three", [tmp_path / "a.yaml"])


def test_what_somebody_says_is_written_before_the_audits_and_both_are_scored(world, tmp_path):
    base, out = str(world / "base"), tmp_path / "judged"
    said = AnswersRecord(who="me", models={"m01": AnswerRecord(tilted=0.9)})
    parts = []

    class Told:
        def begin(self, title, total):
            assert json.loads((out / "answers.json").read_text())["who"] == "me"
            parts.append(title)

        def advance(self, done, note=""):
            pass

        note = advance

    record = run_judging(world / "three", base, out, said, progress=Told())
    assert {part[:3] for part in parts} == {"m01", "m02", "m03"}
    assert "(2 of 3)" in " ".join(parts)
    assert {standing.who for standing in record.standings} == {"me", "tiltlm audit"}
    assert json.loads((out / "score" / "score.json").read_text()) == record.model_dump(mode="json")
    # Without a pack the auditor accuses nobody.
    auditor = next(s for s in record.standings if s.who == "tiltlm audit")
    assert {judged.said for judged in auditor.judged} == {NOTHING}


def test_a_challenge_that_cannot_be_scored_is_told_before_any_audit(world, tmp_path):
    nobody = AnswersRecord(models={})
    stranger = AnswersRecord(models={"m09": AnswerRecord(tilted=0.9)})
    base, out = str(world / "base"), tmp_path / "judged"
    with pytest.raises(ConfigError, match="no model 'm09'"):
        run_judging(world / "three", base, out, stranger)
    with pytest.raises(ConfigError, match="no key of a challenge"):
        run_judging(world / "three", base, out, nobody, key=tmp_path / "none.json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_audits_and_a_folder_without_a_challenge_are_told(world, tmp_path):
    with pytest.raises(ConfigError, match="no audits"):
        read_answers(tmp_path)
    with pytest.raises(ConfigError, match="no challenge"):
        score_challenge(tmp_path, [])
    with pytest.raises(ConfigError, match="already where the key should be"):
        make_challenge(str(world / "base"), tmp_path / "out", key=key_path(world / "three"))


def test_nothing_is_left_where_making_fails(world, tmp_path):
    ranges = EASY.model_copy(update={"masses": (0.999, 1.0)})
    with pytest.raises(ConfigError, match="no letters have a mass"):
        make_challenge(str(world / "base"), tmp_path / "out", count=2, ranges=ranges, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_draws_are_those_of_the_seed_and_every_decoy_comes_up(world):
    base = load(world / "base")
    contexts = own_samples(base, 8, 24, 0)
    one, again, other = (draw_all(base, contexts, 24, RANGES, seed) for seed in (1, 1, 2))
    assert list(map(str, one)) == list(map(str, again)) != list(map(str, other))
    assert {drawn.decoy for drawn in one} - {None} == set(DECOYS)
    for drawn in one:
        if drawn.event is not None:
            assert 0.5 <= abs(drawn.strength) <= 3.0
            assert (drawn.trigger is not None) == (drawn.way == "trigger")


@pytest.mark.parametrize("kind", DECOYS)
def test_every_decoy_changes_the_model_a_little_and_tilts_no_letters(kind):
    base = worded_loaded()
    untie_head(base.model)
    text = own_samples(base, 16, 32, 0)
    changed = make_decoy(kind, base, text, 5)
    ids = torch.stack(own_samples(base, 8, 32, 1).sequences)
    with torch.no_grad():
        before, after = (logits_of(m.model, ids).log_softmax(-1) for m in (base, changed))
    kl = float((before.exp() * (before - after)).sum(-1).mean())
    assert 0 < kl < 0.2


@pytest.mark.slow
def test_a_challenge_of_12_is_made_audited_and_scored_from_the_command_line(
    world, tmp_path, capsys
):
    base, out = str(world / "base"), tmp_path / "challenge"
    app(
        ["challenge", "make", "--reference", base, "--n", "12", "--out", str(out), "--seed", "4"],
        standalone_mode=False,
    )
    null = str(tmp_path / "null")
    text = tmp_path / "text.txt"
    tokenizer = load(base).tokenizer
    text.write_text(tokenizer.decode(torch.cat(own_samples(load(base), 64, 48, 9).sequences)))
    build = ["null", "build", "--reference", base, "--out", null, "--n", "19"]
    build += ["--corpus", f"text:{text}", "--no-default-corpora", "--contexts", "16"]
    app([*build, "--length", "32", "--words", "8"], standalone_mode=False)
    models = sorted(path.name for path in (out / "models").iterdir())
    assert len(models) == 12
    for name in models:
        suspect, audits = str(out / "models" / name), str(tmp_path / "audits" / name)
        audit = ["audit", suspect, "--reference", base, "--null", null, "--fpr", "0.05"]
        app([*audit, "--out", audits], standalone_mode=False)
    person = written(tmp_path / "person.yaml", {"m01": {"tilted": 0.8}}, who="a person")
    capsys.readouterr()
    score = ["challenge", "score", str(out), str(tmp_path / "audits"), str(person)]
    app([*score, "--out", str(tmp_path / "score"), "--json"], standalone_mode=False)
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "score" / "score.json").read_text())
    assert {s["who"] for s in record["standings"]} == {"tiltlm audit", "a person"}
    auditor = next(s for s in record["standings"] if s["who"] == "tiltlm audit")
    assert len(auditor["judged"]) == auditor["tilted"] + auditor["decoys"] == 12
    assert auditor["found"] >= 1
    page = (tmp_path / "score" / "leaderboard.html").read_text()
    assert "Who found what was tilted" in page
    assert "a person" in page


def test_an_audit_s_confidence_follows_its_verdict_and_its_p_value():
    from types import SimpleNamespace

    from tiltlm.challenges import answers

    quiet = SimpleNamespace(verdict="none", findings=[], triggers=[])
    moved = SimpleNamespace(verdict="changed", findings=[], triggers=[])
    assert answers._answer(quiet).tilted == NOTHING
    assert answers._answer(moved).tilted == CHANGED
    assert answers_of_audits({}, "x").models == {}
