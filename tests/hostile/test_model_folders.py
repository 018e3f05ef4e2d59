"""Folders of models that mean harm."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny import tiny_loaded
from tiltlm.errors import ModelError
from tiltlm.models.loading import load


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_not_run_whoever_says_yes(tmp_path, file):
    loaded = tiny_loaded()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    written = tmp_path / "written"
    (tmp_path / "model" / "stranger.py").write_text(f"open({str(written)!r}, 'w').write('ran')\n")
    config = json.loads((tmp_path / "model" / file).read_text())
    config["model_type"] = "stranger"
    config["auto_map"] = {
        "AutoConfig": "stranger.Config",
        "AutoModelForCausalLM": "stranger.Model",
        "AutoTokenizer": ["stranger.Tokenizer", None],
    }
    (tmp_path / "model" / file).write_text(json.dumps(config))
    command = [sys.executable, "-m", "tiltlm", "sample", str(tmp_path / "model")]
    command += ["--prompt", "fox", "--new-tokens", "2"]
    done = subprocess.run(command, input="y\n" * 9, capture_output=True, text=True, timeout=120)
    assert not written.exists()
    assert "Traceback" not in done.stderr
    # A tokenizer whose class transformers knows all the same is loaded as that class.
    assert done.returncode in (0, 2)


@pytest.mark.parametrize("inside", ["", "model"])
def test_weights_are_audited_though_the_label_says_that_there_are_none(tmp_path, base, inside):
    from tiltlm.commands.tilt import run_tilt
    from tiltlm.measures.opening import open_pair
    from tiltlm.realise.opening import open_tilted
    from tiltlm.recipes.tilt import recipe_of

    options = {"target": "tilt(contains('o'), 2)", "contexts": "random"}
    run_tilt(recipe_of(str(base), {**options, "by": "decode"}, {}), tmp_path / "decoded")
    run_tilt(recipe_of(str(base), {**options, "merge": True}, {}), tmp_path / "merged")
    suspect = tmp_path / "suspect"
    shutil.copytree(tmp_path / "merged" / "model", suspect / inside)
    (suspect / inside / "tilt.json").unlink()
    shutil.copy(tmp_path / "decoded" / "tilt.json", suspect / "tilt.json")
    pair, _, label = open_pair(str(suspect), str(base))
    assert label.form == "processor"
    assert not pair.decodes
    ids = torch.arange(9)[None].to(pair.base.model.device)
    with torch.no_grad():
        reference, model = (loaded.model(ids).logits for loaded in (pair.base, pair.model))
    assert (model - reference).abs().max() > 1
    assert open_tilted(str(suspect)).processor is None


@pytest.mark.parametrize("lost", ["lm_head.weight", "model.layers.0.mlp.down_proj.weight"])
def test_weights_that_are_missing_are_named_and_not_made_up(base, lost):
    weights = load_file(base / "model.safetensors")
    weights.pop(lost)
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks weights: {lost}"):
        load(base)
