"""Settings in YAML, checked against a pydantic model; a mistake is told with its line.

Knows nothing of what the settings are for.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tiltlm.errors import ConfigError

Settings = TypeVar("Settings", bound=BaseModel)
"""The pydantic model that settings are checked against."""

_Path = tuple[str, ...]
"""The keys that lead to a value, from the outermost mapping inwards."""


def read_file(path: Path) -> str:
    """The text of a file of settings.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the recipe: {error}", where=str(path)) from None


def read_settings(
    kind: type[Settings],
    text: str,
    where: str,
    overrides: Sequence[str] = (),
    option: str = "--set ",
) -> Settings:
    """Read and check settings.

    Args:
        kind: the pydantic model that they should fit.
        text: YAML.
        where: the file that the text stands in, for errors.
        overrides: ``key=value`` with dots between levels, ``train.steps=50``.
        option: the option that overrides were written after, for errors.

    Raises:
        ConfigError: broken YAML, an unknown key, a value that does not fit; says in which line, or
            in which override.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ConfigError(f"this is no YAML: {problem}", where=where + line) from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"this is no mapping with the keys {', '.join(kind.model_fields)}", where=where
        )
    origins = {path: f"{where}, line {line}" for path, line in _lines(node).items()}
    for override in overrides:
        path, value = _read_override(override)
        _assign(data, path, value, option + override)
        origins[path] = f"{option}{override}"
    return _validate(kind, data, origins, where)


def _validate(
    kind: type[Settings], data: dict[str, Any], origins: dict[_Path, str], where: str
) -> Settings:
    """The checked settings; an error is told with where its value, or the nearest key, stands."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = tuple(str(step) for step in first["loc"])
        origin = next(
            (origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), where
        )
        key = ".".join(path)
        fix = None
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _known_keys(kind, path[:-1])
            near = difflib.get_close_matches(path[-1], known, n=1)
            message = f"unknown key {key!r}"
            fix = (f"did you mean {near[0]}? " if near else "") + "known: " + ", ".join(known)
        elif first["type"] == "missing":
            message = f"{key!r} is missing"
        else:
            message = f"{key!r} is {first['input']!r}: {first['msg'].lower()}"
        raise ConfigError(message, where=origin, fix=fix) from None


def _known_keys(kind: type[BaseModel], path: _Path) -> list[str]:
    """The keys of the mapping that a path leads to."""
    part: Any = kind
    for step in path:
        part = part.model_fields[step].annotation
    if is_dataclass(part):
        return [field.name for field in fields(part)]
    return list(part.model_fields)


def _lines(node: yaml.Node | None, path: _Path = ()) -> dict[_Path, int]:
    """The line of each key below a node, counted from 1; refuses a key that stands twice."""
    lines: dict[_Path, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            if inner in lines:
                raise ConfigError(
                    f"the key {'.'.join(inner)!r} stands twice",
                    where=f"line {key.start_mark.line + 1}",
                )
            lines[inner] = key.start_mark.line + 1
            lines |= _lines(value, inner)
    return lines


def _read_override(override: str) -> tuple[_Path, Any]:
    """The path and the value of ``key=value``; the value is YAML where it can be read as such."""
    key, sign, value = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"--set takes key=value, not {override!r}", fix="--set train.steps=50, for example"
        )
    path = tuple(key.strip().split("."))
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return path, value
    # YAML sees a mapping in weights({'a': 1}), which is an expression and stays text.
    is_text = isinstance(read, dict | list) and not value.lstrip().startswith(("{", "["))
    return path, value if is_text else read


def _assign(data: dict[str, Any], path: _Path, value: Any, override: str) -> None:
    """Put a value into nested mappings, which are made where there are none."""
    for step in path[:-1]:
        if data.get(step) is None:
            data[step] = {}
        data = data[step]
        if not isinstance(data, dict):
            raise ConfigError(f"{step!r} holds a value, no keys", where=override)
    data[path[-1]] = value
