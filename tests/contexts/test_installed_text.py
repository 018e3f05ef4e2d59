"""Texts of installed packages: many kinds, the same each time, and nothing of them is run."""

import builtins
import importlib.util
import sys

import pytest

from tiltlm.contexts import installed_text
from tiltlm.contexts.installed_text import documentation_in, installed_texts


@pytest.fixture(scope="module")
def found():
    return installed_texts()


def test_what_comes_with_tiltlm_has_eight_kinds_of_text(found):
    there = {name: kind for name, kind in found.items() if kind.text}
    assert len(there) >= 8
    # A corpus takes 512 pieces of 64 tokens; a quarter of that can be trained on at least.
    assert all(len(kind.text) > 32_000 for kind in there.values())
    assert all(len(kind.text) <= 500_000 for kind in there.values())


def test_each_kind_is_what_it_is_called(found):
    signs = {
        "Python help": "statement",
        "licences": "WARRANTY",
        "Python code": "def ",
        "C++ headers": "#include",
        "documentation": "Parameters\n",
        "mathematics": ">>> ",
        "tables": "\n1,",
        "settings": "func:",
        "web pages": "</p>",
    }
    for name, sign in signs.items():
        if found[name].text:
            assert sign in found[name].text, name
    assert f"Python {sys.version_info.major}" in found["Python code"].source
    assert "torch 2" in found["C++ headers"].source


def test_the_same_text_is_found_each_time_and_nothing_is_imported(found, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("sympy", "statsmodels")]:
        monkeypatch.delitem(sys.modules, name)
    imported, real = [], builtins.__import__

    def importing(name, *arguments):
        imported.append(name.split(".")[0])
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", importing)
    again = installed_texts()
    monkeypatch.undo()
    assert again == found
    assert not {"sympy", "statsmodels", "torchgen", "pydoc_data", "werkzeug"} & set(imported)


def test_a_package_that_is_not_installed_is_passed_over(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("torch", "numpy") else real(name)
    )
    without = installed_texts()
    assert without["C++ headers"].text == ""
    assert "numpy" not in without["documentation"].source
    assert without["documentation"].text


def test_documentation_is_the_long_strings_of_code_in_order():
    first, second = "First. " * 40, "Second. " * 40
    code = f'"""{first}"""\nx = "short"\ndef f():\n    """{second}"""\n    raise SystemExit\n'
    assert documentation_in(code) == f"{first}\n\n{second}"
    with pytest.raises(ValueError, match="cannot be parsed"):
        documentation_in("def (")


def test_files_that_are_no_text_or_too_long_are_passed_over(tmp_path, monkeypatch):
    (tmp_path / "good.csv").write_text("1,2,3\n" * 1000)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe" * 1000)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "t.csv").write_text("7,7,7\n" * 1000)
    monkeypatch.setattr(installed_text, "_folder_of", lambda package: tmp_path)
    monkeypatch.setattr(installed_text, "_LONGEST_FILE", 7000)
    (tmp_path / "long.csv").write_text("9,9\n" * 2000)
    text = installed_text._in_files("tables", {"numpy": ["**/*.csv"]}).text
    assert set(text) == set("1,2,3\n")
