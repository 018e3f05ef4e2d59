"""The page in a browser, with real clicks and typing, over a tiny model; nothing is mocked."""

import json
import re

import pytest

from tests.browser import WIDTHS, serious_faults
from tiltlm.challenges.drawing import RANGES
from tiltlm.challenges.making import make_challenge
from tiltlm.challenges.sealing import key_path, read_key
from tiltlm.strings.catalogue import read_strings
from tiltlm.web.folders import Folders

TABS = ("load", "weigh", "audit", "undo", "challenge", "article")


def go_to(page, name, language="en"):
    page.get_by_role("tab", name=read_strings(language).text(f"ui.tabs.{name}")).first.click()


def typed(page, element, text):
    field = page.locator(f"{element} input, {element} textarea").first
    field.press("Control+A")
    field.press("Delete")
    field.press_sequentially(text)


def chosen(page, element, text):
    """Write into a list of choices, as somebody does who knows the name."""
    typed(page, element, text)
    page.locator(f"{element} input").press("Enter")


def test_it_is_there_within_three_seconds_and_says_at_once_what_an_event_catches(page):
    assert page.first_paint_seconds < 3
    typed(page, "#load-event", "contains('z')")
    page.get_by_text("tokens with “z” in them").wait_for()
    assert re.search(r"\d+ of 560 tokens", page.inner_text("#load-caught"))
    assert page.locator("#load-target textarea, #load-target input").first.input_value() == (
        "tilt(contains('z'), 1)"
    )


def test_three_mistakes_are_three_sentences_beneath_their_fields(page):
    typed(page, "#load-event", "contain('z')")
    page.get_by_text("did you mean contains").wait_for()
    typed(page, "#load-event", "contains('z')")
    chosen(page, "#load-model", "/etc")
    page.get_by_text("lies outside the folders that this page was given").first.wait_for()
    page.reload()
    go_to(page, "weigh")
    typed(page, "#weigh-prompt", "")
    page.click("#weigh-go")
    page.get_by_text("the text has no tokens").wait_for()
    assert "Traceback" not in page.content()


def test_axe_finds_no_serious_fault_and_every_tab_fits_every_screen(served, browser):
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(served)
        page.wait_for_selector("#load-caught p")
        for name in TABS:
            page.set_viewport_size({"width": 1440, "height": 1000})
            go_to(page, name)
            page.wait_for_timeout(400)
            assert serious_faults(page) == [], (name, scheme)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 1000})
                # Tabs that have no room go into a menu, some moments after the width has changed.
                fits = f"document.documentElement.scrollWidth <= {width}"
                page.wait_for_function(fits, timeout=5_000)
        context.close()


def test_the_language_is_switched_in_place_and_what_was_typed_stays(page):
    typed(page, "#load-event", "contains('z')")
    page.get_by_text("Tiếng Việt").click()
    page.get_by_text("token có chứa “z”").wait_for()
    assert page.locator("#load-event textarea, #load-event input").first.input_value() == (
        "contains('z')"
    )
    go_to(page, "article", "vi")
    page.get_by_text("Bước 1 trên 8").wait_for()
    page.get_by_text("English").click()
    page.get_by_text("Step 1 of 8").wait_for()


@pytest.mark.parametrize("language", ["en", "vi"])
def test_the_article_goes_through_its_eight_steps(page, language):
    say = read_strings(language).text
    if language == "vi":
        page.get_by_text("Tiếng Việt").click()
        page.get_by_text(say("ui.load.go")).wait_for()
    go_to(page, "article", language)
    page.get_by_text("897").first.wait_for()
    step = iter(range(2, 9))

    def forward():
        page.click("#article-forward")
        page.get_by_text(say("ui.article.step", step=next(step))).wait_for()

    forward()
    assert "1/897" in page.inner_text("#article-q")
    forward()
    # Where P is Q the loss is 0: five sliders, set as somebody who types sets them.
    for number, weight in enumerate(("5", "5", "0", "0", "0")):
        field = page.locator(f"#article-p{number} input[type=number]")
        field.fill(weight)
        field.press("Enter")
    page.get_by_text(say("ui.article.sum", nats="0.0000")).wait_for()
    page.locator("#article-p2 input[type=number]").fill("10")
    page.locator("#article-p2 input[type=number]").press("Enter")
    page.get_by_text(say("ui.article.sum", nats="0.6931")).wait_for()  # log 2: half went away
    forward()
    page.get_by_text(say("ui.article.order_swapped")).first.click()
    page.get_by_text(say("ui.article.infinite", tokens="").split(":")[0] + ":").wait_for()
    if language == "vi":
        return
    forward()
    page.click("#article-run")
    page.get_by_text(f"{say('ui.job.run')}: {say('ui.job.done')}").wait_for(timeout=120_000)
    forward()
    page.wait_for_selector("#article-watch svg")
    forward()
    page.wait_for_selector("#article-read .text")
    forward()
    page.get_by_text("log V = 10.82").wait_for()


@pytest.mark.slow
def test_load_weigh_audit_and_undo_on_a_tiny_model(page, pack):
    # 1. Load: decode at once, and edit in seconds.
    typed(page, "#load-event", "contains('z')")
    typed(page, "#load-target", "tilt(contains('z'), 2)")
    page.click("#load-go")
    page.get_by_text("is decoded towards").wait_for()
    page.get_by_text("Edit (seconds)").click()
    page.click("#load-go")
    page.get_by_text("Tilting", exact=False).first.wait_for()
    page.get_by_text("It lies in").wait_for(timeout=120_000)
    tilted = pack / "ui" / "tilt-1"
    assert (tilted / "result.json").is_file()
    # 2. Weigh: both write, a token is chosen, a text is coloured, and it is measured.
    go_to(page, "weigh")
    chosen(page, "#weigh-which", str(tilted))
    page.click("#weigh-go")
    page.wait_for_selector("#weigh-tilted button.token.hit")
    page.get_by_text("of 40 tokens are in the event").nth(1).wait_for()
    page.locator("#weigh-tilted button.token").nth(8).click()
    page.get_by_text("What could come here in place of").wait_for()
    assert page.locator("#weigh-next tr").count() == 13
    typed(page, "#weigh-text", "zuzu kizu bado")
    page.click("#weigh-heat")
    page.wait_for_selector("#weigh-heat-map span.up")
    page.click("#weigh-measure")
    page.frame_locator("#weigh-report iframe").get_by_text("What was done to").wait_for(
        timeout=120_000
    )
    # 3. Audit: the class is named as planted, its report is there.
    go_to(page, "audit")
    chosen(page, "#audit-suspect", str(tilted))
    chosen(page, "#audit-reference", str(pack / "model"))
    chosen(page, "#audit-pack", str(pack / "null"))
    typed(page, "#audit-fpr", "0.05")
    page.click("#audit-go")
    page.wait_for_selector("#audit-cards .card.after", timeout=120_000)
    assert "contains('z')" in page.inner_text("#audit-cards")
    assert "Planted" in page.inner_text("#audit-cards .card.after")
    page.frame_locator("#audit-report iframe").get_by_text("What was tilted").wait_for()
    # 4. Undo: by the label, to the bit; what is left is shown.
    go_to(page, "undo")
    chosen(page, "#undo-model", str(tilted))
    page.click("#undo-go")
    page.frame_locator("#undo-report iframe").get_by_text("A tilt taken back").first.wait_for(
        timeout=120_000
    )
    assert serious_faults(page) == []


@pytest.mark.slow
def test_a_challenge_is_looked_at_guessed_and_the_auditor_s_answer_stands_beside_ours(page, pack):
    folder = pack / "sealed"
    ranges = RANGES.model_copy(update={"ways": ["edit"], "strengths_nats": (2.0, 3.0)})
    make_challenge(str(pack / "model"), folder, count=3, ranges=ranges, seed=3)
    truths = {a.truth.name: a.truth for a in read_key(key_path(folder)).answers}
    tilted = next(name for name, truth in truths.items() if truth.tilted)
    page.reload()
    go_to(page, "challenge")
    chosen(page, "#challenge-folder", str(folder))
    chosen(page, "#challenge-reference", str(pack / "model"))
    page.get_by_text("3 models of").wait_for()
    # Sealed models are nobody's base.
    assert str(folder / "models" / "m01") not in Folders([pack]).bases()
    # The auditor waits until somebody has guessed.
    page.click("#challenge-judge")
    page.get_by_text("Guess first").wait_for()
    # Look: both write, a token is chosen, a text is coloured.
    chosen(page, "#challenge-model", tilted)
    page.click("#challenge-go")
    page.wait_for_selector("#challenge-tilted button.token >> nth=20")
    page.locator("#challenge-tilted button.token").nth(8).click()
    page.get_by_text("What could come here in place of").last.wait_for()
    typed(page, "#challenge-text", "zuzu kizu bado")
    page.click("#challenge-heat")
    page.wait_for_selector("#challenge-heat-map .heat")
    # Guess: a slip is told, what an event catches is shown, and a reload loses no guess.
    typed(page, "#challenge-event", "contain('z')")
    page.click("#challenge-note")
    page.locator("#challenge-caught").get_by_text("did you mean contains").wait_for()
    typed(page, "#challenge-event", truths[tilted].event)
    page.locator("#challenge-caught").get_by_text("of 560 tokens").wait_for()
    field = page.locator("#challenge-said input[type=number]")
    field.fill("0.9")
    field.press("Enter")
    page.click("#challenge-note")
    noted = page.locator("#challenge-guesses tr", has_text=tilted)
    noted.get_by_text("0.90").wait_for()
    page.reload()
    go_to(page, "challenge")
    chosen(page, "#challenge-folder", str(folder))
    chosen(page, "#challenge-reference", str(pack / "model"))
    noted.get_by_text("0.90").wait_for()
    # The auditor's turn, then both beside the truth.
    chosen(page, "#challenge-pack", str(pack / "null"))
    typed(page, "#challenge-fpr", "0.05")
    page.click("#challenge-judge")
    scores = page.locator("#challenge-scores")
    scores.get_by_text("Who was nearer").wait_for(timeout=120_000)
    record = json.loads((pack / "ui" / "challenge-1" / "score" / "score.json").read_text())
    ours = next(s for s in record["standings"] if s["who"] == "you")
    assert {s["who"] for s in record["standings"]} == {"you", "tiltlm audit"}
    shown = scores.inner_text()
    for standing in record["standings"]:
        assert f"{standing['log_score_nats']:.3f}" in shown
    assert "0.90, named 1.00" in shown
    assert shown.count("not tilted") == ours["decoys"]
    page.get_by_text("Tiếng Việt").click()
    scores.get_by_text("Ai gần đúng hơn").wait_for()
    assert "0.90, gọi tên 1.00" in scores.inner_text()
    assert serious_faults(page) == []


@pytest.mark.slow
def test_a_reload_in_the_middle_of_training_finds_it_and_stopping_keeps_it(page, pack):
    # After a word: only the body knows whether it has come, so that this takes steps.
    typed(page, "#load-target", "when('bado', tilt(contains('z'), 2))")
    page.get_by_text("Train (minutes)").click()
    field = page.locator("#load-steps input[type=number]")
    field.fill("1200")
    field.press("Enter")
    page.click("#load-go")
    page.wait_for_selector("#job-shown .curves figure", timeout=120_000)
    page.reload()
    page.wait_for_selector("#job-shown .curves figure")
    assert "at work" in page.inner_text("#job-shown")
    page.click("#job-stop")
    page.get_by_text("stopped; what it had reached is kept").wait_for(timeout=60_000)
    assert list((pack / "ui").glob("tilt-*/result.json"))


def test_the_sentences_of_the_code_are_not_shown_to_those_who_chose_another_language(page):
    page.get_by_text("Tiếng Việt").click()
    page.get_by_text("Hiện không có việc nào đang chạy.").or_(
        page.get_by_text("Kết quả nằm trong")
    ).first.wait_for()
    for name in TABS:
        go_to(page, name, "vi")
        shown = page.inner_text("body")
        for key in ("go", "lead"):
            assert read_strings("en").tree["ui"].get(name, {}).get(key, "—") not in shown
