"""Null packs: gone on with, used when partly made, extended, checked when read."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.tiny import worded_loaded
from tiltlm.auditing.benign.null_distribution import COLUMN_SPACE, RESIDUAL, NullDistribution
from tiltlm.auditing.logprobs import log_ratios
from tiltlm.auditing.null import members
from tiltlm.auditing.null.building import build_null
from tiltlm.auditing.null.family_covariance_files import write_family_covariances
from tiltlm.auditing.null.pack import is_learnt, learn_family_covariances, member_families
from tiltlm.auditing.null.pack_files import load_pack
from tiltlm.auditing.null.showing import show_pack
from tiltlm.commands.audit import run_audit
from tiltlm.errors import ConfigError, InterruptedRun, RunError
from tiltlm.models.loading import LoadedModel


@pytest.fixture
def given(pack):
    """Options of a small pack of the reference."""
    return {
        "corpora": [f"text:{pack / 'one.txt'}"],
        "default_corpora": False,
        "contexts": 8,
        "length": 24,
        "steps": (1, 2),
        "words": 16,
    }


def stop_at(monkeypatch, number):
    """Let a build be interrupted before it keeps so many members."""
    made, count = members.write_member, []

    def stopping(*arguments):
        count.append(1)
        if len(count) == number:
            raise KeyboardInterrupt
        made(*arguments)

    monkeypatch.setattr(members, "write_member", stopping)


def files(folder):
    """Contents of all files of a finished pack."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_build_that_was_stopped_goes_on_to_the_same_pack(pack, given, tmp_path, monkeypatch):
    reference = str(pack / "model")
    build_null(reference, tmp_path / "whole", models=7, **given)
    with monkeypatch.context() as patched:
        stop_at(patched, 3)
        with pytest.raises(InterruptedRun, match="2 of 7"):
            build_null(reference, tmp_path / "stopped", models=7, **given)
    with pytest.raises(RunError, match="other settings"):
        build_null(reference, tmp_path / "stopped", models=7, **{**given, "words": 24}, resume=True)
    build_null(reference, tmp_path / "stopped", models=7, **given, resume=True)
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_a_pack_that_is_partly_made_serves_an_audit_with_what_is_there(
    pack, given, tmp_path, monkeypatch
):
    reference = str(pack / "model")
    stop_at(monkeypatch, 4)
    with pytest.raises(InterruptedRun, match="an audit can use"):
        build_null(reference, tmp_path / "null", models=9, **{**given, "contexts": 32})
    for access in ("logits", "logprobs"):
        record = run_audit(reference, reference, null=tmp_path / "null", fpr=0.25, access=access)
        assert record.null.models == 3
        assert record.verdict == "none"
    with pytest.raises(ConfigError, match="a null of 3 models cannot vouch"):
        run_audit(reference, reference, null=tmp_path / "null", fpr=0.2)


def test_a_pack_has_the_same_members_whether_it_was_made_at_once_or_extended(pack, given, tmp_path):
    reference = str(pack / "model")
    build_null(reference, tmp_path / "whole", models=9, **given)
    build_null(reference, tmp_path / "grown", models=2, **given)
    small = load_pack(tmp_path / "grown")
    built = build_null(reference, tmp_path / "grown", models=9, **given, resume=True)
    assert built.models == 9
    assert files(tmp_path / "grown") == files(tmp_path / "whole")
    grown = load_pack(tmp_path / "grown")
    assert torch.equal(grown.shifts[:2], small.shifts)
    assert grown.numbers == list(range(9))
    with pytest.raises(RunError, match="this pack is finished, with 9"):
        build_null(reference, tmp_path / "grown", models=9, **given, resume=True)


def test_an_extension_that_was_killed_between_two_files_leaves_the_pack_as_it_was(
    pack, given, tmp_path, monkeypatch
):
    reference = str(pack / "model")
    build_null(reference, tmp_path / "whole", models=6, **given)
    build_null(reference, tmp_path / "null", models=3, **given)
    # As if the process had ended after the tensors of six were there, and members of three said.
    name = "null.safetensors"
    shutil.copy(tmp_path / "whole" / name, tmp_path / "null" / name)
    three = load_pack(tmp_path / "null")
    assert len(three.members) == len(three.shifts) == 3
    assert torch.equal(three.shifts, load_pack(tmp_path / "whole").shifts[:3])
    build_null(reference, tmp_path / "null", models=6, **given, resume=True)
    assert files(tmp_path / "null") == files(tmp_path / "whole")


@pytest.mark.parametrize(
    ("option", "value"), [("contexts", 3), ("length", 15), ("words", 0), ("words_every", 0)]
)
def test_options_of_which_nothing_can_be_made_are_refused(pack, given, tmp_path, option, value):
    with pytest.raises(ConfigError, match="too few") as caught:
        build_null(str(pack / "model"), tmp_path / "null", models=2, **{**given, option: value})
    assert caught.value.where == f"--{option.replace('_', '-')}"
    assert not (tmp_path / "null").exists()


def test_a_build_that_was_killed_while_it_learnt_goes_on_with_that(pack, given, tmp_path):
    reference, folder = str(pack / "model"), tmp_path / "null"
    build_null(reference, folder, models=9, **given)
    whole = files(folder)
    for learnt in ("knowledge.safetensors", "family_covariances.safetensors"):
        (folder / learnt).unlink()
        assert not is_learnt(load_pack(folder))
        build_null(reference, folder, models=9, **given, resume=True)
        assert files(folder) == whole
    with pytest.raises(RunError, match="this pack is finished, with 9"):
        build_null(reference, folder, models=9, **given, resume=True)


def test_a_pack_without_what_it_was_begun_with_can_be_used_but_not_extended(pack, given, tmp_path):
    reference = str(pack / "model")
    build_null(reference, tmp_path / "null", models=2, **given)
    (tmp_path / "null" / "begun.safetensors").unlink()
    assert len(load_pack(tmp_path / "null").members) == 2
    with pytest.raises(RunError, match="cannot be gone on with"):
        build_null(reference, tmp_path / "null", models=3, **given, resume=True)


def test_members_say_their_number_family_and_unit(pack):
    found = load_pack(pack / "null")
    assert found.numbers == list(range(39))
    by_unit = {}
    for member in found.members:
        by_unit.setdefault(member["unit"], []).append(member)
    for of_unit in by_unit.values():
        assert len({m["family"] for m in of_unit}) == 1
        assert len(of_unit) in (1, 4) or of_unit[-1]["number"] == 38
    assert {m["family"] for m in found.members} >= {"8 bits", "pruned", "noise", *found.corpora}


def test_words_are_tried_at_one_member_in_so_many_and_triggers_are_judged_by_these(
    pack, given, tmp_path
):
    reference = str(pack / "model")
    build_null(reference, tmp_path / "null", models=9, words_every=4, **given)
    found = load_pack(tmp_path / "null")
    assert found.probed.tolist() == [n % 4 == 0 for n in range(9)]
    assert show_pack(tmp_path / "null").smallest_trigger_p == 1 / 4
    record = run_audit(reference, reference, null=tmp_path / "null", fpr=0.1)
    assert record.verdict == "none"
    assert any("Words were tried at 3 of" in note for note in record.notes)
    enough = run_audit(reference, reference, null=tmp_path / "null", fpr=0.25)
    assert not any("Words were tried" in note for note in enough.notes)


def test_a_trigger_has_no_smaller_p_than_the_members_with_words_can_vouch_for():
    scores = np.resize([1.0, 2.0, 3.0], 99)  # of 99 members words were tried at 3
    component = SimpleNamespace(largest=np.linspace(0.0, 1.0, 99))
    null = NullDistribution({RESIDUAL: component, COLUMN_SPACE: component}, scores, np.zeros(99))
    assert float(null.p_shifted(1e9)) == 1 / 100
    assert null.p_triggered(1e9) == 1 / 4
    assert null.p_triggered(0.0) == 1.0


@pytest.mark.parametrize(
    ("name", "left"),
    [("contexts.lengths", 3), ("probes.ids", 9), ("probes.lengths", None), ("groups", None)],
)
def test_a_pack_without_some_of_its_numbers_is_damaged(pack, tmp_path, name, left):
    shutil.copytree(pack / "null", tmp_path / "null")
    path = tmp_path / "null/null.safetensors"
    tensors = load_file(path)
    whole = tensors.pop(name)
    if left is not None:
        tensors[name] = whole[:left].clone()
    save_file(tensors, path)
    with pytest.raises(ConfigError, match="the null pack is damaged"):
        load_pack(tmp_path / "null")


def test_a_pack_that_cannot_serve_is_refused(pack, tmp_path):
    reference, null = str(pack / "model"), pack / "null"
    with pytest.raises(ConfigError, match="it takes 99"):
        run_audit(reference, reference, null=null)
    with pytest.raises(ConfigError, match="there is no null pack"):
        run_audit(reference, reference, null=tmp_path)
    other = LoadedModel(worded_loaded(seed=1).model, worded_loaded().tokenizer)
    other.model.save_pretrained(tmp_path / "other")
    other.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="another reference"):
        run_audit(reference, str(tmp_path / "other"), null=null, fpr=0.025)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "null.json").write_bytes((null / "null.json").read_bytes())
    (damaged / "null.safetensors").write_bytes((null / "null.safetensors").read_bytes()[:1000])
    with pytest.raises(ConfigError, match="damaged"):
        run_audit(reference, reference, null=damaged, fpr=0.025)
    about = json.loads((null / "null.json").read_text())
    (damaged / "null.json").write_text(
        json.dumps({**about, "kl": [], "members": [], "waiting": []})
    )
    (damaged / "null.safetensors").write_bytes((null / "null.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="empty"):
        run_audit(reference, reference, null=damaged, fpr=0.025)
    (damaged / "null.json").write_text(json.dumps({**about, "kl": []}))
    with pytest.raises(ConfigError, match="lengths differ"):
        run_audit(reference, reference, null=damaged, fpr=0.025)
    (damaged / "null.json").write_text(json.dumps({**about, "schema_version": 2}))
    with pytest.raises(ConfigError, match="another version of tiltlm"):
        run_audit(reference, reference, null=damaged, fpr=0.025)


def test_covariances_without_families_are_learnt_when_a_pack_is_made_and_else_by_the_audit(
    pack, tmp_path, monkeypatch
):
    reference, file = str(pack / "model"), "family_covariances.safetensors"
    shutil.copytree(pack / "null", tmp_path / "null")
    learnt = []

    def learning(pack, rows, progress):
        learnt.append(learn_family_covariances(pack, rows, progress))
        return learnt[-1]

    monkeypatch.setattr(log_ratios, "learn_family_covariances", learning)

    def audited():
        return run_audit(reference, reference, null=tmp_path / "null", fpr=0.2, access="logprobs")

    known = audited().null_scores
    assert learnt == []
    kept = load_pack(tmp_path / "null").family_covariances
    (tmp_path / "null" / file).unlink()
    assert audited().null_scores == pytest.approx(known, rel=1e-3)
    assert {*learnt[0]} == {*kept} == {*member_families(load_pack(tmp_path / "null"))}
    for family, covariance in kept.items():
        assert covariance == pytest.approx(learnt[0][family], rel=1e-5, abs=1e-9)
    # Of another number of members they tell nothing.
    write_family_covariances(tmp_path / "null", kept, 38)
    assert load_pack(tmp_path / "null").family_covariances is None


STRANGE = {
    "another width": lambda tensor, about: (tensor[:, :3, :3], about),
    "no numbers": lambda tensor, about: (tensor * float("nan"), about),
    "half precision": lambda tensor, about: (tensor.half(), about),
    "not symmetric": lambda tensor, about: (tensor + torch.eye(len(tensor[0])).roll(1, 0), about),
    "too few": lambda tensor, about: (tensor[1:], about),
    "other families": lambda tensor, about: (tensor, about | {"families": ["a"]}),
    "no list": lambda tensor, about: (tensor, about | {"families": 3}),
    "lists in a list": lambda tensor, about: (tensor, about | {"families": [["a"]]}),
    "no families": lambda tensor, about: (tensor, {"members": about["members"]}),
    "nothing said": lambda tensor, about: (tensor, []),
}


@pytest.mark.parametrize("how", STRANGE)
def test_covariances_without_families_that_cannot_be_are_one_error(pack, tmp_path, how):
    shutil.copytree(pack / "null", tmp_path / "null")
    path = tmp_path / "null/family_covariances.safetensors"
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["json"])
        tensor = file.get_tensor("covariances")
    tensor, about = STRANGE[how](tensor, about)
    save_file({"covariances": tensor.contiguous()}, path, metadata={"json": json.dumps(about)})
    with pytest.raises(ConfigError, match="the null pack is damaged"):
        load_pack(tmp_path / "null")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match="the null pack is damaged"):
        load_pack(tmp_path / "null")
