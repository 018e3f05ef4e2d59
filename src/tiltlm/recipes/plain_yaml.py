"""YAML as recipes need it: mappings, lists, text, numbers and truth values, and nothing else.

YAML can do more than a recipe has a use for, and what it does besides is what goes wrong: an anchor
used nine times in each of nine lines is four hundred million values, ``12:30`` is the number 750, a
date is no text, and a tag names a type that is to be made. Here these are refused, or are the text
that they look like. Knows nothing of what is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tiltlm.errors import ConfigError
from tiltlm.reading import read_text

Keys = tuple[str, ...]
"""The keys that lead to a value, from the outermost mapping inwards."""

_DEEPEST = 20
"""Mappings and lists inside one another at most."""

_BYTES = 1 << 20
"""Bytes of a recipe at most, which the library reads in some seconds."""

_MOST_VALUES = 10_000
"""Keys and values at most."""

_LONGEST_NUMBER = 40
"""Characters of a number at most."""


def read_file(path: Path) -> str:
    """The text of a file of settings.

    Raises:
        ConfigError: it cannot be read, is no regular file, or is too large.
    """
    try:
        return read_text(path, _BYTES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the recipe: {error}", where=str(path)) from None


def is_whole(text: str) -> bool:
    r"""Whether all characters of a text are whole, so that it can be written.

    Args:
        text: in which surrogates may stand by themselves.

    >>> is_whole("é"), is_whole("\ud800")
    (True, False)
    """
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_mapping(text: str, where: str) -> tuple[dict[str, Any], dict[Keys, int]]:
    """The mapping that a text of YAML is.

    Args:
        text: YAML.
        where: the file that it stands in, for errors.

    Returns:
        the mapping, and the line of each key in it and below, counted from 1.

    Raises:
        ConfigError: it is no YAML or no mapping, a key stands twice, or it has what recipes have no
            use for; says in which line.
    """
    try:
        data, lines = _read(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ConfigError(f"this is no YAML: {problem}", where=where + line) from None
    if not isinstance(data, dict):
        raise ConfigError("this is no mapping of keys to values", where=where)
    return data, lines


def read_value(text: str) -> Any:
    """The value that a short text of YAML is, such as a number.

    Args:
        text: YAML.

    Raises:
        yaml.YAMLError: it is none, or has what recipes have no use for.
    """
    return _read(text)[0]


def _read(text: str) -> tuple[Any, dict[Keys, int]]:
    """What a text of YAML holds, and the line of each key in it; each fault is a YAMLError."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines = _lines(node)
        return (None if node is None else loader.construct_document(node)), lines
    except (ValueError, OverflowError) as error:  # "\U99999999" is no character, 0b_ no number.
        raise _fault(str(error), loader.get_mark()) from None


def _lines(node: yaml.Node | None, path: Keys = ()) -> dict[Keys, int]:
    """The line of each key below a node, counted from 1; refuses a key that stands twice."""
    lines: dict[Keys, int] = {}
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _lines(item)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key is no list and no mapping", key.start_mark)
            inner = (*path, key.value)
            if inner in lines:
                raise _fault(f"the key {'.'.join(inner)[:200]!r} stands twice", key.start_mark)
            lines[inner] = key.start_mark.line + 1
            lines |= _lines(value, inner)
    return lines


def _fault(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    """An error as the library's own are, with the place of the fault."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """Reads plain YAML; each fault is a YAMLError that knows its place."""

    depth, values = 0, 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A node, unless it is an alias, has a tag, or lies too deep."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _fault("*… stands for what is written elsewhere; write it out", event.start_mark)
        if event.tag is not None:
            raise _fault(f"the tag {event.tag[:200]!r} is not understood", event.start_mark)
        if self.depth == _DEEPEST:
            raise _fault(f"it is nested more than {_DEEPEST} deep", event.start_mark)
        if self.values == _MOST_VALUES:
            raise _fault(f"it has more than {_MOST_VALUES} keys and values", event.start_mark)
        self.depth, self.values = self.depth + 1, self.values + 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The type of a node: what is neither number nor truth value nor nothing is text."""
        if kind is yaml.ScalarNode and not is_whole(value):
            raise _fault("half a character, which cannot be written", self.get_mark())
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and (tag not in _TYPES or (tag in _NUMBERS and ":" in value)):
            return yaml.resolver.Resolver.DEFAULT_SCALAR_TAG
        if tag in _NUMBERS and len(value) > _LONGEST_NUMBER:
            raise _fault("a number of too many digits", self.get_mark())
        return tag


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TYPES = (*_NUMBERS, "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")
"""Types that plain values have."""
