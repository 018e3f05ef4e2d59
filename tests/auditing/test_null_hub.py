"""Null packs on the Hub: sent, fetched by name, checked like any other; and what shows them."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tiltlm.auditing.inputs import uncalibrated_note
from tiltlm.auditing.null.building import build_null
from tiltlm.auditing.null.hub import pack_folder, push_pack
from tiltlm.auditing.null.pack_files import load_pack
from tiltlm.auditing.null.plan import PackOptions
from tiltlm.auditing.null.planning import plan_null
from tiltlm.auditing.null.showing import show_pack
from tiltlm.cli.main import app
from tiltlm.commands.audit import run_audit
from tiltlm.errors import ConfigError, RunError
from tiltlm.models.loading import load


class StandInHub:
    """What of the Hub's client is used, with folders in place of repositories."""

    def __init__(self, place: Path) -> None:
        self.place, self.private, self.fetched = place, {}, []

    def HfApi(self):  # noqa: N802  (as the library calls it)
        return self

    def create_repo(self, name, *, repo_type, private, exist_ok):
        assert (repo_type, exist_ok) == ("dataset", True)
        self.private[name] = private
        (self.place / name).mkdir(parents=True, exist_ok=True)
        return f"https://hub/datasets/{name}"

    def upload_folder(self, *, repo_id, repo_type, folder_path, allow_patterns, commit_message):
        assert repo_type == "dataset"
        for name in allow_patterns:
            if (Path(folder_path) / name).is_file():
                shutil.copy(Path(folder_path) / name, self.place / repo_id / name)

    def snapshot_download(self, name, *, repo_type, allow_patterns):
        assert repo_type == "dataset"
        if not (self.place / name).is_dir():
            raise OSError("404 Client Error.")
        self.fetched.append(name)
        assert all(pattern.endswith((".json", ".safetensors")) for pattern in allow_patterns)
        return str(self.place / name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    stand_in = StandInHub(tmp_path / "hub")
    for name in ("HfApi", "snapshot_download"):
        monkeypatch.setattr(huggingface_hub, name, getattr(stand_in, name))
    return stand_in


def test_a_pack_goes_to_the_hub_and_is_loaded_by_its_name(pack, hub):
    assert push_pack(pack / "null", "org/pack") == "https://hub/datasets/org/pack"
    assert hub.private == {"org/pack": True}
    # What was begun with holds the texts themselves.
    assert sorted(p.name for p in (hub.place / "org/pack").iterdir()) == [
        "family_covariances.safetensors",
        "knowledge.safetensors",
        "null.json",
        "null.safetensors",
    ]
    reference = str(pack / "model")
    record = run_audit(reference, reference, null=Path("org/pack"), fpr=0.025)
    assert (record.verdict, record.null.models, record.null.pack) == ("none", 39, "org/pack")
    assert hub.fetched == ["org/pack"]
    shown = show_pack("org/pack")
    assert shown.models == 39
    assert not shown.extendable


def test_a_name_that_neither_a_folder_nor_the_hub_has_is_one_error(pack, hub):
    reference = str(pack / "model")
    with pytest.raises(ConfigError, match="nor on the Hub: 404"):
        run_audit(reference, reference, null=Path("org/other"), fpr=0.025)
    for name in ("./pack", "/no/where", "two/levels/down", "pack"):
        assert pack_folder(name) == Path(name)
    assert hub.fetched == []


def test_only_a_finished_pack_is_sent(pack, hub, tmp_path):
    with pytest.raises(ConfigError, match="there is no null pack"):
        push_pack(tmp_path / "none", "org/pack")
    (tmp_path / "part" / "members").mkdir(parents=True)
    (tmp_path / "part" / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="no members yet"):
        push_pack(tmp_path / "part", "org/pack")
    assert hub.private == {}


def test_what_the_hub_refuses_is_one_error(pack, hub, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("401 Client Error.\nmore")

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(RunError, match="did not take the pack: 401 Client Error"):
        push_pack(pack / "null", "org/pack")


def _tensor(name, change):
    return lambda tensors, about: tensors.update({name: change(tensors[name])})


def _said(**values):
    return lambda tensors, about: about.update(values)


def _member(key, value):
    return lambda tensors, about: about["members"][3].update({key: value})


HOSTILE = {
    "a token beyond the vocabulary": _tensor("ids", lambda t: t + 100_000),
    "a token below it": _tensor("ids", lambda t: -1 - t),
    "tokens that are no whole numbers": _tensor("ids", lambda t: t.float()),
    "shifts that are none": _tensor("shifts", lambda t: t * float("nan")),
    "masses below 0": _tensor("masses", lambda t: -1 - t),
    "another width": _tensor("moves", lambda t: t[:3, :3].clone()),
    "infinite moves": _tensor("stratum_moves", lambda t: t + float("inf")),
    "strata that there are not": _tensor("strata", lambda t: t + 1000),
    "strata of other positions": _tensor("strata", lambda t: t[:-1].clone()),
    "words that there are not": _tensor("groups", lambda t: t + 1000),
    "contexts of other tokens": _tensor("contexts.ids", lambda t: t + 100_000),
    "contexts that count nowhere": _tensor("contexts.weights", lambda t: t * 0),
    "other numbers": _tensor("numbers", lambda t: t + 1),
    "a divergence in words": lambda tensors, about: about["kl"].__setitem__(0, "much"),
    "scores in words": lambda tensors, about: about["waiting"].__setitem__(0, "much"),
    "no members but a text": _said(members="none"),
    "a reference without a name": _said(reference={"sha256": "0"}),
    "corpora that are a list": _said(corpora=["a"]),
    "a family that is a list": _member("family", ["a"]),
    "a number in words": _member("number", "three"),
    "a number twice": _member("number", 2),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_pack_of_a_strangers_that_cannot_be_is_one_error(pack, hub, what):
    push_pack(pack / "null", "org/pack")
    place = hub.place / "org/pack"
    tensors, about = (
        load_file(place / "null.safetensors"),
        json.loads((place / "null.json").read_text()),
    )
    HOSTILE[what](tensors, about)
    save_file(tensors, place / "null.safetensors")
    (place / "null.json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="the null pack is damaged"):
        load_pack(pack_folder("org/pack"))


def test_what_is_shown_of_a_pack_is_what_is_in_it(pack, tmp_path):
    found, shown = load_pack(pack / "null"), show_pack(pack / "null")
    assert shown.models == 39 == sum(shown.families.values()) == sum(shown.methods.values())
    assert shown.smallest_p == shown.smallest_trigger_p == 1 / 40
    assert (shown.kl_nats["least"], shown.kl_nats["largest"]) == (min(found.kl), max(found.kl))
    assert shown.finished
    assert shown.extendable
    assert shown.lacks["licences"] == "the default mix was left out"
    assert "Kinds of text that the pack was trained on: 2." in shown.notes[0]
    printed = CliRunner().invoke(app, ["null", "show", str(pack / "null")])
    assert printed.exit_code == 0, printed.output
    said = " ".join(printed.output.split())
    for part in (
        "39 benign changes of",
        "vouches for a false-positive rate of 0.025",
        "lacks chat",
    ):
        assert part in said
    told = CliRunner().invoke(app, ["null", "show", str(pack / "null"), "--json"])
    assert json.loads(told.output) == shown.model_dump(mode="json")


def test_a_plan_says_what_a_pack_takes_and_keeps_nothing(pack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {
        "corpora": [f"text:{pack / 'one.txt'}"], "default_corpora": False, "contexts": 8,
        "length": 24, "steps": (1, 2), "words": 16,
    }  # fmt: skip
    reference = str(pack / "model")
    plan = plan_null(reference, models=30, options=PackOptions(**options))
    assert list(tmp_path.iterdir()) == []
    assert (plan.models, plan.smallest_p) == (30, 1 / 31)
    build_null(reference, tmp_path / "null", models=5, **options)
    names = ("null.safetensors", "knowledge.safetensors")
    size = sum((tmp_path / "null" / name).stat().st_size for name in names)
    five = plan_null(reference, models=5, options=PackOptions(**options))
    # What has a number a class or a context is left out of the estimate.
    assert five.bytes == pytest.approx(size, rel=0.4)
    # Times on a busy machine are only so sure; ten times as many take ten times as long.
    assert 0 < plan.seconds < 300
    assert plan.trainings == 6
    assert (plan.bytes - five.bytes) / 25 < five.bytes / 5


def test_the_plan_is_what_the_command_prints_and_without_a_folder_nothing_is_built(pack):
    given = ["null", "build", "--reference", str(pack / "model"), "--n", "4"]
    given += ["--corpus", f"text:{pack / 'one.txt'}", "--no-default-corpora", "--words", "16"]
    given += ["--contexts", "8", "--length", "24", "--steps", "1,2"]
    planned = CliRunner().invoke(app, [*given, "--plan"])
    assert planned.exit_code == 0, planned.output
    assert "4 benign changes of" in planned.output
    assert "nothing was kept" in planned.output
    refused = CliRunner().invoke(app, given)
    assert isinstance(refused.exception, ConfigError)
    assert "no folder to write to" in str(refused.exception)


def test_an_audit_without_a_pack_says_what_one_takes(pack):
    note = uncalibrated_note(load(str(pack / "model")))
    assert "tiltlm null build --reference M --out DIR --n 99 (roughly " in note
    record = run_audit(str(pack / "model"), str(pack / "model"), contexts="random")
    assert any("tiltlm null build" in line for line in record.notes)
