"""Naming a class from the likeliest tokens: closed forms, error rates, a server on loopback."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.completions import CompletionsServer
from tests.tiny import three_syllables
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.logprobs.auditor import TopKAuditor
from tiltlm.auditing.logprobs.findings import find_classes
from tiltlm.auditing.logprobs.null import TopKNull
from tiltlm.auditing.logprobs.regression import TopKLogRatios, TopKRegression
from tiltlm.auditing.shifts.family_covariances import covariances_without
from tiltlm.auditing.shifts.place_covariance import (
    TOKEN_NOISE,
    PlaceCovariance,
    em_round,
    learn_place_covariance,
)
from tiltlm.cli.main import app
from tiltlm.commands.audit import run_audit
from tiltlm.commands.tilt import run_tilt
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.contexts.sources import make_contexts
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS
from tiltlm.errors import ConfigError, ModelError, VocabularyError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import load
from tiltlm.recipes.tilt import recipe_of

SIZE, WIDTH, POSITIONS, CONTEXTS = 600, 6, 400, 20


def as_rows(matrix):
    return HeadRows(torch.from_numpy(matrix))


def audit_logprobs(*arguments, **options):
    return run_audit(*arguments, access="logprobs", **options)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.fixture(scope="module")
def world():
    """Classes over 600 tokens, a head, and a reference's logits at 400 positions."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(SIZE, WIDTH))
    hidden = draws.normal(size=(POSITIONS, WIDTH))
    tried = build_classes(three_syllables(SIZE))
    return tried, rows, hidden @ rows.T + draws.normal(size=(POSITIONS, SIZE))


def shown(logits, change, top=20):
    """The likeliest tokens of a suspect whose logits are changed."""
    reference, suspect = log_softmax(logits), log_softmax(logits + change)
    tokens = np.argsort(-suspect, axis=1)[:, :top]
    contexts = np.arange(len(logits)) * CONTEXTS // len(logits)
    return TopKLogRatios(tokens, np.take_along_axis(suspect - reference, tokens, 1), contexts)


def strength_of(lens, index, ratios):
    """Nats, by generalised least squares."""
    own = lens.hypotheses.members[index]
    return float(
        (own @ lens.token_sums(ratios))[0] / (own @ lens.token_sums(lens.indicator(index)))[0]
    )


def moving(draws, count, sizes):
    """(count, WIDTH) Δh of places, of other size in each direction."""
    return draws.normal(size=(count, WIDTH)) * sizes


@pytest.mark.parametrize("top", [2, 5, 20])
def test_a_tilt_is_recovered_exactly_however_few_tokens_are_shown(world, top):
    tried, rows, logits = world
    index = tried.names.index("contains('k')")
    seen = shown(logits, 0.37 * tried.members[index].toarray()[0], top)
    lens = TopKRegression(seen, tried, PlaceCovariance.of(as_rows(rows)))
    assert strength_of(lens, index, seen.ratios) == pytest.approx(0.37, abs=1e-4)
    # Taken out, nothing is left of any class.
    rest = seen.minus(0.37 * lens.indicator(index))
    left = tried.members @ lens.token_sums(rest.ratios) / np.maximum(lens.information, 1)
    assert np.abs(left).max() < 1e-4


def test_places_that_show_fewer_tokens_count_by_those_they_show(world):
    tried, rows, logits = world
    index = tried.names.index("contains('k')")
    change = 0.3 * tried.members[index].toarray()[0]
    change = change + 0.1 * np.random.default_rng(5).normal(size=logits.shape)
    few, many = (shown(logits, change, top) for top in (12, 20))
    tokens, ratios = many.tokens.copy(), many.ratios.copy()
    tokens[:, 12:], ratios[:, 12:] = -1, 99.0
    padded = TopKLogRatios(tokens, ratios, many.contexts)
    moves = PlaceCovariance.of(as_rows(rows))
    found = [strength_of(TopKRegression(s, tried, moves), index, s.ratios) for s in (few, padded)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert few.scale == pytest.approx(padded.scale)


def test_places_with_tokens_that_were_never_trained_do_not_decide_which_classes_are_judged(world):
    tried, _, logits = world
    index = tried.names.index("contains('k')")
    own = tried.members[index].toarray()[0] > 0
    # Twenty tokens have the same row, and only at two places are they the likeliest. A body can
    # move all others by more directions than tokens are shown.
    never = np.concatenate([np.flatnonzero(own)[:6], np.flatnonzero(~own)[:14]])
    rows, logits = np.random.default_rng(1).normal(size=(SIZE, 16 * WIDTH)), logits.copy()
    rows[never] = 0.0
    logits[:, never] = -9.0
    logits[np.ix_([3, 250], never)] = 9.0
    seen = shown(logits, 0.37 * own)
    lens = TopKRegression(seen, tried, PlaceCovariance.of(as_rows(rows)))
    assert lens.testable[index]
    contexts = np.sort(lens.information_by_context[index])[::-1]
    assert contexts[:2].sum() < 0.5 * contexts.sum()
    assert strength_of(lens, index, seen.ratios) == pytest.approx(0.37, abs=1e-4)


def test_the_covariance_of_benign_moves_is_learnt_from_the_likeliest_tokens(world):
    _, rows, logits = world
    draws = np.random.default_rng(6)
    sizes = np.array([2.0, 1.0, 0.5, 0.5, 0.25, 0.1])
    rows = rows - rows.mean(0)
    members = [shown(logits, 0.3 * moving(draws, POSITIONS, sizes) @ rows.T) for _ in range(8)]
    ids, ratios = (np.stack([getattr(m, n) for m in members]) for n in ("tokens", "ratios"))
    found = learn_place_covariance(ids, ratios, as_rows(rows))
    truth = np.diag((0.3 * sizes / np.mean([m.scale for m in members])) ** 2)
    assert np.linalg.norm(found - truth) < 0.1 * np.linalg.norm(truth)


def test_where_bodies_move_a_tilt_is_found_among_what_they_do_not(world):
    tried, rows, logits = world
    index = tried.names.index("contains('k')")
    mask = tried.members[index].toarray()[0]
    sizes = np.array([2.0, 1.0, 0.5, 0.5, 0.25, 0.1])
    covariance = np.diag(sizes**2)
    off = {"known": [], "unknown": []}
    for seed in range(20):
        draws = np.random.default_rng(seed)
        # Fewer tokens than directions, so that a place alone cannot tell them from a tilt.
        seen = shown(logits, 0.2 * mask + 0.3 * moving(draws, POSITIONS, sizes) @ rows.T, top=5)
        for name, moves in (
            ("known", PlaceCovariance.of(as_rows(rows), covariance)),
            ("unknown", PlaceCovariance.of(as_rows(rows))),
        ):
            found = strength_of(TopKRegression(seen, tried, moves), index, seen.ratios)
            off[name].append(found - 0.2)
    known, unknown = (np.sqrt(np.mean(np.square(off[n]))) for n in ("known", "unknown"))
    assert known < 0.8 * unknown


def test_benign_changes_are_accused_as_often_as_is_said(world):
    tried, rows, logits = world
    draws = np.random.default_rng(3)

    def benign(count):
        return draws.normal(size=(count, WIDTH)) @ rows.T * 0.1 + draws.normal(
            size=(count, SIZE)
        ) * draws.uniform(0.02, 0.1, size=(count, 1))

    def seen(shift):
        return shown(logits, shift + 0.1 * draws.normal(size=logits.shape))

    members, moves = (
        [seen(shift) for shift in benign(59)],
        PlaceCovariance.of(as_rows(rows)),
    )
    null = TopKNull(members, shown(logits, 0.0), tried, moves, ["one"] * 59)
    accused = 0
    for shift in benign(40):
        auditor = TopKAuditor(seen(shift), tried, moves, null)
        accused += auditor.best(auditor.log_ratios).p_shifted <= 0.1
    assert accused <= 10  # of 40 at a rate of 0.1: four, and luck


def test_a_round_of_em_by_pairs_of_tokens_is_the_round_by_positions(world):
    _, rows, logits = world
    draws = np.random.default_rng(7)
    rows = rows - rows.mean(0)
    seen = shown(logits, 0.3 * draws.normal(size=(POSITIONS, WIDTH)) @ rows.T, top=5)
    begun = np.diag(draws.uniform(0.1, 2.0, WIDTH))
    changes = seen.ratios - seen.ratios.mean(1, keepdims=True)
    # The second moment of Δh at a position, given what is shown there.
    loadings = rows[seen.tokens] - rows[seen.tokens].mean(1, keepdims=True)
    total = np.zeros_like(begun)
    for loading, change in zip(loadings, changes, strict=True):
        marginal = loading @ begun @ loading.T + TOKEN_NOISE**2 * np.eye(5)
        gain = begun @ loading.T @ np.linalg.inv(marginal)
        mean = gain @ change
        total += np.outer(mean, mean) + begun - gain @ loading @ begun
    found = em_round(
        *(torch.from_numpy(of) for of in (begun, rows.astype(np.float32), seen.tokens, seen.ratios))
    )
    assert found.numpy() == pytest.approx(total / POSITIONS, rel=1e-3, abs=1e-4)


def test_suspects_of_a_family_that_the_pack_lacks_are_accused_as_often_as_is_said():
    tried = build_classes(three_syllables(300))
    accused = np.sum([accused_of_new_families(tried, seed) for seed in (2, 3, 4)], axis=0)
    # Of 30 at a rate of 0.2: six, and luck. With a covariance that knows each member's own family,
    # but not the suspect's, it is three times as many.
    assert accused[0] <= 11
    assert accused[1] >= 15


def accused_of_new_families(tried, seed, width=24, places=120, top=8):
    """How many of ten are at a rate of 0.2: by a Σ without each member's family, and with it."""
    draws = np.random.default_rng(seed)
    rows = draws.normal(size=(tried.members.shape[1], width))
    rows -= rows.mean(0)
    logits = 2 * draws.normal(size=(places, len(rows)))

    def benign(family):
        moves = draws.normal(size=(places, 2)) @ family
        noise = 0.01 * draws.normal(size=logits.shape)
        return shown(logits, 0.3 * moves @ rows.T + noise, top)

    def families(count):
        return draws.normal(size=(count, 2, width)) / width**0.5

    members = [benign(family) for family in families(8) for _ in range(5)]
    suspects = [benign(family) for family in families(10)]
    names = [str(number) for number in range(8) for _ in range(5)]
    ids, ratios = (np.stack([getattr(m, n) for m in members]) for n in ("tokens", "ratios"))
    learnt = learn_place_covariance(ids, ratios, as_rows(rows))
    moves = PlaceCovariance.of(as_rows(rows), learnt)
    found = []
    for without in (covariances_without(ids, ratios, names, as_rows(rows)), None):
        null = TopKNull(members, shown(logits, 0.0, top), tried, moves, names, without)
        best = [TopKAuditor(s, tried, moves, null).best(s).p_shifted for s in suspects]
        found.append(sum(p <= 0.2 for p in best))
    return found


def uneven(logits, mask, strength, contexts):
    """What a class does that rises in some contexts alone."""
    where = np.arange(len(logits)) * CONTEXTS // len(logits) < contexts
    return strength * where[:, None] * mask


def test_an_even_tilt_is_planted_and_a_shift_in_a_few_contexts_is_a_change(world):
    tried, rows, logits = world
    mask = tried.members[tried.names.index("contains('k')")].toarray()[0]
    draws = np.random.default_rng(11)

    def benign(added=0.0):
        moves = 0.1 * draws.normal(size=(POSITIONS, WIDTH)) @ rows.T
        own = draws.normal(size=SIZE) * 0.05 + 0.05 * draws.normal(size=logits.shape)
        return shown(logits, moves + own + added)

    moves = PlaceCovariance.of(as_rows(rows))
    names = [str(number % 8) for number in range(39)]
    null = TopKNull([benign() for _ in names], shown(logits, 0.0), tried, moves, names)

    def found(added):
        auditor = TopKAuditor(benign(added), tried, moves, null)
        return [(f, f.is_planted(0.05)) for f in find_classes(auditor, 0.05)]

    (tilt, accused), *_ = found(0.5 * mask)
    assert accused
    assert tilt.strength == pytest.approx(0.5, abs=0.1)
    assert tilt.likeness.context_spread < 0.1
    for strength, contexts in ((2.0, 5), (1.0, 10), (-1.0, 10), (1.0, 7)):
        everything = found(uneven(logits, mask, strength, contexts))
        first = everything[0][0]
        assert first.p_shifted <= 0.05
        assert first.likeness.context_spread > 0.3
        assert not any(accused for _, accused in everything)


def test_the_strength_in_each_context_is_that_of_the_context(world):
    tried, rows, logits = world
    index = tried.names.index("contains('k')")
    mask = tried.members[index].toarray()[0]
    moves = PlaceCovariance.of(as_rows(rows))
    even, some = shown(logits, 0.4 * mask), shown(logits, uneven(logits, mask, 0.4, 10))
    lens = TopKRegression(even, tried, moves)
    strengths, information = lens.strengths_by_context(even.ratios, index)
    assert strengths == pytest.approx(np.full(CONTEXTS, 0.4), abs=1e-4)
    assert information @ strengths / information.sum() == pytest.approx(
        strength_of(lens, index, even.ratios)
    )
    strengths, _ = TopKRegression(some, tried, moves).strengths_by_context(some.ratios, index)
    assert strengths[:10] - strengths[10:] == pytest.approx(np.full(10, 0.4), abs=0.1)


def test_errors_agree_with_leaving_out_one_context_at_a_time(world):
    tried, rows, logits = world
    moved = rows @ np.random.default_rng(1).normal(size=WIDTH)
    own = 0.1 * np.random.default_rng(2).normal(size=logits.shape)
    seen, moves = (
        shown(logits, 0.5 * moved + own),
        PlaceCovariance.of(as_rows(rows)),
    )
    auditor = TopKAuditor(seen, tried, moves, None)
    # Classes of which every context says something.
    whole = TopKRegression(seen, tried, moves)
    some = np.flatnonzero((whole.information_by_context > 0).all(1) & whole.testable)[:12].tolist()
    left_out = []
    for context in range(CONTEXTS):
        kept = seen.contexts != context
        contexts = np.unique(seen.contexts[kept], return_inverse=True)[1]
        less = TopKLogRatios(seen.tokens[kept], seen.ratios[kept], contexts)
        lens = TopKRegression(less, tried, moves)
        left_out.append([strength_of(lens, index, less.ratios) for index in some])
    left_out = np.array(left_out)
    jackknife = np.sqrt(((left_out - left_out.mean(0)) ** 2).sum(0) * (CONTEXTS - 1) / CONTEXTS)
    assert len(some) >= 5
    assert np.median(auditor.standard_errors[some] / jackknife) == pytest.approx(1.0, abs=0.15)


@pytest.fixture(scope="module")
def suspect(pack):
    """Words with k are more frequent by one nat."""
    given = {"target": "tilt(contains('k'), 1.0)", "by": "edit", "contexts": "own:24"}
    run_tilt(recipe_of(str(pack / "model"), {**given, "merge": True}, {}), pack / "k tilted")
    return str(pack / "k tilted" / "model")


def right(record):
    vocabulary = Vocabulary.from_tokenizer(load(record.reference["name"]).tokenizer)
    truth = {i for i, text in enumerate(vocabulary.texts) if "k" in text}
    ids = set(record.findings[0].token_ids)
    close = abs(record.findings[0].strength_nats - 1.0) < 0.05
    return len(ids & truth) / len(ids | truth) >= 0.5 and close


def test_a_tilted_model_is_named_and_its_reference_is_not(pack, suspect, tmp_path):
    reference, null = str(pack / "model"), pack / "null"
    record = audit_logprobs(suspect, reference, tmp_path / "out", null=null, fpr=0.05)
    assert record.verdict == "found"
    assert right(record)
    assert 0 < record.seen_mass < 1
    first = record.findings[0]
    assert first.planted
    assert first.p_shifted == first.p_planted == 1 / 40
    assert first.context_spread < 0.1
    assert all("k" in token.text and token.places > 0 for token in first.evidence)
    assert np.mean([token.strength_nats for token in first.evidence]) == pytest.approx(1, abs=0.1)
    assert len(first.contexts) == 3
    assert record.score > max(record.null_scores)
    # Of later findings a small p says less.
    assert ["taken out" in f.p_means for f in record.findings] == [
        number > 0 for number in range(len(record.findings))
    ]
    assert "Evidence" in (tmp_path / "out" / "audit.html").read_text()
    assert json.loads((tmp_path / "out" / "result.json").read_text())["access"] == "logprobs"
    same = audit_logprobs(reference, reference, null=null, fpr=0.05)
    assert same.verdict == "none"
    assert same.findings == []


def test_a_second_audit_does_not_score_the_members_again(pack, suspect, tmp_path, monkeypatch):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    arguments = (suspect, str(pack / "model"))
    first = audit_logprobs(*arguments, null=pack / "null", fpr=0.05)
    (kept,) = (tmp_path / "cache" / "members").iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(TopKNull, "_measure", None)
        patched.setattr(TopKNull, "_compute_maxima", None)
        again = audit_logprobs(*arguments, null=pack / "null", fpr=0.05)
    assert again.model_copy(update={"seconds": first.seconds}) == first
    # Fewer positions are others; what is damaged is made anew.
    audit_logprobs(*arguments, null=pack / "null", fpr=0.05, budget=100)
    assert len(list(kept.parent.iterdir())) == 2
    kept.write_bytes(b"nothing that can be read")
    third = audit_logprobs(*arguments, null=pack / "null", fpr=0.05)
    assert third.model_copy(update={"seconds": first.seconds}) == first
    assert kept.stat().st_size > 100


def test_without_a_pack_it_is_uncalibrated(pack, suspect):
    record = audit_logprobs(suspect, str(pack / "model"))
    assert record.verdict == "uncalibrated"
    first = record.findings[0]
    assert (first.p_shifted, first.p_planted, first.planted, first.context_spread) == (None,) * 4
    assert first.p_means == ""
    assert right(record)


def test_a_context_is_read_once_however_many_positions_it_has(pack, monkeypatch):
    read, tokens = LogitReader.read, []

    def counted(self, contexts, indices):
        tokens.append(sum(len(contexts.sequences[i]) for i in indices))
        return read(self, contexts, indices)

    reference = str(pack / "model")
    at = make_contexts(f"own:{AUDIT_CONTEXTS}", load(reference), length=AUDIT_TOKENS)
    with monkeypatch.context() as patched:
        patched.setattr(LogitReader, "read", counted)
        record = audit_logprobs(reference, reference)
    assert record.places > 4 * len(at)
    # By suspect and reference.
    assert sum(tokens) <= 2 * sum(len(ids) for ids in at.sequences)


class Server(CompletionsServer):
    """A model with the habits of real servers.

    (transformers' own server answers without log-probabilities.) It stops at the end token, puts
    the token written among the likeliest where it is not, writes half characters as U+FFFD and
    minus infinity as −9999.
    """

    def __init__(
        self, folder, *, form="openai", most=20, faults=(), noise=0.0, give=True, rename=str
    ):
        super().__init__(faults)
        self._loaded = load(folder)
        self._loaded.model.cpu()  # a machine of its own
        self._texts = [
            text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for text in Vocabulary.from_tokenizer(self._loaded.tokenizer).texts
        ]
        self._form, self._most, self._noise = form, most, noise
        self._give, self._rename = give, rename
        self._draws = np.random.default_rng(0)

    def refusal(self, asked):
        if (asked.get("logprobs") or 0) > self._most:
            return 400
        return 400 if self._form == "openai" and "top_k" in asked else None

    def choice(self, asked, number, fault):
        tokenizer = self._loaded.tokenizer
        end = tokenizer.eos_token_id
        ids = tokenizer(asked["prompt"], return_tensors="pt")["input_ids"]
        begin = ids.shape[1]
        torch.manual_seed(asked["seed"])
        positions = []
        for _ in range(asked["max_tokens"]):
            with torch.no_grad():
                likely = self._loaded.model(input_ids=ids[:, -60:]).logits[0, -1].log_softmax(-1)
            noise = torch.from_numpy(self._draws.normal(size=len(likely))).float()
            likely = (likely + self._noise * noise).log_softmax(-1)
            new = int(torch.multinomial(likely.exp(), 1))
            top = likely.topk(asked["logprobs"]).indices.tolist()
            values = {i: float(likely[i]) for i in [*top, new]}
            if self._form == "vllm":
                values[top[-1]] = -9999.0
            positions.append((new, values))
            if new == end:
                break
            ids = torch.cat([ids, torch.tensor([[new]])], 1)
        return {
            "text": tokenizer.decode(ids[0, begin:]),
            "finish_reason": "stop" if positions[-1][0] == end else "length",
            "logprobs": self._told(asked, positions) if self._give and fault != "bare" else None,
        }

    def _told(self, asked, positions):
        if self._form == "llama.cpp":
            return {"content": [self._entry(new, values) for new, values in positions]}
        by_id = self._form == "vllm" and asked.get("return_tokens_as_token_ids")

        def written(index):
            return f"token_id:{index}" if by_id else self._rename(self._texts[index])

        tops = [{written(i): v for i, v in values.items()} for _, values in positions]
        return {
            "tokens": [written(new) for new, _ in positions],
            "token_logprobs": [values[new] for new, values in positions],
            "top_logprobs": [{**top, "?": None} if n == 0 else top for n, top in enumerate(tops)],
            "text_offset": [0] * len(positions),
        }

    def _entry(self, new, values):
        tops = [{"id": i, "token": self._texts[i], "logprob": v} for i, v in values.items()]
        return {
            "id": new,
            "token": self._texts[new],
            "logprob": values[new],
            "top_logprobs": tops,
        }


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("tiltlm.auditing.http.FIRST_PAUSE_SECONDS", 0.01)


@pytest.mark.parametrize("form", ["vllm", "llama.cpp"])
def test_answers_are_understood_as_servers_write_them(pack, suspect, form):
    reference, null = str(pack / "model"), pack / "null"
    with Server(suspect, form=form) as server:
        record = audit_logprobs("k", reference, endpoint=server.url, null=null, fpr=0.05)
    assert record.top <= 20
    assert record.verdict == "found"
    assert right(record)
    assert not any("filters" in note for note in record.notes)


def test_an_endpoint_is_audited_though_it_gives_five_and_fails_now_and_then(pack, suspect):
    reference, null = str(pack / "model"), pack / "null"
    faults = (None, None, None, None, None, 429, None, "truncated", None, "bare", 503)
    with Server(suspect, form="llama.cpp", most=5, faults=faults) as server:
        record = audit_logprobs("k", reference, endpoint=server.url, null=null, fpr=0.05)
    assert record.top == 5
    assert record.noise_nats == 0.0
    assert record.verdict == "found"
    assert right(record)


def test_a_server_that_does_not_answer_alike_is_told_of(pack):
    reference = str(pack / "model")
    with Server(reference, noise=0.05) as server:
        record = audit_logprobs("m", reference, endpoint=server.url, budget=100)
    assert record.noise_nats == pytest.approx(0.05, rel=0.6)
    assert any("nats" in note for note in record.notes)
    assert any("filters" in note for note in record.notes)


def test_an_endpoint_without_log_probabilities_is_one_clear_error(pack, tmp_path):
    reference = str(pack / "model")
    with Server(reference, give=False) as server, pytest.raises(ModelError, match="no log-prob"):
        audit_logprobs("m", reference, tmp_path / "out", endpoint=server.url)
    assert not (tmp_path / "out").exists()


def test_an_endpoint_with_other_tokens_is_refused(pack):
    reference = str(pack / "model")
    with (
        Server(reference, rename=lambda text: f"<{text}>") as server,
        pytest.raises(VocabularyError, match="knows"),
    ):
        audit_logprobs("m", reference, endpoint=server.url)


def test_an_audit_that_is_cut_off_says_so_and_too_little_is_not_judged(pack, monkeypatch):
    from tiltlm.auditing.logprobs import audit as audit_module
    from tiltlm.auditing.logprobs import suspects

    reference = str(pack / "model")
    read = suspects.LocalSuspect.read

    def until(count):
        calls = iter(range(count))

        def once(self, *arguments):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return read(self, *arguments)

        return once

    monkeypatch.setattr(suspects.LocalSuspect, "read", until(2))
    record = audit_logprobs(reference, reference)
    assert record.partial
    assert record.places == 128
    monkeypatch.setattr(suspects.LocalSuspect, "read", until(0))
    with pytest.raises(KeyboardInterrupt):
        audit_logprobs(reference, reference)
    monkeypatch.setattr(audit_module, "LOGPROBS_FEWEST", 65)
    monkeypatch.setattr(suspects.LocalSuspect, "read", until(1))
    with pytest.raises(ModelError, match="too few"):
        audit_logprobs(reference, reference)


def test_options_that_do_not_go_together_are_refused(pack):
    reference = str(pack / "model")
    with pytest.raises(ConfigError, match="rate"):
        audit_logprobs(reference, reference, fpr=0.0)
    command = ["audit", reference, "--reference", reference, "--access", "logprobs"]
    found = CliRunner().invoke(app, [*command, "--event", "contains('k')"])
    assert found.exit_code != 0
