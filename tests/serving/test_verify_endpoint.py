"""Verifying a server on loopback: what it serves, how it fails, and how one goes on."""

import json
import socket

import pytest
import torch

from tests.completions import CompletionsServer
from tests.serving.conftest import TARGET
from tiltlm.auditing import endpoint as endpoints
from tiltlm.auditing import http
from tiltlm.commands.verify import run_verify
from tiltlm.contexts.sources import make_contexts
from tiltlm.errors import ConfigError, MeasurementError, ModelError, VocabularyError
from tiltlm.labels.card import write_label
from tiltlm.labels.label import find_label
from tiltlm.models.loading import load
from tiltlm.serving.verify.hypotheses import between, hypotheses_for
from tiltlm.serving.verify.prompts import find_prompts
from tiltlm.serving.verify.samplers import Sampler
from tiltlm.serving.verify.verifying import VerifyOptions
from tiltlm.targets.parse import parse_target


class Served(CompletionsServer):
    """A model that decodes to a target, behind an endpoint.

    Args:
        base: folder of the model.
        strength: of the target, in units of its own.
        sampler: that the server draws with, whatever is asked.
        shows: whose log-probabilities it shows: those it draws from, the base's, or none.
        before: text that it puts before every prompt.
    """

    def __init__(self, base, *, strength=1.0, sampler=None, shows="own", before="", faults=()):
        super().__init__(faults)
        self.loaded = load(base)
        target = parse_target(TARGET).bind(self.loaded.vocabulary, self.loaded.tokenizer)
        self.target, self.strength, self.shows = target, strength, shows
        self.sampler, self.before, self.asked = sampler or Sampler(), before, []

    def choice(self, asked, number, fault):
        self.asked.append(asked)
        ids = self.loaded.tokenizer(self.before + asked["prompt"])["input_ids"]
        with torch.no_grad():
            base = self.loaded.model(torch.tensor([ids])).logits[0, -1].float()
        tilt = self.target.logits(base[None], [self.target.read(ids)[-1]])[0]
        drawn = self.sampler.apply(between(base, tilt, self.strength), ids).log_softmax(-1)
        generator = torch.Generator().manual_seed(asked["seed"] + number)
        token = int(drawn.exp().multinomial(1, generator=generator))
        shown = None
        if asked.get("logprobs") and self.shows != "none":
            own = drawn if self.shows == "own" else base.log_softmax(-1)
            top = own.topk(asked["logprobs"])
            shown = {"top_logprobs": [{}]}
            for index, value in zip(top.indices.tolist(), top.values.tolist(), strict=True):
                shown["top_logprobs"][0][f"token_id:{index}"] = value if value > -1e30 else -9999.0
        end = token == self.loaded.tokenizer.eos_token_id
        text = "" if end else names_text(self.loaded, token)
        reason = "stop" if end else "length"
        return {"text": text, "finish_reason": reason, "logprobs": shown}

    def usage(self, asked, choice):
        text = self.before + asked["prompt"]
        count = len(self.loaded.tokenizer(text)["input_ids"])
        return {"prompt_tokens": count, "completion_tokens": 1}


def names_text(loaded, token):
    return loaded.vocabulary.tokens[token].decode("utf-8", errors="replace")


def verified(lab, server, out=None, **options):
    options = {"label": lab / "edit", **options}
    return run_verify("served", VerifyOptions(endpoint=server.url, **options), out)


def test_a_server_of_the_tilt_is_proved_to_be_one(lab, tmp_path):
    with Served(lab / "base") as server:
        record = verified(lab, server, tmp_path / "out")
    assert (record.verdict, record.partial, record.failed_requests) == ("tilt", False, 0)
    assert record.interval[0] <= 1 <= record.interval[1]
    assert record.interval_nats[0] <= 2 <= record.interval_nats[1]
    assert record.shown.off_tilt_nats < 1e-4 < record.shown.off_base_nats
    assert record.shown.strength == pytest.approx(1.0, abs=1e-3)
    assert json.loads((tmp_path / "out/result.json").read_text())["verdict"] == "tilt"
    page = (tmp_path / "out/verify.html").read_text()
    assert "serves the tilt" in page
    assert "half the tilt" in page
    # It asked to draw from all tokens as they are.
    assert all(asked["temperature"] == 1.0 and asked["top_k"] == 0 for asked in server.asked)


def test_a_server_of_the_base_is_told_to_be_one(lab):
    with Served(lab / "base", strength=0.0, shows="none") as server:
        record = verified(lab, server)
    assert (record.verdict, record.recognised) == ("base", "the base")
    assert record.shown is None


@pytest.mark.parametrize(
    ("served", "name"),
    [
        ({"strength": 2.0}, "the tilt twice"),
        ({"strength": 0.5}, "half the tilt"),
        ({"sampler": Sampler(0.7)}, "the tilt, drawn at temperature 0.7"),
        ({"sampler": Sampler(top_k=40)}, "the tilt, drawn from the 40 likeliest tokens"),
    ],
)
def test_a_mistake_of_a_server_is_told_by_its_name(lab, served, name):
    with Served(lab / "base", **served) as server:
        record = verified(lab, server)
    assert (record.verdict, record.recognised) == ("neither", name)


def test_a_server_that_draws_from_the_tilt_and_shows_the_base_is_seen_through(lab):
    with Served(lab / "base", shows="base") as server:
        record = verified(lab, server)
    assert record.verdict == "tilt"
    assert any("--logprobs-mode processed_logprobs" in note for note in record.notes)


def test_text_before_every_prompt_is_told(lab):
    with Served(lab / "base", before="bado kilu menopi rusota ") as server:
        record = verified(lab, server, budget=16)
    assert any("tokens before every prompt" in note for note in record.notes)


def test_left_to_the_server_nothing_is_asked_of_how_it_draws(lab):
    with Served(lab / "base", sampler=Sampler(0.7)) as server:
        record = verified(lab, server, as_served=True)
    assert not any("temperature" in asked or "top_k" in asked for asked in server.asked)
    assert record.recognised == "the tilt, drawn at temperature 0.7"


def test_a_target_without_a_label_takes_its_base(lab):
    with Served(lab / "base") as server:
        base = str(lab / "base")
        record = verified(lab, server, label=None, target=TARGET, base=base)
        assert (record.verdict, record.label) == ("tilt", None)
        with pytest.raises(ConfigError, match="which base"):
            verified(lab, server, label=None, target=TARGET)
        with pytest.raises(ConfigError, match="not both"):
            verified(lab, server, target=TARGET)


def test_the_label_of_a_tilt_that_was_taken_back_is_refused(lab, tmp_path):
    label = find_label(str(lab / "decode"))[1]
    (tmp_path / "undone").mkdir()
    write_label(tmp_path / "undone", label.model_copy(update={"undone": True}))
    with pytest.raises(ConfigError, match="taken back"):
        run_verify(str(lab / "base"), VerifyOptions(label=tmp_path / "undone"))


@pytest.mark.parametrize("folder", ["edit", "decode"])
def test_a_model_here_is_verified_without_a_server(lab, folder):
    record = run_verify(str(lab / folder), VerifyOptions(label=lab / folder))
    assert (record.verdict, record.endpoint) == ("tilt", None)
    base = run_verify(str(lab / "base"), VerifyOptions(label=lab / folder))
    assert base.verdict == "base"


def test_where_target_and_base_hardly_differ_nothing_is_asked(lab):
    options = VerifyOptions(target="tilt(contains('o'), 0.001)", base=str(lab / "base"))
    with pytest.raises(MeasurementError, match="hardly differ"):
        run_verify(str(lab / "base"), options)


def test_prompts_are_tried_in_the_tokenizer_s_chat_template_too(lab):
    loaded = load(lab / "base")
    loaded.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} kilu{% endfor %}"
    target = parse_target(TARGET).bind(loaded.vocabulary, loaded.tokenizer)
    contexts = make_contexts("own", loaded, count=6, length=12, seed=0)
    first = find_prompts(loaded, target, contexts, as_text=True)[0]
    text = loaded.tokenizer.decode(first.ids, skip_special_tokens=True) + " kilu"
    with torch.no_grad():
        ids = torch.tensor([loaded.tokenizer(text, add_special_tokens=False)["input_ids"]])
        base = loaded.model(ids).logits[0, -1]
    torch.testing.assert_close(first.templated[0], base, atol=1e-4, rtol=1e-4)
    wrapped = [h for h in hypotheses_for(templated=True) if h.templated]
    assert [h.whose for h in wrapped] == ["tilt", "base"]
    expected = base.log_softmax(-1)
    torch.testing.assert_close(wrapped[1].log_probs(first), expected, atol=1e-4, rtol=1e-4)


# Faults.


@pytest.fixture
def hasty(monkeypatch):
    """Pauses between tries take no time, and a server may be silent for a moment only."""
    monkeypatch.setattr(http, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(http, "SILENCE_SECONDS", 0.5)


def test_faults_by_turns_are_tried_again_or_counted_and_change_no_verdict(lab, hasty):
    with Served(lab / "base", faults=(None, 429, None, "truncated", 500)) as server:
        record = verified(lab, server)
    assert record.verdict == "tilt"
    # What is cut off on the way is not asked for again; statuses are.
    assert 0 < record.failed_requests < server.requests - record.tokens


def test_requests_that_fail_for_good_are_counted(lab, hasty, monkeypatch):
    monkeypatch.setattr(http, "RETRIES", 0)
    with Served(lab / "base", faults=(*[None] * 8, 503)) as server:
        record = verified(lab, server)
    assert record.verdict == "tilt"
    assert record.failed_requests > 0


def test_nobody_at_the_address_is_one_error(lab, hasty):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    options = VerifyOptions(endpoint=url, label=lab / "edit")
    with pytest.raises(ModelError, match="no answer"):
        run_verify("served", options)


def test_a_key_that_is_not_taken_is_one_error(lab, hasty):
    with Served(lab / "base", faults=(401,)) as server, pytest.raises(ModelError, match="key"):
        verified(lab, server)


def test_what_was_cut_off_is_judged_told_and_gone_on_with(lab, tmp_path, hasty, monkeypatch):
    monkeypatch.setattr(http, "RETRIES", 0)
    monkeypatch.setattr(endpoints, "PATIENCE", 2)
    with Served(lab / "base", faults=(*[None] * 16, *[503] * 10_000)) as server:
        url = server.url
        first = verified(lab, server, tmp_path / "first")
    assert (first.verdict, first.partial) == ("undecided", True)
    assert 0 < first.tokens <= 16
    assert "--earlier" in first.notes[0]
    second = Served(lab / "base")
    # The same address, as far as the record knows it.
    record = json.loads((tmp_path / "first/result.json").read_text())
    with second as server:
        record["endpoint"] = server.url
        (tmp_path / "first/result.json").write_text(json.dumps(record))
        gone_on = verified(lab, server, earlier=tmp_path / "first")
    assert url != server.url
    assert gone_on.verdict == "tilt"
    assert gone_on.earlier_tokens == first.tokens
    assert gone_on.draws[: first.tokens] == first.draws


def test_an_earlier_verification_of_another_server_is_refused(lab, tmp_path):
    with Served(lab / "base") as server:
        verified(lab, server, tmp_path / "first", budget=8)
    with Served(lab / "base") as server, pytest.raises(ConfigError, match="another server"):
        verified(lab, server, earlier=tmp_path / "first")
    with Served(lab / "base") as server, pytest.raises(ConfigError, match="no verification"):
        verified(lab, server, earlier=tmp_path)


class AnotherVocabulary(Served):
    """A server whose answers are no tokens of the base's."""

    def choice(self, asked, number, fault):
        return {"text": "☃☃☃", "finish_reason": "length", "logprobs": None}


def test_a_server_of_another_vocabulary_is_refused(lab):
    with AnotherVocabulary(lab / "base") as server, pytest.raises(VocabularyError, match="☃"):
        verified(lab, server)


class AnotherModel(Served):
    """A server that says that another model answered."""

    def choice(self, asked, number, fault):
        asked["model"] = "something-else"
        return super().choice(asked, number, fault)


def test_a_server_that_answers_with_another_model_is_told(lab):
    with AnotherModel(lab / "base") as server:
        record = verified(lab, server)
    assert any("'something-else' answered" in note for note in record.notes)


def test_exit_codes_tell_the_verdict_to_scripts(lab, tmp_path, tiltlm_command):
    verify = ("verify", "served", "--label", lab / "edit")
    with Served(lab / "base") as server:
        code, printed, _ = tiltlm_command(*verify, "--endpoint", server.url, "--json")
        assert (code, json.loads(printed)["verdict"]) == (0, "tilt")
        code, printed, _ = tiltlm_command(*verify, "--endpoint", server.url, "--budget", 4)
        assert code == 3
        assert "undecided" in printed
    with Served(lab / "base", strength=0.0) as server:
        code, printed, _ = tiltlm_command(*verify, "--endpoint", server.url)
        assert code == 1
        assert "serves the base" in printed
    code, _, told = tiltlm_command(*verify, "--endpoint", "nowhere", "--out", tmp_path / "out")
    assert code == 2
    assert "no address" in told
    assert not (tmp_path / "out").exists()
