"""The package as others get it: whole, of one version, described, and usable from its wheel."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import tiltlm
from tests.packaging import built, files_of, tried

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_every_file_of_the_sources_is_in_the_wheel(wheel):
    source = ROOT / "src"
    there = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }
    assert files_of(wheel) == there


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    said = tried(wheel, tmp_path, with_dependencies=False)
    assert "897 of 50,257 tokens" in said


def test_there_is_one_version():
    assert PROJECT["project"]["dynamic"] == ["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == tiltlm.__version__
    newest = re.search(
        r"^## \[?(\S+?)\]?(?: |$)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest is not None


def test_the_citation_file_has_what_citing_needs():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "date-released"} <= set(citation)
    assert citation["license"] == PROJECT["project"]["license"]


def test_files_for_github_are_yaml_that_can_be_read():
    files = list((ROOT / ".github").rglob("*.yml"))
    assert {file.name for file in files} >= {"bug.yml", "method.yml", "release.yml"}
    for file in files:
        assert yaml.safe_load(file.read_text()), file


def test_a_release_is_made_by_a_person_and_the_tag_is_the_version():
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    # YAML reads the key `on` as true.
    assert release[True] == {"push": {"tags": ["v*"]}}
    steps = [step for job in release["jobs"].values() for step in job["steps"]]
    assert any("__version__" in step.get("run", "") for step in steps)
    assert release["jobs"]["publish"]["environment"] == "pypi"


def test_the_image_serves_the_page_as_nobody_in_particular():
    text = (ROOT / "Dockerfile").read_text()
    assert "USER tiltlm" in text
    assert "constraints-people.txt" in text
    assert "--password" not in text  # It is given when the image is run, and is not in it.
