"""What strangers wrote is printed and drawn as text: it moves no cursor and is no HTML."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.hostile.filled import filled
from tiltlm.cli import main
from tiltlm.cli.bars import bars_on_stderr
from tiltlm.cli.console import PlainConsole
from tiltlm.cli.printing_audit import print_any_audit
from tiltlm.cli.printing_measure import print_measure, print_sweep
from tiltlm.cli.printing_run import tilt_summary
from tiltlm.errors import ConfigError, MeasurementError
from tiltlm.files import write_json
from tiltlm.records.audit import AuditRecord
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord
from tiltlm.records.measure import MeasureRecord
from tiltlm.records.sweep import SweepRecord
from tiltlm.records.tilt import TiltRecord
from tiltlm.report.audit_page import render_audit, render_logprobs_audit, render_text_audit
from tiltlm.report.measure_page import render_measure
from tiltlm.report.sweep_page import render_sweep
from tiltlm.report.wording import printable

TEXTS = {
    "escape sequences": "\x1b[2J\x1b]8;;http://x\x07click\x1b]8;;\x07\x9b31m",
    "markup": "[red]r[/red] [/bold] [link=http://x]l[/link] [",
    "emoji codes": ":cat: :skull:",
    "directions": "\u202etxt.exe\u2066\u200f",
    "half a pair": "a\ud800b",
    "other controls": "\x00\x07\x08\x7f\x85\r over",
    "a formula": r"$\frac{$ $x^2$ \$ $\undefined$",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>--></svg></title></style>",
    "a template": "{{ 7 * 7 }}{% raw %}",
}

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

AUDITS = [AuditRecord, LogprobsAuditRecord, TextAuditRecord]


@pytest.fixture(params=TEXTS)
def text(request):
    return TEXTS[request.param]


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setenv("FORCE_COLOR", "1")


def without_styles(printed):
    """What was printed, without the styles that are rich's own."""
    return re.sub("\x1b\\[[0-9;]*m", "", printed)


def shows(printed, text):
    """Whether a text stands there, but for what cannot be printed."""
    plain = "".join(re.findall(r"[ -~]+", re.sub(r"\\u[0-9a-f]{4}", "", printable(text))))
    return plain.strip() in re.sub(r"\\u[0-9a-f]{4}|[⏎·␍]", "", printed)


@pytest.mark.parametrize("kind", AUDITS)
def test_an_audit_prints_what_strangers_wrote_as_text(kind, text, wide, capsys):
    print_any_audit(filled(kind, text), None)
    printed = without_styles(capsys.readouterr().out)
    assert not OBEYED.search(printed)
    assert shows(printed, text)


def test_measure_and_sweep_print_what_strangers_wrote_as_text(text, wide, capsys, tmp_path):
    print_measure(filled(MeasureRecord, text), None)
    printed = without_styles(capsys.readouterr().out)
    assert not OBEYED.search(printed)
    assert shows(printed, text)
    print_sweep(filled(SweepRecord, text), tmp_path)
    assert not OBEYED.search(without_styles(capsys.readouterr().out))


def test_an_error_and_a_note_print_what_strangers_wrote_as_text(text, wide, capsys):
    with pytest.raises(SystemExit):
        main._fail(ConfigError(text, where=text, fix="name another file"), 2)
    with bars_on_stderr() as bars:
        bars.begin(text, 2)
        bars.advance(2, text)
        bars.note(text)
    printed = without_styles(capsys.readouterr().err)
    printed = re.sub("\x1b\\[[0-9?;]*[A-Za-z]|\r", "", printed)
    assert not OBEYED.search(printed)
    assert shows(printed, text)


def test_one_line_stays_one_and_json_the_same_json(text):
    record = filled(TiltRecord, text.replace("\ud800", ""))
    line = record.model_dump_json()
    assert json.loads(printable(line)) == json.loads(line)
    assert not OBEYED.search(printable(line))
    assert not OBEYED.search(printable(tilt_summary(filled(TiltRecord, text), Path("out"))))


def test_json_of_figures_that_are_none_is_one_error_and_half_characters_are_escaped(tmp_path):
    for figure in (math.nan, math.inf, -math.inf):
        with pytest.raises(MeasurementError, match="infinite or no number"):
            write_json(tmp_path / "result.json", {"figures": [1.0, figure]})
    assert list(tmp_path.iterdir()) == []
    data = {"text": "a\ud800b\udc80 ☕"}
    write_json(tmp_path / "result.json", data)
    assert json.loads((tmp_path / "result.json").read_text()) == data


def test_text_of_any_script_stays_as_it_is():
    text = "käse ☕\tनमस्ते\r\n👩\u200d👩\u200d👧 95\u00a0% 猫"
    assert printable(text) == text


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}


PAGES = [
    (AuditRecord, render_audit),
    (LogprobsAuditRecord, render_logprobs_audit),
    (TextAuditRecord, render_text_audit),
    (MeasureRecord, render_measure),
    (SweepRecord, render_sweep),
]


@pytest.mark.parametrize(("kind", "render"), PAGES)
@pytest.mark.parametrize("order", [1, -1])
def test_a_page_shows_what_strangers_wrote_as_text(kind, render, order):
    # Names are cut off beside a plot, so each end is tried.
    text = "".join(list(TEXTS.values())[::order])
    page = render(filled(kind, text))
    page.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    found, usual = Tags(page), Tags(render(filled(kind, "usual")))
    assert found.tags <= usual.tags
    assert found.attributes <= usual.attributes
    assert "49" not in re.findall(r">(\d+)<", page)


def test_a_console_in_a_terminal_keeps_its_own_styles_alone(wide, capsys):
    from rich.text import Text

    PlainConsole().print(Text.assemble(("found", "bold"), ": \x1b[31m[red]x[/red] :cat:"))
    assert capsys.readouterr().out == "\x1b[1mfound\x1b[0m: \\u001b[31m[red]x[/red] :cat:\n"


CONSTANT = ("write_report(", 'f"{name', "json.dumps(")
"""What is printed besides and holds no text of strangers, or is ASCII."""


def test_no_command_prints_past_that():
    for path in Path(main.__file__).parent.glob("*.py"):
        source = path.read_text()
        if path.name != "console.py":
            assert not re.search(r"\bConsole\(", source), path
        for printed in re.findall(r"typer\.echo\((.*)", source):
            assert printed.startswith(("printable(", *CONSTANT)), (path, printed)
