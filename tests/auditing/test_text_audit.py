"""Telling a tilt from text: error rates by simulation, and a server on loopback that fails."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.completions import CompletionsServer
from tests.tiny import worded_loaded
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.text.findings import clearest_classes
from tiltlm.auditing.text.sample_size import plan_text
from tiltlm.auditing.text.sequential_test import GRID, TiltEvidence, confidence_sequence
from tiltlm.auditing.text.tilted_masses import TiltedMasses
from tiltlm.auditing.text.tolerance import tolerances
from tiltlm.commands.audit import run_audit
from tiltlm.commands.tilt import run_tilt
from tiltlm.errors import ConfigError, EventError, ModelError, VocabularyError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import load, load_tokenizer
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.models.structure import context_length
from tiltlm.recipes.tilt import recipe_of


def audit_text(*arguments, **options):
    return run_audit(*arguments, access="text", **options)


def tilted_mass(p, strength):
    return p * math.exp(strength) / (1 - p + p * math.exp(strength))


@pytest.mark.parametrize("tolerance", [0.0, 0.2])
def test_one_token_has_an_expected_e_value_of_one_at_the_edge_of_the_null(tolerance):
    p = 0.03
    total = 0.0
    for hit in (0, 1):
        evidence = TiltEvidence(np.array([tolerance]))
        evidence.update(np.array([[float(hit)]]), np.array([[p]]))
        upward = np.exp(evidence._log_ratios[0, : evidence._log_ratios.shape[1] // 2])
        q = tilted_mass(p, tolerance)
        total += upward * (q if hit else 1 - q)
    assert total == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("largest", [0.0, 0.5, 4.0])
def test_evidence_is_the_sum_of_log_likelihood_ratios(largest):
    draws = np.random.default_rng(0)
    tolerance = largest * draws.random(6)
    p = draws.random((1500, 6)) ** 4
    p[:40], p[40:80] = 1e-12, 1 - 1e-12
    hits = (draws.random(p.shape) < p).astype(float)
    evidence = TiltEvidence(tolerance)
    evidence.update(hits[:700], p[:700])
    evidence.update(hits[700:], p[700:])
    exact = p.astype(np.longdouble)
    for number, step in enumerate([*GRID, *(-g for g in GRID)]):
        edge = np.sign(step) * tolerance.astype(np.longdouble)
        ratios = hits * step - np.log1p(exact * np.expm1(edge + step))
        expected = (ratios + np.log1p(exact * np.expm1(edge))).sum(0).astype(float)
        np.testing.assert_allclose(evidence._log_ratios[:, number], expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("strength", [-0.3, 0.0, 0.3])
def test_within_the_tolerance_the_alarm_stays_silent_however_often_one_looks(strength):
    draws = np.random.default_rng(0)
    p = draws.uniform(0.01, 0.3, size=(1500, 300))
    odds = p * math.exp(strength)
    hits = (draws.random(p.shape) < odds / (1 - p + odds)).astype(float)
    evidence = TiltEvidence(np.full(300, 0.3))
    for begin in range(0, 1500, 30):
        evidence.update(hits[begin : begin + 30], p[begin : begin + 30])
    # At the edge the test is at its least conservative: at most 5 % of 300, and luck.
    assert (evidence.p <= 0.05).sum() <= 15 + 3 * 15**0.5


def test_a_mass_of_one_per_cent_doubled_is_decided_within_twice_the_bound():
    draws = np.random.default_rng(0)
    needed = []
    for _ in range(50):
        evidence = TiltEvidence(np.zeros(1))
        while evidence.log_e[0] < math.log(100):
            hits = draws.random((20, 1)) < 0.02
            evidence.update(hits.astype(float), np.full((20, 1), 0.01))
        needed.append(evidence.tokens)
    bound = plan_text(math.log(2 * 0.99 / 0.98), 0.01, 0.01).least
    assert np.mean(needed) <= 2 * bound
    # Nor does it beat what no test can: the mean, within its own error.
    assert np.mean(needed) >= bound - 3 * np.std(needed) / 50**0.5


def test_the_plan_for_a_fixed_size_has_the_power_that_it_says():
    from scipy import stats

    plan = plan_text(0.7, 0.02, error=0.01, power=0.9)
    draws = np.random.default_rng(0).binomial(plan.fixed, plan.tilted_mass, size=4000)
    limit = plan.fixed * 0.02 + stats.norm.isf(0.005) * (plan.fixed * 0.02 * 0.98) ** 0.5
    assert (draws > limit).mean() == pytest.approx(0.9, abs=0.03)


def test_confidence_sequences_cover_and_narrow():
    draws = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(60):
        p = draws.uniform(0.05, 0.3, size=800)
        hits = (draws.random(800) < tilted_mass_of(p, 0.5)).astype(float)
        _, (low, high) = confidence_sequence(hits, p)
        covered += low <= 0.5 <= high
        widths.append(high - low)
        _, (first, last) = confidence_sequence(hits[:100], p[:100])
        assert last - first > high - low
    assert covered >= 55


def tilted_mass_of(p, strength):
    odds = p * np.exp(strength)
    return odds / (1 - p + odds)


@pytest.mark.parametrize("strength", [-6.5, -2.6, -0.5, 0.0, 0.13, 0.7, 3.1, 6.4])
def test_the_tilt_that_a_mean_mass_speaks_for_is_the_one_that_made_it(strength):
    draws = np.random.default_rng(0)
    places = draws.beta(0.1, 1.0, size=(500, 3)).clip(1e-9, 1 - 1e-9)
    masses = TiltedMasses(3)
    masses.add(places[:200])
    masses.add(places[200:])
    found = masses.strengths(tilted_mass_of(places, strength).mean(0)[None])
    # Beyond six nats it is a line.
    within = 1e-4 if abs(strength) < 6 else 0.1
    assert found[0] == pytest.approx([strength] * 3, abs=within)


def test_a_strength_from_text_that_is_read_afterwards_is_right_where_that_at_the_stop_is_not():
    p, strength, runs = 0.05, 1.0, 150
    draws = np.random.default_rng(0)
    evidence = TiltEvidence(np.zeros(runs))
    written, at_stop, fresh = np.zeros((0, runs)), {}, []
    while len(at_stop) < runs:
        hits = (draws.random((20, runs)) < tilted_mass_of(p, strength)) * 1.0
        written = np.concatenate([written, hits])
        evidence.update(hits, np.full(hits.shape, p))
        for run in np.flatnonzero(evidence.p <= 0.01):
            if run not in at_stop:
                likely = np.full(len(written), p)
                at_stop[run] = confidence_sequence(written[:, run], likely)[0]
                after = (draws.random(len(written)) < tilted_mass_of(p, strength)) * 1.0
                fresh.append(confidence_sequence(after, likely)[0])
    assert np.mean(list(at_stop.values())) > 1.08 * strength
    # Two standard errors of a mean of 150 are six hundredths.
    assert np.mean(fresh) == pytest.approx(strength, abs=0.07)


def test_no_class_that_is_not_decided_stands_in_for_one_that_is():
    draws = np.random.default_rng(0)
    swapped = 0
    for _ in range(400):
        size = draws.integers(4, 12)
        sets = np.zeros((3, 24))
        sets[0, :size], sets[1, : size + draws.integers(0, 4)], sets[2, 20:] = 1, 1, 1
        classes = TokenClasses(
            ("a longer name", "short", "c"), ("form",) * 3, sparse.csr_matrix(sets)
        )
        evidence = TiltEvidence(np.zeros(3))
        evidence.largest_log_e = draws.uniform(0, 12, 3)
        order = clearest_classes(evidence, classes, decided_at=6.0)
        best = evidence.largest_log_e.max()
        first = evidence.largest_log_e[order[0]]
        assert (first >= 6) == (best >= 6)
        assert first >= best - 3
        swapped += order[0] != evidence.largest_log_e.argmax()
    # Simpler names still are taken where both are decided, or neither is.
    assert swapped > 30


class PackOfMasses:
    """Of a pack, what tolerances are made of: masses, and families."""

    def __init__(self, masses, families=4):
        self.masses = torch.from_numpy(masses)
        self.members = [{"family": f"{n % families}"} for n in range(len(masses))]


ONE_CLASS = TokenClasses(("one",), ("event",), sparse.csr_matrix(np.array([[1.0, 0.0]])))


def tolerance_of(places, tilts, rate):
    """Of a class with a probability at each place, by members that tilt it."""
    masses = np.array([tilted_mass_of(places, tilt).mean() for tilt in tilts])
    reference = TiltedMasses(1)
    reference.add(places[:, None])
    return tolerances(PackOfMasses(np.stack([masses, 1 - masses], 1)), ONE_CLASS, reference, rate)


def test_a_class_that_is_likely_at_few_places_is_tolerated_by_its_odds_there():
    # Half of the rate is for benign changes, half for luck: 1 % in all.
    draws, rate, runs = np.random.default_rng(0), 0.005, 150

    def places(*shape):
        return np.where(draws.random(shape) < 0.1, 0.7, 0.005)

    reference = places(2000)
    tolerated = np.array(
        [tolerance_of(reference, draws.normal(0, 0.5, 199), rate)[0] for _ in range(runs)]
    )
    suspects, evidence = draws.normal(0, 0.5, runs), TiltEvidence(tolerated)
    for _ in range(10):
        read = places(1000, runs)
        evidence.update((draws.random(read.shape) < tilted_mass_of(read, suspects)) * 1.0, read)
    # 1.5 are expected at most; with log-odds of mean masses as tolerances it is about eleven.
    assert (evidence.p <= rate).sum() <= 5
    # The tolerance is the quantile of the tilts themselves.
    assert np.median(tolerated) == pytest.approx(0.5 * 2.81, abs=0.25)


def test_the_tolerance_is_the_member_that_one_more_exceeds_with_the_rate():
    tilts, places = np.linspace(0.01, 0.59, 59), np.full(50, 0.1)
    # Of 60, three are at least as far as the 57th of 59.
    assert tolerance_of(places, tilts, 0.05)[0] == pytest.approx(0.57, abs=0.02)
    assert tolerance_of(places, tilts, 1 / 60)[0] == pytest.approx(0.59, abs=0.02)
    with pytest.raises(ConfigError, match="vouch"):
        tolerance_of(places, tilts, 1 / 61)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A reference, and one that writes words with k more often."""
    folder = tmp_path_factory.mktemp("text")
    loaded = worded_loaded()
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    given = {"target": "tilt(contains('k'), 1.0)", "by": "edit", "contexts": "own:24"}
    run_tilt(recipe_of(str(folder / "model"), given, {}), folder / "tilted")
    return str(folder / "model"), str(folder / "tilted")


def test_from_text_alone_the_event_is_named_among_all_classes(models, tmp_path):
    reference, suspect = models
    record = audit_text(suspect, reference, tmp_path / "out", budget=12_000)
    assert record.verdict == "found"
    vocabulary = Vocabulary.from_tokenizer(load_tokenizer(reference))
    truth = {i for i, text in enumerate(vocabulary.texts) if "k" in text}
    named = set(record.findings[0].token_ids)
    assert len(named & truth) / len(named | truth) >= 0.5
    low, high = record.findings[0].interval
    assert low < 1.0 < high
    assert not record.partial
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["tokens_read"] < 12_000
    # As much again was read for strengths, to the answer.
    decided_by = written["tokens_read"] - written["fresh_tokens"]
    assert decided_by <= written["fresh_tokens"] < decided_by + 64
    assert record.course[-1][0] == decided_by
    means = [finding.p_means for finding in record.findings]
    assert all("not taken out" in text for text in means[1:])
    assert "not taken out" not in means[0]


def test_where_the_budget_ends_when_it_is_decided_the_record_says_where_strengths_are_from(models):
    reference, suspect = models
    record = audit_text(suspect, reference, events=["contains('k')"], budget=1024)
    assert record.verdict == "found"
    assert record.fresh_tokens == 0
    assert any("too large" in note for note in record.notes)


def test_the_reference_itself_spends_the_budget_and_is_not_accused(models):
    reference, _ = models
    record = audit_text(reference, reference, events=["contains('k')"], budget=4000)
    assert record.verdict == "none"
    assert record.tokens_read >= 4000
    assert record.findings[0].p > 0.01


def test_a_model_here_draws_as_many_answers_again_as_it_has_within_the_budget(models, monkeypatch):
    reference, _ = models
    from tiltlm.auditing.text import suspects

    write, asked = suspects.LocalTextSuspect.write, []

    def counted(self, count, length, seed):
        asked.append((count, seed))
        return write(self, count, length, seed)

    monkeypatch.setattr(suspects.LocalTextSuspect, "write", counted)
    # What is read has the first token too.
    answer = context_length(load(reference).model) - 1
    record = audit_text(reference, reference, events=["contains('k')"], budget=110 * answer)
    assert asked == [(16, 0), (16, 16), (32, 32), (46, 64)]
    assert record.tokens_read == 110 * answer


def test_events_and_options_that_make_no_sense_are_refused(models, tmp_path):
    reference, suspect = models
    with pytest.raises(EventError):
        audit_text(suspect, reference, tmp_path / "out", events=["contains('§§')"])
    with pytest.raises(ConfigError):
        audit_text(suspect, reference, tmp_path / "out", fpr=2.0)
    assert not (tmp_path / "out").exists()


class Server(CompletionsServer):
    """Writes the same few texts by turns."""

    def __init__(self, texts, faults=(), finish="length"):
        super().__init__(faults)
        self._texts, self._finish = texts, finish

    def choice(self, asked, number, fault):
        text = "" if fault == "refused" else self._texts[number % len(self._texts)]
        return {"text": text, "finish_reason": self._finish, "logprobs": None}


FIRST_REQUESTS = 4
"""In which a server is asked to count tokens."""

TEXTS = [" doki baki luki kiba kido", " noki menoki taki kilu"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("tiltlm.auditing.http.FIRST_PAUSE_SECONDS", 0.01)


def test_an_endpoint_is_asked_and_faults_on_the_way_do_no_harm(models):
    reference, _ = models
    with Server(TEXTS, faults=(None, 429, 503, "truncated", None, "refused")) as server:
        record = audit_text(
            "suspect", reference, endpoint=server.url, events=["contains('k')"], budget=3000
        )
    assert record.verdict == "found"
    assert record.empty_answers > 0  # refusals stay in the denominator
    assert record.answers > record.empty_answers
    assert record.findings[0].hits > record.findings[0].expected


class ModelServer(CompletionsServer):
    """Draws from a model, and says how many tokens it read and wrote.

    Args:
        folder: of the model.
        before: tokens that it puts before each prompt.
        letters: whether its tokenizer makes a token of every letter.
        hidden: how many times as many tokens as it shows it says that it wrote.
        temperature: whatever is asked for.
    """

    def __init__(self, folder, *, before=0, letters=False, hidden=1, temperature=1.0):
        super().__init__()
        self._loaded = load(folder)
        self._loaded.model.cpu()  # a machine of its own
        self._before, self._letters, self._hidden = before, letters, hidden
        self._temperature = temperature

    def _count(self, text):
        if self._letters:
            return len(text)
        return len(self._loaded.tokenizer(text)["input_ids"])

    def choice(self, asked, number, fault):
        prompt = self._loaded.tokenizer(asked["prompt"], return_tensors="pt")["input_ids"]
        options = SamplingOptions(seed=asked["seed"], temperature=self._temperature)
        drawn = sample(self._loaded.model, prompt, asked["max_tokens"], options)[0].tolist()
        text = self._loaded.tokenizer.decode(drawn, skip_special_tokens=True)
        return {"text": text, "finish_reason": "length"}

    def usage(self, asked, choice):
        return {
            "prompt_tokens": self._before + self._count(asked["prompt"]),
            "completion_tokens": self._hidden * self._count(choice["text"]),
            "total_tokens": None,
        }


def audit_server(server, reference, **options):
    with server:
        options = {"budget": 1000, "events": ["contains('k')"], **options}
        return audit_text("suspect", reference, endpoint=server.url, **options)


def test_a_server_that_counts_as_the_reference_does_is_taken_at_its_word(models):
    reference, _ = models
    record = audit_server(ModelServer(reference), reference)
    assert record.verdict == "none"
    assert [note for note in record.notes if "assumed" in note or "temperature" in note] == []
    record = audit_server(ModelServer(reference, before=1), reference)
    assert any("a token more" in note for note in record.notes)


def test_a_server_with_a_system_prompt_is_refused(models):
    reference, _ = models
    with pytest.raises(ModelError, match="puts 12 tokens before every prompt"):
        audit_server(ModelServer(reference, before=12), reference)


def test_a_server_with_other_tokens_is_refused(models):
    reference, _ = models
    with pytest.raises(VocabularyError, match="cuts it into"):
        audit_server(ModelServer(reference, letters=True), reference)


def test_a_server_that_shows_a_part_of_what_it_writes_is_refused(models):
    reference, _ = models
    with pytest.raises(VocabularyError, match="wrote"):
        audit_server(ModelServer(reference, hidden=3), reference)


def test_a_server_that_writes_the_same_again_and_again_is_refused(models):
    reference, _ = models
    with pytest.raises(ModelError, match="answers are the same"):
        audit_server(Server([3 * TEXTS[0]]), reference)


def test_what_cannot_be_seen_of_a_server_is_noted(models):
    reference, _ = models
    record = audit_server(Server([3 * text for text in TEXTS]), reference)
    assert any("assumed" in note for note in record.notes)
    assert any("answers 2 differ" in note for note in record.notes)


def test_the_temperature_of_a_server_is_seen_in_what_it_writes(models):
    reference, _ = models
    record = audit_server(ModelServer(reference, temperature=0.5), reference)
    noted = next(note for note in record.notes if "at a temperature of" in note)
    assert float(noted.split("temperature of ")[1][:4]) == pytest.approx(0.5, abs=0.1)


def test_a_text_that_ends_at_once_is_a_draw_of_its_end(models):
    reference, _ = models
    record = audit_server(Server(["", TEXTS[0], TEXTS[1]], finish="stop"), reference, budget=200)
    tokenizer = load_tokenizer(reference)
    lengths = [1 + len(tokenizer(text)["input_ids"]) for text in ("", *TEXTS)]
    assert record.empty_answers == 0
    assert record.tokens_read == sum(
        lengths[(number + FIRST_REQUESTS) % 3] for number in range(record.answers)
    )


def test_an_endpoint_that_is_not_there_is_one_clear_error(models, tmp_path):
    reference, _ = models
    with Server(TEXTS) as server:
        gone = server.url
    with pytest.raises(ModelError, match="no answer"):
        audit_text("suspect", reference, tmp_path / "out", endpoint=gone, events=["contains('k')"])
    assert not (tmp_path / "out").exists()


def test_an_audit_that_is_cut_off_keeps_what_it_has_and_says_so(models, monkeypatch):
    reference, _ = models
    from tiltlm.auditing.text import suspects

    write, count = suspects.LocalTextSuspect.write, 0

    def once(self, *arguments):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return write(self, *arguments)

    monkeypatch.setattr(suspects.LocalTextSuspect, "write", once)
    record = audit_text(reference, reference, events=["contains('k')"])
    assert record.partial
    assert record.answers == 32
    assert "interrupted" in record.notes[0]


def test_a_suspect_that_only_refuses_is_not_judged(models):
    reference, _ = models
    with Server([""]) as server, pytest.raises(ModelError, match="empty"):
        audit_text("suspect", reference, endpoint=server.url, events=["contains('k')"])
