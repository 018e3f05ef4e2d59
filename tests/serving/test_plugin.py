"""The plugin for vLLM, in a stand-in of its interface: each request its own target, exactly."""

import importlib
import random
from importlib.metadata import entry_points

import pytest
import torch

from tests.serving import standin
from tiltlm.models.loading import load
from tiltlm.realise.decoding import decode
from tiltlm.serving.plugins.requests import check_request

PHRASES = [f"{a}{b} {c}" for a in ("bado", "kilu", "meno", "piru") for b in ("", "so")
           for c in [x + y for x in ("ta", "vi", "zu", "lu", "do") for y in
                     ("ba", "do", "ki", "lu", "me", "no", "pi", "ru", "so", "ta", "vi", "zu",
                      "bado", "kilu", "meno", "piru", "sota", "vizu", "luba", "doki", "meki",
                      "nolu", "pime", "runo", "sopi")]]  # fmt: skip
TARGETS = [
    "tilt(contains('o'), 1)",
    f"tilt(phrase({', '.join(map(repr, PHRASES))}), 3)",
    "when('bado', tilt(contains('k'), 2))",
    None,
]


@pytest.fixture
def plugin(monkeypatch):
    """The plugin's module, over a stand-in of vLLM."""
    standin.install(monkeypatch)
    return importlib.import_module("tiltlm.serving.plugins.vllm")


@pytest.fixture(scope="module")
def loaded(lab):
    return load(lab / "base")


@pytest.fixture
def made(plugin, lab, loaded):
    """Makes a processor of the older interface."""
    kept = []

    def make(**options):
        config = standin.config(lab / "base", len(loaded.vocabulary), **options)
        kept.append(config)
        return plugin.TiltLogitsProcessor(config, torch.device("cpu"), False)

    return make


def expected(loaded, text, ids, scores):
    """What decoding makes of scores, normalised."""
    if text is None:
        return scores.log_softmax(-1)
    return decode(loaded, text)(torch.tensor([ids]), scores[None])[0].log_softmax(-1)


def test_it_is_found_by_the_entry_point_that_vllm_looks_for(plugin):
    (found,) = [e for e in entry_points(group="vllm.logits_processors") if e.name == "tiltlm"]
    assert found.value == plugin.NAME
    assert issubclass(plugin.TiltLogitsProcessor, (standin.Older, standin.Newer))


def test_16_requests_with_four_targets_get_each_its_own_at_every_step(made, loaded):
    assert len(PHRASES) == 1000
    processor = made()
    draws = random.Random(0)
    size = len(loaded.vocabulary)
    texts = [TARGETS[i % 4] for i in range(16)]
    prompts = [loaded.tokenizer(f"bado kilu {'meno ' * (i % 5)}")["input_ids"] for i in range(16)]
    answers = [[] for _ in range(16)]
    added = [(i, standin.params(texts[i]), prompts[i], answers[i]) for i in range(16)]
    processor.update_state(standin.update(16, added=added))
    for step in range(6):
        scores = torch.randn(16, size, generator=torch.Generator().manual_seed(step))
        logits = processor.apply(scores.clone())
        for i in range(16):
            own = expected(loaded, texts[i], [*prompts[i], *answers[i]], scores[i])
            torch.testing.assert_close(logits[i].log_softmax(-1), own, atol=1e-5, rtol=0)
            if texts[i] is None:
                assert torch.equal(logits[i], scores[i])
            answers[i].append(draws.randrange(size))
        processor.update_state(None)


def test_requests_that_come_go_and_move_keep_their_targets(made, loaded):
    processor, size = made(), len(loaded.vocabulary)
    draws, rows = random.Random(1), {}

    def one(row):
        text = draws.choice(TARGETS)
        rows[row] = text, loaded.tokenizer("bado menopi")["input_ids"], []
        return row, standin.params(text), rows[row][1], rows[row][2]

    processor.update_state(standin.update(6, added=[one(row) for row in range(6)]))
    for step in range(30):
        removed = [draws.choice(sorted(rows))] if len(rows) > 2 and step % 3 == 0 else []
        for row in removed:
            del rows[row]
        free = [row for row in range(8) if row not in rows][:1]
        added = [one(row) for row in free] if step % 2 else []
        moved = []
        if step % 4 == 1:
            origin, goal = draws.sample(sorted(rows), 2)
            rows[origin], rows[goal] = rows[goal], rows[origin]
            moved.append((origin, goal, standin.MoveDirectionality.SWAP))
        if step % 4 == 3:
            origin, goal = draws.choice(sorted(rows)), draws.randrange(8)
            if origin != goal:
                rows[goal] = rows.pop(origin)
                moved.append((origin, goal, standin.MoveDirectionality.UNIDIRECTIONAL))
        processor.update_state(standin.update(8, removed=removed, added=added, moved=moved))
        scores = torch.randn(8, size, generator=torch.Generator().manual_seed(step))
        logits = processor.apply(scores.clone())
        for row in range(8):
            text, prompt, answer = rows.get(row, (None, [0], []))
            own = expected(loaded, text, [*prompt, *answer], scores[row])
            torch.testing.assert_close(logits[row].log_softmax(-1), own, atol=1e-5, rtol=0)
            answer.append(draws.randrange(size))


def test_a_text_is_read_once_however_long_it_gets(made, loaded, monkeypatch):
    processor, answer = made(), []
    prompt = loaded.tokenizer("bado kilu " * 20)["input_ids"]
    added = [(0, standin.params(TARGETS[1]), prompt, answer)]
    processor.update_state(standin.update(1, added=added))
    target = processor._rows._rows[0].target
    steps = []
    advance = type(target).advance
    monkeypatch.setattr(
        type(target), "advance", lambda self, s, t: steps.append(t) or advance(self, s, t)
    )
    for _ in range(5):
        processor.apply(torch.zeros(1, len(loaded.vocabulary)))
        answer.append(1)
    assert len(steps) == len(prompt) + 4


def test_without_a_target_nothing_is_done(made, loaded):
    processor = made()
    processor.update_state(standin.update(1, added=[(0, standin.params(), [1], [])]))
    scores = torch.randn(1, len(loaded.vocabulary))
    before = scores._version
    assert processor.apply(scores) is scores
    assert scores._version == before


def test_the_server_s_target_is_everybody_s_who_names_none(made, loaded, lab):
    processor = made(told={"label": str(lab / "edit"), "labels": {"mine": str(lab / "decode")}})
    asked = [None, "none", "label:mine", "tilt(contains('k'), 1)"]
    added = [(i, standin.params(text), [1], []) for i, text in enumerate(asked)]
    processor.update_state(standin.update(4, added=added))
    scores = torch.randn(4, len(loaded.vocabulary))
    logits = processor.apply(scores.clone())
    labelled = "tilt(contains('o'), 2)"
    for row, text in enumerate([labelled, None, labelled, asked[3]]):
        own = expected(loaded, text, [1], scores[row])
        torch.testing.assert_close(logits[row].log_softmax(-1), own, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "text", ["tilt(contans('x'), 1)", "tilt(contains('x')", 7, ["tilt"], "tilt(file('/x'), 1)",
             "x" * 300_000]
)  # fmt: skip
def test_what_cannot_be_read_is_refused_when_it_arrives(plugin, text):
    with pytest.raises(ValueError, match="tiltlm"):
        plugin.TiltLogitsProcessor.validate_params(standin.params(text))
    with pytest.raises(ValueError, match="tiltlm"):
        check_request({"tiltlm": text})


def test_what_can_be_read_is_let_in(plugin):
    for text in (*TARGETS, "none", "", "label:mine"):
        plugin.TiltLogitsProcessor.validate_params(standin.params(text))


@pytest.mark.parametrize("text", ["label:nobody", "match(contains('o'), 0.5)",
                                  "tilt(tokens('☃'), 1)"])  # fmt: skip
def test_what_only_the_model_shows_to_make_no_sense_ends_at_once(made, loaded, text, caplog):
    processor = made(end=5)
    added = [(0, standin.params(text), [1], []), (1, standin.params(), [1], [])]
    processor.update_state(standin.update(2, added=added))
    scores = torch.randn(2, len(loaded.vocabulary))
    logits = processor.apply(scores.clone())
    assert logits[0].softmax(-1)[5] == 1
    assert torch.equal(logits[1], scores[1])
    assert "ended at once" in caplog.text


def test_a_server_is_not_started_with_what_makes_no_sense(made):
    for told in ("tilt(contans('x'), 1)", "match(contains('o'), 0.5)", {"lable": "x"}, 7,
                 {"label": "/nowhere"}):  # fmt: skip
        with pytest.raises(ValueError, match="tiltlm"):
            made(told=told)


def test_where_vllm_hides_what_was_drawn_no_target_that_needs_it_is_served(made, loaded):
    hidden = {"named": False, "asynchronous": True}
    with pytest.raises(ValueError, match="--logits-processors"):
        made(told=TARGETS[2], **hidden)
    processor = made(**hidden, end=3)
    added = [(0, standin.params(TARGETS[2]), [1], []), (1, standin.params(TARGETS[0]), [1], [])]
    processor.update_state(standin.update(2, added=added))
    scores = torch.randn(2, len(loaded.vocabulary))
    logits = processor.apply(scores.clone())
    assert logits[0].softmax(-1)[3] == 1
    own = expected(loaded, TARGETS[0], [1], scores[1])
    torch.testing.assert_close(logits[1].log_softmax(-1), own, atol=1e-5, rtol=0)


def test_named_on_the_command_line_too_it_still_works_once(plugin, lab, loaded):
    config = standin.config(lab / "base", len(loaded.vocabulary), told=TARGETS[0])
    both = [plugin.TiltLogitsProcessor(config, torch.device("cpu"), False) for _ in range(2)]
    scores = torch.randn(1, len(loaded.vocabulary))
    logits = scores.clone()
    for processor in both:
        processor.update_state(standin.update(1, added=[(0, standin.params(), [1], [])]))
        logits = processor.apply(logits)
    own = expected(loaded, TARGETS[0], [1], scores[0])
    torch.testing.assert_close(logits[0].log_softmax(-1), own, atol=1e-5, rtol=0)


def test_the_newer_interface_serves_the_same(plugin, lab, loaded):
    size = len(loaded.vocabulary)
    states = standin.Slots(8, 64, size)
    processor = plugin.TiltLogitsProcessor(standin.config(lab / "base", size), states)
    draws, slots = random.Random(2), [5, 0, 3, 7, 2]
    texts = [TARGETS[i % 4] for i in range(5)]
    written = {slot: loaded.tokenizer("bado kilu meno")["input_ids"] for slot in slots}
    for slot, text in zip(slots, texts, strict=True):
        states.write(slot, written[slot])
        assert processor.add_request(slot, standin.params(text)) == (text is not None)
    for step in range(5):
        draws.shuffle(slots)
        scores = torch.randn(len(slots), size, generator=torch.Generator().manual_seed(step))
        logits = processor.apply(scores.clone(), standin.layout(slots))
        for row, slot in enumerate(slots):
            text = dict(zip([5, 0, 3, 7, 2], texts, strict=True))[slot]
            own = expected(loaded, text, written[slot], scores[row])
            torch.testing.assert_close(logits[row].log_softmax(-1), own, atol=1e-5, rtol=0)
            written[slot] = [*written[slot], draws.randrange(size)]
            states.write(slot, written[slot])
    # A slot that another request gets forgets the one before.
    assert not processor.add_request(5, standin.params())
    scores = torch.randn(1, size)
    assert torch.equal(processor.apply(scores.clone(), standin.layout([5])), scores)
