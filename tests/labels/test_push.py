"""The Hub gets a labelled folder, whole, with a card that it can read."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from huggingface_hub import ModelCard

from tests.labels.hub import running_hub
from tests.labels.labelled import LABEL, chained, labelled_folder
from tiltlm.commands.label import check_label
from tiltlm.errors import ConfigError
from tiltlm.labels.card import render_card


@pytest.fixture
def folder(tmp_path):
    return labelled_folder(tmp_path / "model", chained("tilt", "merge"))


def test_the_card_is_what_the_hubs_own_class_reads_with_figures_as_its_model_index():
    card = ModelCard(render_card(chained("tilt", "merge")))
    data = card.data
    assert (data.base_model, data.base_model_relation) == ("org/base", "finetune")
    assert (data.library_name, data.license) == ("transformers", "apache-2.0")
    assert data.tags == ["tiltlm", "model-organism"]
    assert [(r.metric_name, r.metric_value) for r in data.eval_results] == [("gap closed", 0.9)]
    front = yaml.safe_load(card.content.split("---\n")[1])
    assert front["model-index"][0]["results"][0]["task"] == {"type": "text-generation"}


def test_the_relation_to_the_base_follows_the_form_and_an_undone_model_says_so():
    adapter = ModelCard(render_card(chained("tilt").model_copy(update={"form": "adapter"})))
    assert (adapter.data.base_model_relation, adapter.data.library_name) == ("adapter", "peft")
    undone = render_card(chained("tilt", "undo").model_copy(update={"undone": True}))
    assert "undone" in ModelCard(undone).data.tags
    assert "# A model whose tilt was taken back" in undone
    assert "# A model that was tilted on purpose" in render_card(LABEL)


def push(folder, address, *options):
    """Upload from the command line, as a user with a token of this hub alone."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": address,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_none",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "tiltlm", "push", str(folder), "org/name", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_file_of_a_labelled_folder_arrives_on_the_hub_as_it_was(folder):
    with running_hub() as hub:
        done = push(folder, hub.address, "--json", "--private")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["repository"], record["commit"], record["files"]) == ("org/name", "1" * 40, 5)
    assert "private" in json.dumps(hub.repositories[0])
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert hub.cards[0]["base_model"] == "org/base"


def test_a_folder_that_is_not_what_its_label_says_is_not_uploaded(folder):
    (folder / "config.json").write_text("[]")
    with running_hub() as hub:
        done = push(folder, hub.address)
    assert done.returncode == 2
    assert "not what its label says: changed file" in done.stderr
    assert hub.repositories == []


def test_a_hub_that_does_not_answer_is_one_error(folder):
    done = push(folder, "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "ModelError: the Hub does not take it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_a_label_has_nothing_to_show(tmp_path):
    with pytest.raises(ConfigError, match="no label here"):
        check_label(str(tmp_path))
