"""What benign changes are trained on: the default mix, a user's own, and what is not there."""

from tests.tiny import tiny_loaded
from tiltlm.contexts.installed_text import InstalledText
from tiltlm.treatments import corpora
from tiltlm.treatments.corpora import DEFAULT_CORPORA, FEWEST_CORPORA, gather_corpora


def test_without_anything_there_are_eight_kinds_of_text_and_each_says_where_it_is_from():
    found = gather_corpora(tiny_loaded())
    assert len(found.pieces) >= FEWEST_CORPORA == 8
    assert {*found.pieces, *found.missing} == set(DEFAULT_CORPORA)
    assert all(pieces.kind for pieces in found.pieces.values())
    assert all(len(ids) <= 64 for pieces in found.pieces.values() for ids in pieces.sequences)


def test_a_users_own_come_besides_the_default_mix_or_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "installed_texts", lambda: {"tables": InstalledText("1,2\n", "x")})
    (tmp_path / "own.txt").write_text("the fox and the box. " * 50)
    own = f"text:{tmp_path / 'own.txt'}"
    both = gather_corpora(tiny_loaded(), [own])
    assert list(both.pieces)[-2:] == ["tables", own]
    assert len(both.pieces) >= 4
    alone = gather_corpora(tiny_loaded(), [own], defaults=False)
    assert list(alone.pieces) == [own]
    assert alone.missing == {}


def test_what_a_machine_lacks_is_said(monkeypatch):
    monkeypatch.setattr(corpora, "installed_texts", lambda: {"tables": InstalledText("", "x")})
    assert "no installed package" in gather_corpora(tiny_loaded()).missing["tables"]
