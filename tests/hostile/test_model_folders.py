"""Folders of models that mean harm."""

import json
import subprocess
import sys

import pytest

from tests.tiny import tiny_loaded


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
