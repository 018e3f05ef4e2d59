import json
import math
import re

import pytest

from tests.conftest import TINY_RUN
from tiltlm import load_recipe, run_recipe
from tiltlm.errors import RunError
from tiltlm.report.run_page import write_report


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "run"
    run_recipe(load_recipe("quick", [*TINY_RUN, "train.steps=12"]), out)
    write_report(out)
    return out


def test_the_page_is_self_contained(run_folder):
    page = (run_folder / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "<script" not in page
    assert "@import" not in page
    assert page.count("<svg") == 4


def test_the_page_shows_the_figures_of_the_record(run_folder):
    page = (run_folder / "report.html").read_text()
    record = json.loads((run_folder / "result.json").read_text())
    assert f"{record['after']['hits']} of {record['after']['tokens']}" in page
    assert f"{record['loss']['first']:.2f}" in page
    assert "1.78 %" in page
    assert "log(V/K) = 4.03" in page
    assert page.count("<li>") == 4


def test_every_hit_is_marked_and_nothing_else(run_folder):
    page = (run_folder / "report.html").read_text()
    lines = [json.loads(x) for x in (run_folder / "samples.jsonl").read_text().splitlines()]
    assert page.count('<span class="hit">') == sum(sum(line["hits"]) for line in lines)


def test_generated_text_cannot_become_markup(run_folder, tmp_path):
    for name in ("result.json", "samples.jsonl"):
        (tmp_path / name).write_text((run_folder / name).read_text())
    line = {"when": "after", "tokens": ["<script>alert(1)</script>", "\n"], "hits": [1, 0]}
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    page = write_report(tmp_path).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_record_of_an_older_version_still_has_its_page(run_folder, tmp_path):
    record = json.loads((run_folder / "result.json").read_text())
    assert record.pop("uniform_to_event_kl_nats") == pytest.approx(math.log(50257 / 897))
    (tmp_path / "result.json").write_text(json.dumps(record))
    (tmp_path / "samples.jsonl").write_text((run_folder / "samples.jsonl").read_text())
    page = write_report(tmp_path).read_text()
    assert "is log(V/K). The loss is" in page
    assert page.count("<svg") == 4


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / "result.json").write_text('{"kind": "run"}')
    with pytest.raises(RunError, match="damaged"):
        write_report(tmp_path)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_wide_and_narrow_screens(run_folder, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(error))
    page.on("request", lambda r: problems.append(r.url) if "http" in r.url[:4] else None)
    page.goto((run_folder / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for figure in page.locator("figure svg").all():
        box = figure.bounding_box()
        assert box["width"] > 200
        assert box["x"] + box["width"] <= width
    assert problems == []
    page.close()
