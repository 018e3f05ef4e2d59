"""Every page in a browser: fits any screen, in the light and in the dark, and says all in words."""

import re

import pytest

from tests.browser import WIDTHS, chromium, serious_faults
from tests.conftest import TINY_RUN
from tests.hostile.filled import filled
from tiltlm import load_recipe, run_recipe
from tiltlm.records.audit import AuditRecord
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord
from tiltlm.records.challenge import ChallengeScoreRecord
from tiltlm.records.measure import MeasureRecord
from tiltlm.records.sweep import SweepRecord
from tiltlm.records.undo import UndoRecord
from tiltlm.records.verify import VerifyRecord
from tiltlm.report.audit_page import render_audit, render_logprobs_audit, render_text_audit
from tiltlm.report.challenge_page import render_leaderboard
from tiltlm.report.measure_page import render_measure
from tiltlm.report.run_page import write_report
from tiltlm.report.sweep_page import render_sweep
from tiltlm.report.undo_page import render_undo
from tiltlm.report.verify_page import render_verify

PAGES = {
    "audit": (AuditRecord, render_audit),
    "leaderboard": (ChallengeScoreRecord, render_leaderboard),
    "logprobs": (LogprobsAuditRecord, render_logprobs_audit),
    "text": (TextAuditRecord, render_text_audit),
    "measure": (MeasureRecord, render_measure),
    "sweep": (SweepRecord, render_sweep),
    "undo": (UndoRecord, render_undo),
    "verify": (VerifyRecord, render_verify),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of each kind by its name; long names are where there may be names."""
    folder = tmp_path_factory.mktemp("pages")
    for name, (kind, render) in PAGES.items():
        record = filled(
            kind, "matches('^ ?[A-Z]') | contains('a_very_long_expression_without_end')"
        )
        (folder / f"{name}.html").write_text(render(record))
    run_recipe(load_recipe("quick", [*TINY_RUN, "train.steps=12"]), folder / "run")
    for language in ("en", "vi"):
        page = write_report(folder / "run", language)
        (folder / f"run-{language}.html").write_text(page.read_text())
    return {path.stem: path for path in folder.glob("*.html")}


def test_every_page_fits_every_screen_in_light_and_dark_and_axe_finds_no_serious_fault(pages):
    assert set(pages) == {*PAGES, "run-en", "run-vi"}
    with chromium() as browser:
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            for name, path in pages.items():
                page.goto(path.as_uri())
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 900})
                    needed = page.evaluate("document.documentElement.scrollWidth")
                    assert needed <= width, (name, width)
                paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
                assert serious_faults(page) == [], (name, scheme)


def test_type_in_the_plots_of_a_page_is_of_one_size(pages):
    with chromium() as browser:
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            for name, path in pages.items():
                page.goto(path.as_uri())
                sizes = page.evaluate(
                    "[...document.querySelectorAll('figure svg text')].map(t =>"
                    " parseFloat(getComputedStyle(t).fontSize) *"
                    " t.ownerSVGElement.getScreenCTM().a)"
                )
                assert sizes
                assert max(sizes) - min(sizes) < 0.5, name
                assert min(sizes) > 8, (name, width)


def test_every_plot_says_what_it_shows_and_has_its_figures_as_text(pages):
    for name, path in pages.items():
        text = path.read_text()
        plots = re.findall(r'<svg role="img" aria-label="([^"]+)"', text)
        assert len(plots) == text.count("<svg") >= 1, name
        assert all(len(alt) > 10 for alt in plots)
        assert text.count("<details><summary>") == len(plots)


def test_plots_take_the_colours_of_the_page(pages):
    for path in pages.values():
        for svg in re.findall(r"<svg.*?</svg>", path.read_text(), re.DOTALL):
            fixed = re.sub(r"var\(--[a-z]+, #[0-9a-f]{6}\)", "", svg)
            assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{3,6})", fixed)) == set()


def test_the_vietnamese_page_is_in_vietnamese_with_the_same_figures(pages):
    english, vietnamese = pages["run-en"].read_text(), pages["run-vi"].read_text()
    assert '<html lang="vi">' in vietnamese
    assert "Một mô hình ngôn ngữ đã học cách thích <code>contains(&#39;x&#39;)</code>" in vietnamese
    digits = r"\d+\.\d+ %"
    assert re.findall(digits, english) == re.findall(digits, vietnamese)
    for word in ("before", "training", "generated", "The loss"):
        assert word not in re.sub(r"<style>.*?</style>|<[^>]*>", "", vietnamese, flags=re.DOTALL)
