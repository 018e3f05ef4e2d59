"""Texts of many kinds that are on every machine that has tiltlm: what installed packages carry.

Help, licences, code, tables, documentation. Files are read as text and nothing of them is imported
or run. Which ones, and which part of each, is the same as long as the same packages are installed.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import Distribution
from pathlib import Path
from typing import TypeVar

from tiltlm.reading import read_text

T = TypeVar("T")

_FILES, _CHARACTERS = 48, 4_096
"""Files of a kind of text at most, spread evenly over all, and characters of the middle of each:
more than 512 pieces of 64 tokens have room for."""

_FEWEST_CHARACTERS = 2_048
"""A kind of text of which less is found is left out."""

_SHORTEST_FILE, _LONGEST_FILE = 512, 4 << 20
"""Bytes: shorter files hold hardly any text, longer ones are data."""

_DOCUMENTATION = 200
"""Strings in code of so many characters are documentation."""

_NO_TEXT = {"tests", "test", "testing", "__pycache__", "site-packages"}
"""Folders whose files are left out."""

_DISTRIBUTIONS = {"torchgen": "torch", "sklearn": "scikit-learn"}
"""What packages of another name are installed as."""


@dataclass(frozen=True)
class InstalledText:
    """A kind of text, as far as this machine has it.

    Attributes:
        text: parts of files, one after the other; empty where there is too little.
        source: which packages it is of, with their versions, and what of them.
    """

    text: str
    source: str


def installed_texts() -> dict[str, InstalledText]:
    """All kinds of text, by name.

    >>> list(installed_texts())[:3]
    ['Python help', 'licences', 'Python code']
    """
    return {name: find() for name, find in KINDS.items()}


def documentation_in(code: str) -> str:
    """The long strings of Python code: docstrings, and tables of help.

    Args:
        code: of a module; it is parsed, and not run.

    Raises:
        ValueError: it is not Python of this version.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be parsed: {error}") from None
    strings = [
        (node.lineno, node.col_offset, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n\n".join(text for *_, text in sorted(strings) if len(text) >= _DOCUMENTATION)


def _in_files(
    what: str, patterns: Mapping[str, Sequence[str]], of_file: Callable[[str], str] = str
) -> InstalledText:
    """Text of files.

    Args:
        what: they are, for people to read.
        patterns: of their paths, by the package that they lie in; "" is Python's own library.
        of_file: what is taken of a file.
    """

    def read(path: Path) -> str:
        with suppress(OSError, ValueError):
            return of_file(read_text(path, _LONGEST_FILE))
        return ""

    texts: list[str] = []
    packages = []
    for package, of_package in patterns.items():
        found = _files_in(_folder_of(package), of_package)
        if found:
            texts += map(read, _spread(found, _FILES // len(patterns)))
            packages.append(_with_version(package))
    return _joined(texts, f"{what} of {', '.join(dict.fromkeys(packages))}")


def _licences() -> InstalledText:
    """Each licence once, however many packages have it."""
    texts: dict[str, str] = {}
    for distribution in _distributions():
        for name in distribution.metadata.get_all("License-File") or ():
            for place in (f"licenses/{name}", name):
                with suppress(OSError, ValueError):
                    text = distribution.read_text(place) or ""
                    texts.setdefault(" ".join(text.split())[:500], text)
    return _joined(_spread([*texts.values()], _FILES), "licences of the packages installed")


def _readmes() -> InstalledText:
    texts = [distribution.metadata.json.get("description") for distribution in _distributions()]
    there = [text for text in texts if isinstance(text, str) and len(text) >= _DOCUMENTATION]
    return _joined(_spread(there, _FILES), "descriptions of the packages installed")


KINDS: Mapping[str, Callable[[], InstalledText]] = {
    "Python help": partial(_in_files, "help", {"": ["pydoc_data/topics.py"]}, documentation_in),
    "licences": _licences,
    "Python code": partial(_in_files, "code", {"": ["*.py", "*/*.py"]}),
    "C++ headers": partial(
        _in_files, "headers", {"torch": ["include/c10/**/*.h", "include/torch/csrc/**/*.h"]}
    ),
    "documentation": partial(
        _in_files, "docstrings", {"numpy": ["**/*.py"], "scipy": ["**/*.py"]}, documentation_in
    ),
    "mathematics": partial(
        _in_files, "docstrings", {"sympy": ["**/*.py"], "mpmath": ["**/*.py"]}, documentation_in
    ),
    "tables": partial(
        _in_files,
        "tables",
        {"sklearn": ["datasets/data/*.csv"], "statsmodels": ["datasets/*/*.csv"]},
    ),
    "settings": partial(
        _in_files,
        "YAML, JSON and style files",
        {
            "torchgen": ["packaged/**/*.yaml"],
            "torch": ["_dynamo/*.json"],
            "matplotlib": ["mpl-data/stylelib/*.mplstyle", "mpl-data/matplotlibrc"],
        },
    ),
    "web pages": partial(
        _in_files,
        "HTML, style sheets and scripts",
        {
            "": ["idlelib/*.html"],
            "matplotlib": ["backends/web_backend/**/*.*"],
            "sklearn": ["utils/**/*.css", "utils/**/*.js"],
            "werkzeug": ["debug/shared/*.css", "debug/shared/*.js"],
        },
    ),
    "descriptions": _readmes,
}
"""How each kind of text is found, by the name of the kind."""


def _folder_of(package: str) -> Path | None:
    """Where a package lies, which is not imported for that; None where it is not installed."""
    if not package:
        return Path(sysconfig.get_path("stdlib"))
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(places))) if places else None


def _files_in(folder: Path | None, patterns: Sequence[str]) -> list[Path]:
    """Files of a package by their names, without those of its tests."""
    if folder is None:
        return []
    found = {path.relative_to(folder) for pattern in patterns for path in folder.glob(pattern)}
    kept = [
        path
        for path in found
        if not _NO_TEXT & set(path.parts) and (folder / path).stat().st_size >= _SHORTEST_FILE
    ]
    return [folder / path for path in sorted(kept, key=Path.as_posix)]


def _with_version(package: str) -> str:
    if not package:
        return f"Python {sysconfig.get_python_version()}"
    name = _DISTRIBUTIONS.get(package, package)
    with suppress(importlib.metadata.PackageNotFoundError):
        return f"{name} {importlib.metadata.version(name)}"
    return name


def _distributions() -> Iterator[Distribution]:
    """What is installed, each once and by name."""
    found = {str(d.metadata["Name"]).lower(): d for d in importlib.metadata.distributions()}
    return (found[name] for name in sorted(found))


def _spread(items: Sequence[T], count: int) -> list[T]:
    """So many of some items, evenly over all of them.

    >>> _spread("abcdefgh", 4), _spread("ab", 4)
    (['a', 'c', 'e', 'g'], ['a', 'b'])
    """
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def _joined(texts: Sequence[str], source: str) -> InstalledText:
    """The middle of each text, one after the other; nothing where that is too little."""
    # Of few texts more is taken.
    size = _FILES * _CHARACTERS // max(1, len(texts))
    text = "\n\n".join(part for part in (_middle(text, size) for text in texts) if part)
    return InstalledText(text if len(text) >= _FEWEST_CHARACTERS else "", source)


def _middle(text: str, size: int) -> str:
    """So many characters of the middle of a text, from the beginning of a line."""
    begin = max(0, len(text) - size) // 2
    line = text.find("\n", begin, begin + size // 2) + 1 if begin else 0
    begin = line or begin
    return text[begin : begin + size].strip()
