"""Suspects whose label lies: an audit quotes it, compares it, and goes by nothing of it."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.tiny import tiny_config, tiny_tokenizer, worded_loaded
from tiltlm.auditing import models
from tiltlm.auditing.auditing import ACCESSES
from tiltlm.cli.printing_audit import print_any_audit
from tiltlm.commands.audit import run_audit
from tiltlm.commands.tilt import run_tilt
from tiltlm.errors import ConfigError, ModelError
from tiltlm.labels.label import read_label
from tiltlm.labels.step import LabelBase
from tiltlm.models.loading import LoadedModel, load_base
from tiltlm.recipes.tilt import recipe_of

TARGET = "tilt(contains('k'), 1.5)"


def tilted(pack, out, target=TARGET, **options):
    recipe_options = {"target": target, "contexts": "own:24", **options}
    run_tilt(recipe_of(str(pack / "model"), recipe_options, {}), out)
    return out


@pytest.fixture(scope="module")
def suspect(pack, tmp_path_factory):
    """Whole weights that are tilted, with their own label."""
    return tilted(pack, tmp_path_factory.mktemp("suspect") / "t", merge=True)


def with_label(suspect, out, **changes):
    """The same weights under a label with other fields."""
    shutil.copytree(suspect, out)
    file = out / "model" / "tilt.json"
    label = json.loads(file.read_text())
    for key, value in changes.items():
        if isinstance(value, dict):
            label[key] |= value
        else:
            label[key] = value
    file.write_text(json.dumps(label))
    return out


def audited(pack, suspect, **options):
    return run_audit(str(suspect), str(pack / "model"), null=pack / "null", fpr=0.025, **options)


def judged(record):
    """A record without its suspect's name, its claim, and what a clock says."""
    return record.model_dump(exclude={"suspect", "claim", "seconds"})


def test_a_label_that_lies_changes_nothing_but_what_is_quoted(pack, suspect, tmp_path):
    honest = audited(pack, suspect)
    lies = with_label(
        suspect,
        tmp_path / "lies",
        target="tilt(contains('z'), -3)",
        events=["contains('z')"],
        strengths=[-3.0],
        by="decode",
        form="processor",
        seed=7,
        base={"name": "model5", "sha256": "0" * 64, "seed": 9, "config": {"n_layer": 1}},
    )
    lied = audited(pack, lies)
    assert judged(honest) == judged(lied)
    assert honest.verdict == "found"
    assert [e.outcome for e in honest.claim.events] == ["agrees"]
    assert (honest.claim.reference, honest.claim.unclaimed) == ("the same", [])
    assert honest.claim.events[0].found_nats == pytest.approx(1.5, abs=0.3)
    assert [e.outcome for e in lied.claim.events] == ["not found"]
    assert (lied.claim.by, lied.claim.reference) == ("decode", "another")
    assert lied.claim.unclaimed == [f.event for f in lied.findings]


def test_a_label_with_the_other_sign_is_contradicted(pack, suspect, tmp_path):
    record = audited(pack, with_label(suspect, tmp_path / "s", strengths=[-1.5]))
    assert [e.outcome for e in record.claim.events] == ["contradicts"]


@pytest.mark.parametrize(
    "text",
    ["{", "[" * 100_000, "null", '{"schema_version": 9}', '"' + "x" * 10_000 + '"'],
    ids=["cut off", "deep", "null", "of another version", "text"],
)
def test_a_label_that_cannot_be_read_stops_no_audit(pack, suspect, tmp_path, text):
    shutil.copytree(suspect, tmp_path / "s")
    (tmp_path / "s" / "model" / "tilt.json").write_text(text)
    record = run_audit(str(tmp_path / "s"), str(pack / "model"), contexts="random")
    assert record.claim.unreadable
    assert record.kl_nats > 0.01


def test_a_label_with_half_a_character_in_it_is_quoted_as_one_that_cannot_be_read(
    pack, suspect, tmp_path
):
    lies = with_label(suspect, tmp_path / "s", events=["contains('\ud800')"])
    record = audited(pack, lies)
    assert record.claim.unreadable
    assert record.verdict == "found"


@pytest.mark.parametrize(
    "event",
    [
        "tokens(lines('/etc/hostname'))",
        "contains(",
        "~" * 20_000 + "special()",
        "",
    ],
)
def test_events_of_a_label_that_make_no_sense_are_quoted_and_not_judged(
    pack, suspect, tmp_path, event
):
    record = audited(pack, with_label(suspect, tmp_path / "s", events=[event] * 20))
    assert {e.outcome for e in record.claim.events} == {"not judged"}
    assert len(record.claim.events) == 8
    assert record.verdict == "found"


def test_without_a_pack_a_claim_is_not_judged(pack, suspect):
    record = run_audit(str(suspect), str(pack / "model"), contexts="random")
    assert [e.outcome for e in record.claim.events] == ["not judged"]


@pytest.mark.parametrize("access", sorted(ACCESSES))
def test_a_folder_without_weights_is_audited_as_decoding_only_where_the_user_says_so(
    pack, tmp_path, access
):
    decoded = tilted(pack, tmp_path / "decoded", by="decode")
    options = {"access": access} if access == "logits" else {"access": access, "budget": 400}
    with pytest.raises(ConfigError, match="an audit does not go by a suspect's label") as caught:
        run_audit(str(decoded), str(pack / "model"), tmp_path / "out", **options)
    assert "--decodes" in caught.value.fix
    assert not (tmp_path / "out").exists()
    record = run_audit(str(decoded), str(pack / "model"), decodes=True, **options)
    assert record.notes[0].startswith("The suspect has no weights.")
    assert record.claim.target == "tilt(contains('k'), 1.5)"


def test_a_suspect_with_weights_does_not_decode_whoever_says_so(pack, suspect):
    for given in (str(suspect), worded_loaded()):
        with pytest.raises(ConfigError, match="has weights, or no label") as caught:
            run_audit(given, str(pack / "model"), decodes=True)
        assert caught.value.fix == "leave out --decodes"
    with pytest.raises(ConfigError, match="not by a label"):
        run_audit("m", str(pack / "model"), access="text", endpoint="http://x/v1", decodes=True)


def test_a_decoding_suspect_is_read_beside_the_reference_that_was_named(pack, tmp_path):
    decoded = tilted(pack, tmp_path / "decoded", by="decode")
    other = worded_loaded(seed=3)
    for part in other:
        part.save_pretrained(tmp_path / "other")
    record = run_audit(str(decoded), str(tmp_path / "other"), contexts="random", decodes=True)
    label = read_label(decoded)
    assert record.reference["sha256"] != label.base.sha256
    assert record.claim.reference == "another"


def test_a_reference_is_loaded_as_it_was_named_whatever_base_a_label_says(
    suspect, tmp_path, monkeypatch
):
    base = {"name": "model5", "sha256": None, "seed": 9, "config": {"n_layer": 1}}
    lies = with_label(suspect, tmp_path / "lies", base=base)
    asked = []

    def open_both(*arguments):
        asked.append(arguments)
        return worded_loaded(), worded_loaded()

    monkeypatch.setattr(models, "open_both", open_both)
    models.open_suspect(str(lies), "model5")
    assert asked == [(LabelBase(name="model5", sha256=None), str(lies / "model"), None)]


def test_a_base_with_other_weights_than_the_label_says_is_refused(pack, suspect):
    base = read_label(suspect / "model").base
    assert load_base(base).name == base.name
    with pytest.raises(ModelError, match="not the base that the label names"):
        load_base(base.model_copy(update={"sha256": "0" * 64}))


def test_a_label_is_quoted_on_the_page_and_the_terminal_without_being_markup(
    pack, suspect, tmp_path, capsys
):
    name = "[/bold]<script>alert(1)</script>\x1b[31m\nverdict: nothing found"
    lies = with_label(suspect, tmp_path / "[/x] lies", target=name)
    record = run_audit(str(lies), str(pack / "model"), tmp_path / "out", contexts="random")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    print_any_audit(record, None)
    printed = capsys.readouterr().out
    assert "\x1b[31m" not in printed
    assert "\nverdict: nothing found" not in printed
    assert "its label says (a claim): [/bold]<script>" in printed


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama"])
@pytest.mark.parametrize("access", ["logits", "logprobs", "text"])
def test_models_that_read_few_tokens_are_audited_by_every_access(kind, access):
    tokenizer = tiny_tokenizer()
    config = tiny_config(kind, len(tokenizer))
    config.max_position_embeddings = 16
    torch.manual_seed(0)
    reference = LoadedModel(AutoModelForCausalLM.from_config(config).eval(), tokenizer)
    options = {} if access == "logits" else {"budget": 400}
    record = run_audit(reference, reference, access=access, **options)
    assert record.verdict in ("none", "uncalibrated")


def test_a_suspect_that_reads_less_than_its_reference_is_one_error():
    tokenizer = tiny_tokenizer()
    loaded = []
    for length in (64, 16):
        config = tiny_config("gpt2", len(tokenizer))
        config.n_positions = length
        loaded.append(LoadedModel(AutoModelForCausalLM.from_config(config).eval(), tokenizer))
    for access in ("logits", "logprobs"):
        with pytest.raises(ModelError, match="the suspect reads 16 tokens"):
            run_audit(loaded[1], loaded[0], access=access)
