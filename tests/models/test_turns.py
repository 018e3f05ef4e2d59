"""Two models that take turns in memory: room for one, and the figures of both at once."""

import json
import re
from pathlib import Path

import pytest
import torch

from tests.measures.shared import SMALL, contexts
from tests.tiny import tiny_loaded, tiny_perturbed, worded_loaded
from tiltlm.auditing.auditing import audit
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.errors import ModelError
from tiltlm.measures.measuring import measure
from tiltlm.measures.opening import open_pair
from tiltlm.models import memory
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.free_memory import free_memory
from tiltlm.models.loading import load
from tiltlm.models.memory import fit_together, weight_bytes
from tiltlm.models.turns import Turns
from tiltlm.recipes.placement import Placement


def placed(turns: bool) -> Placement:
    """Whether models take turns, as a placement."""
    return Placement(one_at_a_time=turns)


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two whole models on disk."""
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    for name, loaded in (("base", tiny_loaded()), ("moved", tiny_perturbed())):
        for part in loaded:
            part.save_pretrained(tmp_path / name)
    return str(tmp_path / "base"), str(tmp_path / "moved")


def held(loaded):
    """Numbers that a model's weights hold now; nothing is loaded for it."""
    return sum(p.numel() for p in loaded._model.parameters())


def opened(two):
    turns = Turns()
    return [turns.open(lambda name=name: load(name)) for name in two]


def test_only_the_model_that_was_asked_for_last_has_its_weights(two):
    base, moved = opened(two)
    whole = load(two[0]).model
    size, head = sum(p.numel() for p in whole.parameters()), whole.lm_head.weight.numel()
    assert (held(base), held(moved)) == (head, size)
    module = base.model
    assert (held(base), held(moved)) == (size, head)
    assert moved.model is not module
    assert (held(base), held(moved)) == (head, size)
    # One that somebody kept takes its turn when it is run.
    assert module(torch.tensor([[1, 2]], device=module.device)).logits.isfinite().all()
    assert (held(base), held(moved)) == (size, head)
    maps = Path("/proc/self/maps")
    if maps.is_file():  # A file that was read by mapping it is not mapped any more either.
        assert f"{two[1]}/model.safetensors" not in maps.read_text()


def test_weights_come_back_as_they_were_and_a_head_stays_with_who_has_it(two):
    base, moved = opened(two)
    whole = [load(name) for name in two]
    for _ in range(2):
        assert fingerprint(base.model) == fingerprint(whole[0].model)
        assert fingerprint(moved.model) == fingerprint(whole[1].model)
    reader = LogitReader(base.model)
    rows = reader.read(contexts(2), [0, 1])
    expected = reader.logits(rows[0])
    let_go = held(moved)
    assert moved.model is not None
    assert held(base) == let_go
    assert torch.equal(reader.logits(rows[0]), expected)
    assert held(base) == let_go


def test_a_model_whose_files_changed_meanwhile_is_refused(two, tmp_path):
    for part in tiny_loaded("gpt2"):
        part.save_pretrained(tmp_path / "other")
    names = iter([*two, str(tmp_path / "other")])
    turns = Turns()
    first = turns.open(lambda: load(next(names)))
    turns.open(lambda: load(next(names)))
    with pytest.raises(ModelError, match="has other weights"):
        _ = first.model


def test_a_pair_that_takes_turns_reads_to_the_last_digit_what_both_at_once_do(two):
    base, moved = two
    at_once = open_pair(moved, base, placement=placed(False))[0]
    in_turns = open_pair(moved, base, placement=placed(True))[0]
    assert (at_once.takes_turns, in_turns.takes_turns) == (False, True)
    assert not in_turns.shares_body
    for first, second in zip(at_once.read(contexts()), in_turns.read(contexts()), strict=True):
        assert torch.equal(first.base, second.base)
        assert torch.equal(first.model, second.model)


def test_base_and_model_are_each_loaded_once_more_to_read_a_pair(two, monkeypatch):
    pair = open_pair(two[1], two[0], placement=placed(True))[0]
    loads = []
    monkeypatch.setattr(
        "tiltlm.measures.opening.load", lambda name, **_: loads.append("model") or load(name)
    )
    monkeypatch.setattr(
        "tiltlm.measures.opening.load_base", lambda base, _: loads.append("base") or load(base.name)
    )
    # More than a batch goes through a model at once.
    assert len(list(pair.read(contexts(60)))) > 60
    assert loads == ["model"]
    list(pair.read(contexts(60)))
    assert loads == ["model", "base", "model"]


def without_seconds(record):
    """A record but for what was timed, also in the note of how long a pack takes."""
    found = {k: v for k, v in record.model_dump(mode="json").items() if k != "seconds"}
    notes = [re.sub(r"roughly [^;]*;", "", note) for note in found.get("notes", [])]
    return {**found, "notes": notes}


def test_a_measurement_in_turns_is_that_of_both_at_once_but_for_persistence(two):
    options = {"target": "tilt(contains('o'), 1)", "suite": SMALL}
    at_once, in_turns = (
        without_seconds(measure(two[1], two[0], placement=placed(turns), **options))
        for turns in (False, True)
    )
    assert in_turns["missing"].pop("persistence").startswith("it takes both models")
    assert len(at_once.pop("survivals")) > len(in_turns.pop("survivals")) == 0
    at_once["missing"] = {k: v for k, v in at_once["missing"].items() if k in in_turns["missing"]}
    assert in_turns == at_once


@pytest.mark.processor("sums on a GPU are not the same to the last digit each time")
@pytest.mark.parametrize("access", ["logits", "logprobs", "text"])
def test_an_audit_in_turns_is_that_of_both_at_once(tmp_path, monkeypatch, access):
    monkeypatch.setenv("TILTLM_CACHE", str(tmp_path / "cache"))
    suspect = worded_loaded()
    with torch.no_grad():
        suspect.model.get_output_embeddings().weight[5:40] += 0.1
    for name, loaded in (("base", worded_loaded()), ("suspect", suspect)):
        for part in loaded:
            part.save_pretrained(tmp_path / name)
    options = {} if access == "logits" else {"budget": 64}
    if access == "logits":
        options = {"contexts": "random", "events": ["contains('k')"]}
    names = (str(tmp_path / "suspect"), str(tmp_path / "base"))
    at_once, in_turns = (
        without_seconds(audit(*names, access=access, placement=placed(turns), **options))
        for turns in (False, True)
    )
    assert in_turns == at_once


def test_two_models_take_turns_by_themselves_where_there_is_no_room_for_both(two, monkeypatch):
    size = weight_bytes(two[0])
    assert size == 4 * sum(p.numel() for p in load(two[0]).model.parameters())
    assert weight_bytes(two[0], torch.bfloat16) == size // 2
    room = memory.WORKING_BYTES + 2 * size
    for free, takes_turns in ((room, False), (room - 1, True)):
        monkeypatch.setattr(memory, "free_memory", lambda *_, free=free: free)
        assert open_pair(two[1], two[0])[0].takes_turns == takes_turns


def test_what_weights_take_is_read_off_files_or_a_config(two, tmp_path):
    size = weight_bytes(two[0])
    folder = tmp_path / "config"
    folder.mkdir()
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    assert weight_bytes(str(folder), torch.float32) == size
    assert (
        weight_bytes("model5") == 4 * 123_849_984
    )  # GPT-2 with 256 positions, head and embedding tied
    assert weight_bytes(str(tmp_path / "nowhere")) is None
    assert fit_together([two[0], str(tmp_path / "nowhere")])
    assert 0 < free_memory() < 1 << 50
