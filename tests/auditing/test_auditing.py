"""What all accesses of the audit share: options, loaded models, asking until one is cut off."""

import inspect
import json

import pytest
import torch

import tiltlm.auditing
from tests.tiny import worded_loaded
from tiltlm.auditing.access import SHARED_OPTIONS
from tiltlm.auditing.asking import BatchCollector
from tiltlm.auditing.auditing import ACCESSES, audit
from tiltlm.auditing.case import AuditOptions
from tiltlm.auditing.null.building import build_null
from tiltlm.auditing.null.pack_files import load_pack
from tiltlm.cli.audit import Access as AccessOnCommandLine
from tiltlm.commands.audit import run_audit
from tiltlm.errors import ConfigError, ModelError, RunError
from tiltlm.models.loading import LoadedModel


def reference_of(pack):
    return str(pack / "model")


@pytest.mark.parametrize(
    ("access", "options", "message"),
    [
        ("logits", {"endpoint": "http://127.0.0.1:1/v1"}, "an endpoint gives text"),
        ("logits", {"budget": 100}, "an audit by logits has no use for this option"),
        ("logprobs", {"events": ["contains('k')"]}, "all classes are tried at once"),
        ("logprobs", {"contexts": "random"}, "an audit by logprobs has no use"),
        ("text", {"within": 0.2}, "an audit by text has no use"),
        ("sight", {}, "no such access"),
    ],
)
def test_options_that_an_access_does_not_take_are_refused_before_anything_is_loaded(
    access, options, message
):
    with pytest.raises(ConfigError, match=message):
        audit("there is no such model", "nor this", access=access, **options)


def test_every_access_takes_options_that_there_are_and_the_command_line_offers_it():
    names = {option.name for option in AuditOptions.__dataclass_fields__.values()}
    for name, access in ACCESSES.items():
        assert access.name == name
        assert access.takes | access.refusals.keys() | SHARED_OPTIONS <= names
        assert not access.takes & access.refusals.keys()
        assert not inspect.isabstract(access)
    assert {access.value for access in AccessOnCommandLine} == set(ACCESSES)


def test_loaded_models_are_audited_as_named_ones_are(pack):
    reference = worded_loaded()
    suspect = worded_loaded()
    with torch.no_grad():
        suspect.model.get_output_embeddings().weight[5] += 0.1
    suspect.model.save_pretrained(pack / "moved")
    suspect.tokenizer.save_pretrained(pack / "moved")
    named = audit(str(pack / "moved"), reference_of(pack), contexts="random")
    loaded = audit(suspect, reference, contexts="random")
    mixed = audit(suspect, pack / "model", contexts="random")
    assert named.kl_nats == loaded.kl_nats == mixed.kl_nats > 0
    assert (loaded.suspect, mixed.reference["name"]) == ("a model in memory", reference_of(pack))
    assert loaded.moved == named.moved


def test_a_loaded_model_has_no_name_at_an_endpoint():
    loaded = worded_loaded()
    with pytest.raises(ConfigError, match="by its name there"):
        audit(loaded, loaded, access="text", endpoint="http://127.0.0.1:1/v1")


@pytest.mark.parametrize("access", sorted(ACCESSES))
def test_the_command_writes_what_the_function_returns(pack, tmp_path, access):
    reference, options = reference_of(pack), {"access": access}
    if access != "logits":
        options["budget"] = 200
    record = run_audit(reference, reference, tmp_path / "out", **options)
    assert record.access == access
    saved = json.loads((tmp_path / "out" / "result.json").read_text())
    assert saved == record.model_dump(mode="json")
    assert "<html" in (tmp_path / "out" / "audit.html").read_text()
    with pytest.raises(RunError, match="holds something already"):
        run_audit(reference, reference, tmp_path / "out", **options)


def test_a_pack_is_made_of_a_loaded_reference_as_of_a_named_one(pack, tmp_path):
    options = {"models": 2, "contexts": 4, "length": 24, "steps": (1, 2), "words": 16}
    options["default_corpora"] = False
    corpora = [f"text:{pack / 'one.txt'}"]
    build_null(reference_of(pack), tmp_path / "named", corpora=corpora, **options)
    loaded = LoadedModel(*worded_loaded(), name="mine")
    built = build_null(loaded, tmp_path / "loaded", corpora=corpora, **options)
    assert built.reference["name"] == "mine"
    assert built.corpora == {corpora[0]: corpora[0].replace(":", " ", 1)}
    assert "Kinds of text that the pack was trained on: 1." in built.notes[0]
    first, second = load_pack(tmp_path / "named"), load_pack(tmp_path / "loaded")
    assert torch.equal(first.shifts, second.shifts)
    assert first.reference["sha256"] == second.reference["sha256"]


def test_a_pack_needs_some_text_to_train_on(pack, tmp_path):
    with pytest.raises(ConfigError, match="no text to train on"):
        build_null(reference_of(pack), tmp_path / "null", default_corpora=False)
    assert not (tmp_path / "null").exists()


def failing():
    raise ModelError("it is gone")


def test_a_suspect_that_fails_after_it_answered_is_cut_off_and_before_that_is_an_error():
    collector = BatchCollector()
    with pytest.raises(ModelError):
        collector.collect(failing)
    collector.collect(lambda: [1, 2])
    assert collector.collect(failing) == []
    assert (collector.items, collector.cut_off) == ([1, 2], "it is gone")


def test_the_face_of_the_package_names_what_there_is():
    for name in tiltlm.auditing.__all__:
        assert getattr(tiltlm.auditing, name) is not None
