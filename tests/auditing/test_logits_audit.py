"""The audit: what moved is named, what is benign is not accused; simulations with known truth."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.devices import logits_of
from tests.tiny import (
    KINDS,
    passes_of,
    three_syllables,
    tiny_loaded,
    tiny_perturbed,
    worded_loaded,
)
from tiltlm.auditing.benign.changes import BenignChanges
from tiltlm.auditing.benign.learning import learn
from tiltlm.auditing.benign.null_distribution import COLUMN_SPACE, RESIDUAL
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.inputs import read_lists
from tiltlm.auditing.logits.audit import LogitsAccess
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.logits.uncalibrated import find_uncalibrated
from tiltlm.auditing.null.pack_files import load_pack
from tiltlm.auditing.shifts.filters import ResidualFilter, explained_by_body
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.likeness import spread_over_strata, stratum_weights
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.strata import Change
from tiltlm.auditing.shifts.templates import Templates
from tiltlm.auditing.shifts.trigger_probes import (
    find_triggered_class,
    make_trigger_probes,
    probe_words,
)
from tiltlm.cli.main import app
from tiltlm.commands.audit import run_audit
from tiltlm.commands.tilt import run_tilt
from tiltlm.contexts.drawn_contexts import own_samples
from tiltlm.contexts.token_contexts import RandomTokenContexts, TokenContexts
from tiltlm.errors import ConfigError, MeasurementError, TiltError, VocabularyError
from tiltlm.events.parse import parse_event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.fingerprints import fingerprint
from tiltlm.progress import NoProgress
from tiltlm.recipes.tilt import recipe_of
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.parse import parse_target

SIZE, WIDTH, MEMBERS, POSITIONS = 600, 64, 199, 400


@pytest.fixture(scope="module")
def words():
    """600 tokens of three syllables."""
    return three_syllables(SIZE)


@pytest.fixture(scope="module")
def simulated(words):
    """An auditor whose null is W·Δh with Δh from one distribution, and little else."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(SIZE, WIDTH))
    mass = draws.dirichlet(np.ones(SIZE))
    mixing = draws.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5

    def benign(count):
        moved = draws.normal(size=(count, WIDTH)) @ mixing * 0.3
        shifts = moved @ rows.T + 0.02 * draws.normal(size=(count, SIZE))
        return shifts - shifts.mean(1, keepdims=True)

    tried = build_classes(words)
    space = HeadGeometry(HeadRows(torch.from_numpy(rows)), mass)
    return auditor_of(space, tried, benign(MEMBERS)), benign, tried


def auditor_of(space, tried, shifts, families=(), stratum_spreads=None):
    """That learnt from some shifts."""
    if stratum_spreads is None:
        stratum_spreads = np.zeros((len(shifts), len(tried)))
    moves = space.solve_moves(shifts)[:, None]
    changes = BenignChanges(shifts, moves, stratum_spreads, np.empty(0), families)
    templates = templates_at(space)
    return Auditor(space, templates, learn(ResidualFilter(space, tried), templates, changes))


def change(space, shift):
    """As if every position were in one stratum."""
    return Change(shift, space.solve_moves(shift)[None], shift[None])


def templates_at(space):
    """Where the reference's distribution is its mean one."""
    logits = torch.from_numpy(np.log(space.mass)).float()
    strata = torch.zeros(POSITIONS, dtype=torch.long)
    rows = torch.zeros(POSITIONS, WIDTH)
    return Templates.of(rows, lambda r: logits.expand(len(r), -1), strata, space.rows)


def planted(tried, event):
    index = tried.names.index(event)
    return tried.members[index].toarray()[0], index


def test_a_tilt_by_the_head_is_named_on_top_of_a_benign_change(simulated):
    auditor, benign, tried = simulated
    mask, _ = planted(tried, "contains('k')")
    for shift in benign(5):
        first, *others = auditor.find(change(auditor.geometry, shift + 0.1 * mask), 0.01)
        assert first.event == "contains('k')"
        assert (first.component, others) == ("outside", [])
        assert first.interval[0] < 0.1 < first.interval[1]
        assert first.p_shifted == first.p_planted == 1 / (MEMBERS + 1)


def test_of_two_filters_that_name_one_class_the_one_that_sees_a_part_gives_way(simulated):
    auditor, _, tried = simulated
    mask, index = planted(tried, "contains('k')")
    noise = 0.02 * np.random.default_rng(1).normal(size=SIZE)
    view = auditor._view(change(auditor.geometry, noise + 2.0 * mask))
    for part, component in ((0.15, "outside"), (1.5, "inside")):
        inside = view.looks[COLUMN_SPACE]
        scores, standing, strengths = (np.zeros(len(tried)) for _ in range(3))
        scores[index] = standing[index] = 10 * view.looks[RESIDUAL].scores[index]
        strengths[index] = 2.0 * part
        look = replace(
            inside, scores=scores, standing=standing, strengths=strengths,
            errors=np.full(len(tried), 0.01),
        )  # fmt: skip
        seen = replace(view, looks={**view.looks, COLUMN_SPACE: look})
        chosen = auditor._most_planted(seen, 0.01)
        assert (chosen.index, chosen.component) == (index, component)
        assert chosen.strength == pytest.approx(2.0 * max(part, 1), rel=0.05)


def test_two_tilts_are_both_named_with_their_own_strengths(simulated):
    auditor, benign, tried = simulated
    up, down = planted(tried, "contains('k')")[0], planted(tried, "contains('s')")[0]
    shift = benign(1)[0] + 0.3 * up - 0.2 * down
    found = auditor.find(change(auditor.geometry, shift), 0.01)
    strengths = {f.event: f.strength for f in found}
    assert strengths["contains('k')"] == pytest.approx(0.3, abs=0.02)
    assert strengths["contains('s')"] == pytest.approx(-0.2, abs=0.02)


def test_a_tilt_by_the_body_is_named_inside_the_column_space(simulated):
    auditor, _, tried = simulated
    _, index = planted(tried, "contains('t')")
    shift = 3 * auditor.geometry.log_ratios_of(auditor.column_space_filter.template(index)[0])
    shift += 0.02 * np.random.default_rng(1).normal(size=SIZE)
    first = auditor.find(change(auditor.geometry, shift - shift.mean()), 0.05)[0]
    assert (first.event, first.component) == ("contains('t')", "inside")
    assert first.strength == pytest.approx(3, rel=0.1)


def test_what_a_changed_head_leaves_inside_the_column_space_accuses_nobody(simulated):
    auditor, _, _ = simulated
    draws = np.random.default_rng(2)
    scores = []
    for shift in draws.normal(size=(200, SIZE)) * 0.1:
        seen = auditor._view(change(auditor.geometry, shift - shift.mean()))
        scores.append(seen.looks[COLUMN_SPACE].scores.max())
    # Of tokens that move each by itself a tenth lies in the column space, and is no body's move:
    # by its direction alone a fifth would be accused.
    assert (auditor.null.p_planted(np.array(scores)) <= 0.05).mean() <= 0.05


def test_how_much_a_moved_body_explains_is_a_correlation(simulated):
    auditor, _, _ = simulated
    outside = auditor.residual_filter
    moved = auditor.geometry.log_ratios_of(np.random.default_rng(3).normal(size=WIDTH))
    other = outside.residual(np.random.default_rng(4).normal(size=(1, SIZE)))[0]
    other *= np.linalg.norm(moved) / np.linalg.norm(other)
    shifts = np.stack([moved, moved + other, other, 0 * other])
    found = explained_by_body(shifts, outside.residual(shifts))
    assert found == pytest.approx([1, 0.5**0.5, 0, 1], abs=1e-6)


def test_benign_changes_are_accused_as_often_as_was_said(simulated):
    auditor, benign, _ = simulated
    found = [auditor.best(change(auditor.geometry, shift)) for shift in benign(400)]
    p = np.array([finding.p_shifted for finding in found])
    for rate in (0.05, 0.2):
        # Three standard deviations of 400 draws, and of the null's own 199.
        room = 3 * (rate * (1 - rate) * (1 / 400 + 1 / MEMBERS)) ** 0.5
        assert abs((p <= rate).mean() - rate) < room


def uneven(draws, mask):
    """What a text does to a class: some of its tokens rise, others hardly."""
    return mask * draws.exponential(size=mask.shape) ** 2


def test_a_suspect_of_a_new_family_is_accused_no_more_often_than_was_said(simulated):
    auditor, benign, tried = simulated
    space = HeadGeometry(auditor.geometry.rows, np.full(SIZE, 1 / SIZE))
    draws = np.random.default_rng(0)
    testable = np.flatnonzero(ResidualFilter(space, tried).testable)
    shifted, accused = [], []
    for _ in range(6):
        # Each of twelve families moves two classes of its own; the last is the suspects'.
        moved = tried.members[draws.choice(testable, size=(12, 2), replace=False).ravel()]
        moved = moved.toarray().reshape(12, 2, SIZE)

        def of_family(number, count, moved=moved):
            strengths = draws.uniform(0.1, 0.3, size=(count, 2))
            shifts = benign(count) + strengths @ uneven(draws, moved[number])
            return shifts - shifts.mean(1, keepdims=True)

        null = np.concatenate([of_family(number, 9) for number in range(11)])
        families = [str(number) for number in range(11) for _ in range(9)]
        of_eleven = auditor_of(space, tried, null, families)
        found = [of_eleven.find(change(space, s), 0.05) for s in of_family(11, 20)]
        shifted += [bool(f) for f in found]
        accused += [any(finding.is_planted(0.05) for finding in f) for f in found]
    # A shift of no kind that the pack has is a shift, and no accusation. The unit is the family of
    # suspects, of which there are six.
    assert np.mean(shifted) > 0.5
    assert np.mean(accused) < 0.1


def test_what_a_family_moves_unevenly_is_changed_and_a_tilt_beside_it_is_planted(simulated):
    auditor, benign, tried = simulated
    space = HeadGeometry(auditor.geometry.rows, np.full(SIZE, 1 / SIZE))
    odd, other = (planted(tried, f"contains('{letters}')")[0] for letters in ("om", "k"))
    families = ["a", "b", "c", "odd"] * (MEMBERS // 4)
    draws = np.random.default_rng(0)
    null = benign(len(families))
    for member in np.flatnonzero(np.array(families) == "odd"):
        null[member] += draws.uniform(0.1, 0.3) * uneven(draws, odd)
    mixed = auditor_of(space, tried, null - null.mean(1, keepdims=True), families)
    changed = [s + 0.1 * uneven(draws, odd) for s in benign(20)]
    accused = [mixed.find(change(space, s), 0.01) for s in changed]
    assert sum(f.p_planted <= 0.01 for found in accused for f in found) <= 1
    named = [mixed.find(change(space, s + 0.6 * other), 0.01) for s in changed]
    assert sum(any(f.event == "contains('k')" for f in found) for found in named) >= 14


def test_a_shift_that_differs_from_stratum_to_stratum_is_not_planted(simulated):
    auditor, benign, tried = simulated
    space, draws = auditor.geometry, np.random.default_rng(0)
    mask, _ = planted(tried, "contains('k')")
    logits = torch.from_numpy(np.log(space.mass)).float()
    strata = torch.arange(POSITIONS) % 4
    rows = torch.zeros(POSITIONS, WIDTH)
    templates = Templates.of(rows, lambda r: logits.expand(len(r), -1), strata, space.rows)
    outside = ResidualFilter(space, tried)
    weights = stratum_weights(outside, templates.mass, np.ones(4))

    def seen(shift, pattern):
        """In four strata, with noise of each."""
        noise = 0.02 * draws.normal(size=(4, SIZE))
        by_stratum = shift + noise + pattern[:, None] * mask
        by_stratum -= by_stratum.mean(1, keepdims=True)
        return Change(by_stratum.mean(0), space.solve_moves(by_stratum), by_stratum)

    null = [seen(s, np.zeros(4)) for s in benign(99)]
    spreads = [spread_over_strata(outside, n.by_stratum, weights) for n in null]
    moves = np.stack([n.moves for n in null])
    changes = BenignChanges(np.stack([n.mean for n in null]), moves, np.stack(spreads), np.empty(0))
    judge = Auditor(space, templates, learn(outside, templates, changes))
    even, patchy = (
        [judge.find(seen(s, pattern), 0.01) for s in benign(10)]
        for pattern in (np.full(4, 0.2), np.array([0.8, 0.0, 0.0, 0.0]))
    )
    assert all(found[0].event == "contains('k')" for found in [*even, *patchy])
    assert all(found[0].p_planted == 0.01 for found in even)
    assert sum(found[0].p_planted <= 0.01 for found in patchy) == 0
    assert np.mean([found[0].likeness.stratum_spread for found in patchy]) == pytest.approx(
        np.std([0.8, 0, 0, 0], ddof=1), rel=0.1
    )


def test_a_finding_is_taken_out_of_each_stratum_as_strongly_as_it_is_there(simulated):
    auditor, benign, tried = simulated
    space, outside = auditor.geometry, auditor.residual_filter
    mask, index = planted(tried, "contains('k')")
    own = benign(1)[0]
    by_stratum = own + np.array([0.8, 1.1, 0.9, 1.2])[:, None] * (mask - mask.mean())
    seen = Change(by_stratum.mean(0), space.solve_moves(by_stratum), by_stratum)
    (found,) = auditor.find(change(space, seen.mean), 0.01)
    rest = auditor.without(seen, found)
    assert outside.strengths(rest.by_stratum)[:, index] == pytest.approx(np.zeros(4), abs=1e-9)
    assert rest.moves == pytest.approx(space.solve_moves(rest.by_stratum), abs=1e-9)
    # Log-ratios stay centred, as what is asked of them next takes them to be.
    assert rest.mean.mean() == pytest.approx(0, abs=1e-12)
    assert rest.mean == pytest.approx(rest.by_stratum.mean(0), abs=1e-9)


def test_without_a_null_shifts_are_listed_and_none_has_a_p(simulated):
    auditor, benign, tried = simulated
    space = HeadGeometry(auditor.geometry.rows, np.full(SIZE, 1 / SIZE))
    mask, _ = planted(tried, "contains('k')")
    first = find_uncalibrated(ResidualFilter(space, tried), benign(1)[0] + 0.2 * mask)[0]
    assert (first.event, first.p_shifted, first.interval) == ("contains('k')", None, None)


def test_every_hypothesis_is_an_event_with_just_its_tokens(words):
    tried = build_classes(words)
    for index in range(0, len(tried), 7):
        mask = parse_event(tried.names[index]).mask(words)
        assert mask.nonzero()[:, 0].tolist() == tried.token_ids(index)


def test_lists_are_hypotheses_by_their_names(words):
    tried = build_classes(
        words, {"mine": ["badoki", "Lumeno", *(t[1:] for t in words.texts[101:121:2])]}
    )
    index = tried.names.index("mine")
    assert all(words.text(i).strip() in "badoki lumeno" or i > 100 for i in tried.token_ids(index))


@pytest.mark.parametrize("kind", KINDS)
def test_the_shift_is_the_mean_log_ratio_whatever_the_architecture(kind):
    reference, suspect = tiny_loaded(kind), tiny_perturbed(kind)
    ids = RandomTokenContexts(300, 12, 3, seed=0).batch()
    weights = [[0.0, 1.0, 2.0] * 4] * 3
    shift = ShiftReader(reference, TokenContexts(ids.tolist(), "r", weights=weights)).read(suspect)
    with torch.no_grad():
        first, second = (
            logits_of(m.model, ids).double().log_softmax(-1) for m in (reference, suspect)
        )
    w = torch.tensor(weights).double()
    direct = ((second - first) * w[..., None]).sum(1) / w.sum(1)[:, None]
    direct -= direct.mean(1, keepdim=True)
    assert torch.allclose(shift.by_context.double(), direct, atol=1e-4)
    some = [p for p in range(12) if weights[0][p]][::4]
    kl = (first.exp() * (first - second)).sum(-1)[:, some].mean()
    assert shift.kl == pytest.approx(float(kl), rel=1e-3)
    assert torch.allclose(shift.suspect_mass, second[:, some].exp().mean((0, 1)), atol=1e-6)


def test_samples_that_the_reference_drew_are_read_of_the_suspect_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path))
    reference, suspect = tiny_loaded(), tiny_perturbed()
    key = fingerprint(reference.model)
    drawn = own_samples(reference, 4, 12, 0, key=key)
    read = ShiftReader(reference, drawn).read(suspect)
    known = ShiftReader(reference, drawn, key=key)
    passes = passes_of(reference.model)
    torch.testing.assert_close(known.read(suspect).by_context, read.by_context, rtol=0, atol=1e-4)
    assert not passes
    ShiftReader(reference, drawn, key="of other weights").read(suspect)
    assert passes


def test_a_decoding_suspect_shifts_as_its_processor_does():
    loaded = tiny_loaded()
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    target = parse_target("tilt(contains('o'), 0.7)").bind(vocabulary, loaded.tokenizer)
    contexts = TokenContexts(RandomTokenContexts(300, 10, 2, seed=0).batch().tolist(), "r")
    shift = ShiftReader(loaded, contexts).read(None, target).mean
    mask = target.events[0].mask_at(target.events[0].start())
    assert float(shift[mask].mean() - shift[~mask].mean()) == pytest.approx(0.7, abs=1e-5)
    assert isinstance(TiltLogitsProcessor(target), TiltLogitsProcessor)


def test_a_suspect_that_returns_nan_is_not_judged():
    reference, suspect = tiny_loaded(), tiny_loaded()
    suspect.model.get_output_embeddings().weight.data.fill_(float("nan"))
    contexts = TokenContexts(RandomTokenContexts(300, 8, 2, seed=0).batch().tolist(), "r")
    with pytest.raises(MeasurementError):
        ShiftReader(reference, contexts).read(suspect)


def test_the_word_that_a_tilt_waits_for_is_found_among_hundreds():
    loaded = worded_loaded()
    vocabulary = Vocabulary.from_tokenizer(loaded.tokenizer, loaded.model.config.vocab_size)
    words = probe_words(vocabulary, ["bado"], 160)
    samples = TokenContexts(RandomTokenContexts(500, 16, 8, seed=0).batch().tolist(), "r")
    probes = make_trigger_probes(loaded, words, samples)
    shift = ShiftReader(loaded, probes.contexts).read(loaded)
    tried = build_classes(vocabulary)
    outside = ResidualFilter(HeadGeometry(head_rows(loaded), shift.reference_mass.numpy()), tried)
    target = parse_target("when('kilu', tilt(contains('n'), 0.5))").bind(
        vocabulary, loaded.tokenizer
    )
    assert "kilu" in words
    placed = ShiftReader(loaded, probes.contexts).read(None, target).by_context.double().numpy()
    found = find_triggered_class(outside, placed, probes)
    assert words[found.word] == "kilu"
    assert tried.names[found.index] == "contains('n')"
    nothing = find_triggered_class(outside, shift.by_context.double().numpy(), probes)
    assert nothing.score < 0.1 < found.score


def head_rows(loaded):
    return HeadRows(loaded.model.get_output_embeddings().weight.detach())


def tilted(folder, out, target, by="edit"):
    recipe = recipe_of(
        str(folder / "model"), {"target": target, "by": by, "contexts": "own:24"}, {}
    )
    run_tilt(recipe, out)
    return str(out)


def test_what_tilt_plants_audit_names(pack, tmp_path):
    suspect = tilted(pack, tmp_path / "t", "tilt(contains('k'), 0.5)")
    record = run_audit(
        suspect, str(pack / "model"), tmp_path / "out", null=pack / "null", fpr=0.025
    )
    assert record.verdict == "found"
    assert record.findings[0].event == "contains('k')"
    assert record.findings[0].strength_nats == pytest.approx(0.5, abs=0.05)
    assert record.findings[0].where == "everywhere"
    assert record.findings[0].mass.suspect > record.findings[0].mass.reference
    saved = json.loads((tmp_path / "out" / "result.json").read_text())
    assert saved["verdict"] == "found"
    assert saved["null"]["models"] == 39


class Heard(NoProgress):
    """What a progress was told: of each part, how far it is and how far it goes."""

    def __init__(self):
        self.parts = {}

    def begin(self, title, total):
        self.parts[title] = self.at = [0, total]

    def advance(self, done, note=""):
        assert done > self.at[0]
        self.at[0] = done


def test_the_reference_itself_is_accused_of_nothing(pack):
    reference, heard = str(pack / "model"), Heard()
    record = run_audit(reference, reference, null=pack / "null", fpr=0.025, progress=heard)
    # What a pack knows was learnt when it was made.
    assert "learning what is benign" not in heard.parts
    assert all(done == total for done, total in heard.parts.values())
    assert (record.verdict, record.findings, record.triggers) == ("none", [], [])
    assert record.kl_nats == 0


def test_without_a_pack_the_verdict_is_uncalibrated(pack, tmp_path):
    suspect = tilted(pack, tmp_path / "t", "tilt(contains('k'), 0.5)")
    record = run_audit(suspect, str(pack / "model"), contexts="random")
    assert record.verdict == "uncalibrated"
    assert record.findings[0].event == "contains('k')"
    assert record.findings[0].p_shifted is None


def test_a_small_tilt_is_certified_and_a_larger_one_is_not(pack, tmp_path):
    suspect = tilted(pack, tmp_path / "t", "tilt(contains('k'), 0.3)")
    events = ["contains('k')", "contains('s')"]
    record = run_audit(suspect, str(pack / "model"), events=events, within=0.1)
    assert [c.certified for c in record.certificates] == [False, True]
    assert record.certificates[0].strength_nats == pytest.approx(0.3, abs=0.05)


def test_certificates_share_the_error_and_say_what_they_assume(pack):
    reference = str(pack / "model")
    events = ["contains('k')", "contains('s')"]
    record = run_audit(reference, reference, events=events, within=0.1)
    for certificate in record.certificates:
        assert certificate.certified
        assert certificate.error == pytest.approx(0.05 / 2)
        unseen = 1 - 0.025 ** (1 / certificate.contexts)
        low, high = certificate.interval
        assert high == pytest.approx(-low, rel=0.05)
        assert 0.9 * unseen < high < 1.5 * unseen  # Contexts do not weigh the same.
        assert certificate.largest_nats == 1.0


@pytest.mark.parametrize(("count", "within"), [(1, 5.0), (20, 0.1)])
def test_too_few_contexts_to_certify_anything_are_refused_before_they_are_read(
    pack, count, within, monkeypatch
):
    monkeypatch.setattr(LogitsAccess, "_shift", lambda *_: pytest.fail("it was read"))
    reference = str(pack / "model")
    given = {"events": ["contains('k')"], "within": within, "contexts": f"own:{count}"}
    with pytest.raises(ConfigError, match=f"^.*{count} context") as caught:
        run_audit(reference, reference, **given)
    assert "--within" in caught.value.fix


def test_an_event_that_is_none_is_refused_before_anything_is_read(pack, monkeypatch):
    monkeypatch.setattr(LogitsAccess, "_shift", lambda *_: pytest.fail("it was read"))
    with pytest.raises(TiltError, match="containz"):
        run_audit(str(pack / "model"), str(pack / "model"), events=["containz('k')"])


def test_a_trigger_is_named_with_its_word(pack, tmp_path):
    words = load_pack(pack / "null").probes.words
    suspect = tilted(pack, tmp_path / "t", f"when({words[9]!r}, tilt(contains('k'), 1))", "decode")
    options = {"null": pack / "null", "fpr": 0.025, "decodes": True}
    record = run_audit(suspect, str(pack / "model"), **options)
    assert record.verdict == "found"
    assert record.triggers[0].word == words[9]
    assert record.triggers[0].event == "contains('k')"
    assert record.triggers[0].p_word < 0.01


def test_another_tokenizer_is_refused_and_nothing_is_written(pack, tmp_path):
    other = tiny_loaded()
    other.model.save_pretrained(tmp_path / "other")
    other.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(VocabularyError):
        run_audit(str(tmp_path / "other"), str(pack / "model"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": []}', '{"a": [1]}', '{"description": "no list"}']
)
def test_files_that_are_no_word_lists_are_refused(tmp_path, text):
    (tmp_path / "lists.json").write_text(text)
    with pytest.raises(ConfigError):
        read_lists(tmp_path / "lists.json")


def test_the_command_line_says_what_was_found(pack, tmp_path):
    suspect = tilted(pack, tmp_path / "t", "tilt(contains('k'), 0.5)")
    given = ["--reference", str(pack / "model"), "--null", str(pack / "null"), "--fpr", "0.025"]
    done = CliRunner().invoke(app, ["audit", suspect, *given])
    assert done.exit_code == 0, done.output
    assert "tilted" in done.output
    assert "contains('k')" in done.output
    done = CliRunner().invoke(app, ["audit", suspect, *given, "--json"])
    assert json.loads(done.stdout)["findings"][0]["event"] == "contains('k')"
    done = CliRunner().invoke(
        app, ["audit", "plan", "--strength", "0.7033", "--mass", "0.01", "--json"]
    )
    assert json.loads(done.stdout)["least"] == 1177
