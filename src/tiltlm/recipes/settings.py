"""Settings in YAML, checked against a pydantic model; a mistake is told with its line.

Knows nothing of what the settings are for.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tiltlm.errors import ConfigError
from tiltlm.recipes.plain_yaml import Keys, is_whole, read_mapping, read_value

Settings = TypeVar("Settings", bound=BaseModel)
"""The pydantic model that settings are checked against."""

_SHOWN = 200
"""Characters of a long value that an error shows."""


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
    data, lines = read_mapping(text, where)
    origins = {path: f"{where}, line {line}" for path, line in lines.items()}
    for override in overrides:
        path, value = _read_override(override)
        origins[path] = excerpt = (option + override)[:_SHOWN]
        _assign(data, path, value, excerpt)
    return _validate(kind, data, origins, where)


def _validate(
    kind: type[Settings], data: dict[str, Any], origins: dict[Keys, str], where: str
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
        key = ".".join(path)[:_SHOWN]
        fix = None
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _known_keys(kind, path[:-1])
            near = difflib.get_close_matches(path[-1], known, n=1)
            message = f"unknown key {key!r}"
            fix = (f"did you mean {near[0]}? " if near else "") + "known: " + ", ".join(known)
        elif first["type"] == "missing":
            message = f"{key!r} is missing"
        else:
            message = f"{key!r} is {_shown(first['input'])}: {first['msg'].lower()}"
        raise ConfigError(message, where=origin, fix=fix) from None


def _known_keys(kind: type[BaseModel], path: Keys) -> list[str]:
    """The keys of the mapping that a path leads to."""
    part: Any = kind
    for step in path:
        # In a mapping of names to values, every name leads to the same kind of value.
        named = get_origin(part) is dict
        part = get_args(part)[1] if named else part.model_fields[step].annotation
    if is_dataclass(part):
        return [field.name for field in fields(part)]
    return list(part.model_fields)


def _shown(value: object) -> str:
    """A value as errors show it: its beginning where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _read_override(override: str) -> tuple[Keys, Any]:
    """The path and the value of ``key=value``; the value is YAML where it can be read as such."""
    key, sign, value = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"--set takes key=value, not {_shown(override)}",
            fix="--set train.steps=50, for example",
        )
    if not is_whole(override):
        raise ConfigError("half a character, which cannot be written", where=_shown(override))
    path = tuple(key.strip().split("."))
    try:
        read = read_value(value)
    except yaml.YAMLError:
        return path, value
    # YAML sees a mapping in weights({'a': 1}), which is an expression and stays text.
    is_text = isinstance(read, dict | list) and not value.lstrip().startswith(("{", "["))
    return path, value if is_text else read


def _assign(data: dict[str, Any], path: Keys, value: Any, override: str) -> None:
    """Put a value into nested mappings, which are made where there are none."""
    for step in path[:-1]:
        if data.get(step) is None:
            data[step] = {}
        data = data[step]
        if not isinstance(data, dict):
            raise ConfigError(f"{step!r} holds a value, no keys", where=override)
    data[path[-1]] = value
