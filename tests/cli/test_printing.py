"""What commands print of their records: numbers agree with their nouns."""

import re
from pathlib import Path

from tiltlm.cli.printing_audit import print_any_audit, print_plan
from tiltlm.cli.printing_measure import measure_notes
from tiltlm.cli.printing_null import print_built
from tiltlm.records.audit import NullRecord
from tiltlm.records.audit_text import TextAuditRecord, TextFindingRecord
from tiltlm.records.measure import Comparison, MeasureRecord
from tiltlm.records.null import NullBuilt
from tiltlm.records.plan import Plan
from tiltlm.report.audit_page import render_text_audit


def text_audit(count: int) -> TextAuditRecord:
    """An audit in which there is one of everything, or more."""
    finding = TextFindingRecord(
        event="word('tea')",
        tokens=count,
        token_ids=[7] * count,
        hits=count,
        expected=0.5,
        strength_nats=1.0,
        interval=(0.5, 1.5),
        tolerance_nats=0.0,
        e_value=200.0,
        p=0.005,
    )
    null = NullRecord(models=count, pack="null", kinds={}, kl_nats=(0.1, 0.2))
    return TextAuditRecord(
        verdict="found",
        partial=False,
        suspect="suspect",
        reference={"name": "base", "sha256": "0"},
        fpr=0.01,
        null=null,
        findings=[finding],
        course=[(count, 3.0)],
        decided_at=2.0,
        classes=count,
        tokens_read=count,
        answers=count,
        empty_answers=0,
        budget=count,
        least_tokens=count,
        notes=[],
        versions={},
        seconds={},
    )


def test_an_audit_of_one_class_speaks_of_one_class(capsys):
    print_any_audit(text_audit(1), Path("out"))
    printed = " ".join(capsys.readouterr().out.split())
    assert "by 1 token of text in 1 answer (0 empty)" in printed
    assert "the word “tea” word('tea') 1 hit, 0.5 expected" in printed
    assert "1 class tested" in printed
    print_any_audit(text_audit(1024), None)
    printed = " ".join(capsys.readouterr().out.split())
    assert "by 1,024 tokens of text in 1,024 answers" in printed
    assert "1,024 classes tested" in printed


def test_its_page_does_too():
    page = " ".join(render_text_audit(text_audit(1)).split())
    assert "By 1 token that it wrote in 1 answer," in page
    assert "1 class was tested" in page
    assert "What 1 benign change of the reference does is tolerated." in page
    assert "fewer than 1 token in the mean" in page
    page = " ".join(render_text_audit(text_audit(2)).split())
    assert "2 classes were tested" in page
    assert "What 2 benign changes of the reference do is tolerated." in page


def test_a_plan_for_one_class_and_a_pack_of_one_change(capsys):
    print_plan(Plan("text", 0.02, 0.01, 732, 1, 767), 1.0, 0.01, 1)
    printed = " ".join(capsys.readouterr().out.split())
    assert "among 1 class " in printed
    assert "1 is the least that any test could do with" in printed
    built = NullBuilt(
        pack="null",
        reference={"name": "base", "sha256": "0"},
        models=1,
        kinds={"rounded": 1},
        kl_nats={"least": 0.1, "50 %": 0.1, "largest": 0.1},
        contexts="own samples",
        seconds=1.0,
        redrawn={"0, attempt 0": {}},
        corpora={"text:a": "text a"},
        missing={},
        notes=["Kinds of text that the pack was trained on: 1."],
    )
    print_built(built)
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 benign change of base" in printed
    assert "1 was drawn again: it broke the model" in printed
    assert "trained on: 1." in printed


def measured(*comparisons: Comparison) -> MeasureRecord:
    return MeasureRecord.model_construct(comparisons=list(comparisons), missing={})


def compared(name: str, items: int, *, different: bool, needed: int) -> Comparison:
    return Comparison(
        name, "context", items, 0.0, 0.1, 0.1, None, 0.5, 0.02, needed, 0.5, different
    )


def test_notes_on_side_effects_agree_in_number():
    (note,) = measure_notes(measured(compared("a", 4, different=True, needed=0)))
    assert note == "1 of 1 side effect differs (≠) at 5 % over all 1 comparison (Holm)"
    two = compared("a", 4, different=False, needed=9), compared("b", 1, different=False, needed=90)
    note, short = measure_notes(measured(*two))
    assert note == "0 of 2 side effects differ (≠) at 5 % over all 2 comparisons (Holm)"
    assert "b: 90 contexts would show 0.02, there was 1" in short


def test_an_expression_is_not_broken_in_two_at_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    record = text_audit(1)
    for event in (
        "matches('^ ?[A-Z]') | contains('a very long text, with blanks') | word('tea')",
        "matches('^ ?[A-Z]')",
    ):
        finding = record.findings[0].model_copy(update={"event": event})
        print_any_audit(record.model_copy(update={"findings": [finding]}), None)
        lines = capsys.readouterr().out.splitlines()
        assert all(len(line) <= 80 for line in lines)
        (line,) = [line.strip() for line in lines if "matches(" in line]
        assert line == event or (line.endswith("…") and event.startswith(line[:-1]))


def test_a_class_is_named_in_words_beside_its_expression(capsys):
    record = text_audit(1)
    finding = record.findings[0].model_copy(update={"event": "matches('^ ?[A-Z]')"})
    record = record.model_copy(update={"findings": [finding]})
    print_any_audit(record, None)
    assert "capitalised words\n" in capsys.readouterr().out
    assert re.search(r"capitalised words<br><code[^>]*>matches\(", render_text_audit(record))
