"""What a user sees of long work: bars in a terminal, lines in a log."""

from __future__ import annotations

import io
import time

from rich.console import Console

from tiltlm.cli.bars import Bars, _time_left


def shown(every_seconds: float, *, terminal: bool) -> str:
    """What ten steps of one part, and three of another, leave behind."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100)
    with Bars(console, every_seconds) as bars:
        bars.begin("teaching", 10)
        for done in range(1, 11):
            bars.advance(done, f"loss {done}")
        bars.begin("measuring", 3)
        bars.advance(3)
        bars.advance(3)
        bars.note("of [brackets] nothing is lost")
    return output.getvalue()


def test_a_log_has_a_line_for_each_part_and_none_twice():
    lines = shown(1000.0, terminal=False).splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "teaching 10/10",
        "measuring 3/3",
        "of [brackets] nothing is lost",
    ]
    assert lines[0].endswith("loss 10")


def test_a_log_hears_of_long_work_before_it_ends():
    lines = shown(0.0, terminal=False).splitlines()
    assert [line.split(",")[0] for line in lines[:3]] == [f"teaching {n}/10" for n in (1, 2, 3)]


def test_a_terminal_has_bars():
    assert "━" in shown(0.0, terminal=True)


def test_a_log_is_not_silent_where_nobody_says_how_far_the_work_has_come():
    output = io.StringIO()
    with Bars(Console(file=output, force_terminal=False, width=100), 0.1) as bars:
        time.sleep(0.5)
        bars.begin("measuring", 3)
        bars.advance(1)
        time.sleep(0.5)
        bars.advance(3)
        time.sleep(0.5)
    lines = [line.split(",")[0] for line in output.getvalue().splitlines()]
    expected = ["working", "measuring 1/3", "measuring 3/3", "measuring is done"]
    assert list(dict.fromkeys(lines)) == expected
    begun = output.getvalue()
    time.sleep(0.3)
    assert output.getvalue() == begun


def test_what_is_left_is_said_once_there_is_something_to_tell_it_by(monkeypatch):
    with Bars(Console(file=io.StringIO(), force_terminal=False, width=100), 1000) as bars:
        bars.begin("measuring", 4)
        bars.advance(1)
        assert _time_left(bars._part) == ""
        now = bars._part.get_time()
        monkeypatch.setattr(bars._part, "_get_time", lambda: now + 60)
        bars.advance(3)
        assert _time_left(bars._part) == "about 20 s left"


def test_a_step_that_takes_longer_than_those_before_makes_more_be_left(monkeypatch):
    with Bars(Console(file=io.StringIO(), force_terminal=False, width=100), 1000) as bars:
        bars.begin("making models", 12)
        now = bars._part.get_time()
        monkeypatch.setattr(bars._part, "_get_time", lambda: now + 84)
        bars.advance(3)
        assert _time_left(bars._part) == "about 4 min left"
        monkeypatch.setattr(bars._part, "_get_time", lambda: now + 600)
        assert _time_left(bars._part) == "about 20 min left"
