import json
import re

from tests.conftest import TINY_RUN
from tiltlm.cli.run import free_folder

SETS = [part for item in (*TINY_RUN, "train.steps=3") for part in ("--set", item)]


def test_recipes_are_listed_and_shown(tiltlm_command):
    code, out, _ = tiltlm_command("recipes")
    assert code == 0
    assert re.findall(r"^\w+", out, re.MULTILINE) == ["article", "quick"]
    _, out, _ = tiltlm_command("recipes", "show", "article")
    assert "steps: 200" in out
    assert out.startswith("# The article's experiment to the letter")
    _, out, _ = tiltlm_command("recipes", "show", "article", "--set", "train.steps=7")
    assert "steps: 7" in out


def test_run_then_sample_then_report(tiltlm_command, tmp_path):
    out_dir = tmp_path / "run"
    code, out, err = tiltlm_command("run", "quick", "--out", out_dir, "--seed", "2", *SETS)
    assert code == 0
    assert "of 20 generated tokens are in the event" in out
    assert "generating before training 5/5" in err
    assert (out_dir / "report.html").is_file()

    code, out, err = tiltlm_command(
        "sample", out_dir / "model", "--new-tokens", "30", "--sequences", "2", "--json"
    )
    assert code == 0
    assert "drawing tokens 30/30" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [len(line["token_ids"]) for line in lines] == [30, 30]
    assert [line["sequence"] for line in lines] == [0, 1]

    page = (out_dir / "report.html").read_text()
    (out_dir / "report.html").unlink()
    code, _, _ = tiltlm_command("report", out_dir)
    assert code == 0
    assert (out_dir / "report.html").read_text() == page


def test_run_prints_the_record_as_json(tiltlm_command, tmp_path):
    code, out, _ = tiltlm_command("run", "quick", "--out", tmp_path / "run", "--json", *SETS)
    assert code == 0
    assert json.loads(out)["event"]["tokens"] == 897


def test_demo_takes_a_new_folder_each_time(tmp_path):
    assert free_folder(tmp_path) == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    assert free_folder(tmp_path) == tmp_path / "demo-2"


def test_a_run_speaks_vietnamese_where_it_is_asked_to(tiltlm_command, tmp_path):
    out = tmp_path / "run"
    code, printed, _ = tiltlm_command(
        "run",
        "quick",
        "--out",
        out,
        "--lang",
        "vi",
        *(f"--set={o}" for o in TINY_RUN),
        "--set=train.steps=2",
    )
    assert code == 0
    assert "token được sinh ra thuộc biến cố" in printed
    assert "token có chứa “x”, contains('x'): 897 trên 50,257 token" in printed
    assert '<html lang="vi">' in (out / "report.html").read_text()
    code, _, _ = tiltlm_command("report", out)
    assert code == 0
    assert '<html lang="en">' in (out / "report.html").read_text()


def test_a_language_that_is_not_there_is_told_before_any_work(tiltlm_command, tmp_path):
    code, _, error = tiltlm_command("run", "quick", "--out", tmp_path / "run", "--lang", "xx")
    assert code == 2
    assert "no such language: 'xx'" in error
    assert not (tmp_path / "run").exists()
