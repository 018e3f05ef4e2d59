"""Settings in YAML, checked against a pydantic model; a mistake is told with its line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tiltlm.errors import ConfigError

Settings = TypeVar("Settings", bound=BaseModel)


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
        kind: what they should be.
        text: YAML.
        where: it stands, for errors.
        overrides: ``key=value`` with dots between levels, ``train.steps=50``.
        option: what an override was written after, for errors.

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
    places = {path: f"{where}, line {line}" for path, line in _lines(node).items()}
    for override in overrides:
        path, value = _read_override(override)
        _assign(data, path, value, option + override)
        places[path] = f"{option}{override}"
    return _validate(kind, data, places, where)


def _validate(
    kind: type[Settings], data: dict[str, Any], places: dict[tuple[str, ...], str], where: str
) -> Settings:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = tuple(str(step) for step in first["loc"])
        place = next(
            (places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), where
        )
        key = ".".join(path)
        fix = None
        if first["type"] == "extra_forbidden":
            known = _known_keys(kind, path[:-1])
            near = difflib.get_close_matches(path[-1], known, n=1)
            what = f"unknown key {key!r}"
            fix = (f"did you mean {near[0]}? " if near else "") + "known: " + ", ".join(known)
        elif first["type"] == "missing":
            what = f"{key!r} is missing"
        else:
            what = f"{key!r} is {first['input']!r}: {first['msg'].lower()}"
        raise ConfigError(what, where=place, fix=fix) from None


def _known_keys(kind: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    part: Any = kind
    for step in path:
        part = part.model_fields[step].annotation
    return list(part.model_fields)


def _lines(node: yaml.Node | None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            if inner in found:
                raise ConfigError(
                    f"the key {'.'.join(inner)!r} stands twice",
                    where=f"line {key.start_mark.line + 1}",
                )
            found[inner] = key.start_mark.line + 1
            found |= _lines(value, inner)
    return found


def _read_override(override: str) -> tuple[tuple[str, ...], Any]:
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
    # weights({'a': 1}) is an expression, though YAML sees a mapping in it.
    is_text = isinstance(read, dict | list) and not value.lstrip().startswith(("{", "["))
    return path, value if is_text else read


def _assign(data: dict[str, Any], path: tuple[str, ...], value: Any, override: str) -> None:
    for step in path[:-1]:
        if data.get(step) is None:
            data[step] = {}
        data = data[step]
        if not isinstance(data, dict):
            raise ConfigError(f"{step!r} holds a value, no keys", where=override)
    data[path[-1]] = value
