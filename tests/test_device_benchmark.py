"""The benchmark that is made for a machine with a GPU runs to its end on a processor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_command_and_all_work_go_through_and_agree(tmp_path):
    command = [sys.executable, "-m", "benchmarks.device", "--device", "cpu", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "device.json").read_text())
    assert len(found["parity"]) >= 12
    assert [row for row in found["parity"] if "error" in row or row["worst"] > 0] == []
    assert [row["result"] for row in found["work"] if "Error:" in row["result"]] == []
