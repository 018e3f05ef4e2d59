"""Records whose every text is a stranger's."""

import dataclasses
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

SPECIAL = {
    "edges": [0.0, 1.0],
    "over": "strength",
    "versions": {"tiltlm": "1"},
}
"""Fields that plots need to be of some length or value."""


def filled(kind: Any, text: str) -> Any:
    """A value of a type, with one of everything in it, and `text` wherever there may be text."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return filled(arguments[0], text)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, types.UnionType):
        return filled(next(a for a in arguments if a is not type(None)), text)
    if origin is list:
        return [filled(arguments[0], text)]
    if origin is tuple:
        return tuple(filled(a, text) for a in arguments)
    if origin is dict:
        return {text: filled(arguments[1], text)}
    if dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        hints = {
            name: hint for name, hint in get_type_hints(kind).items() if name != "model_config"
        }
        return kind(**{name: _field(name, hint, text) for name, hint in hints.items()})
    plain = {str: text, Any: text, object: text, bool: True, int: 1, float: 0.5}
    return plain[kind]


def _field(name, kind, text):
    if name in SPECIAL:
        return SPECIAL[name]
    if name in ("reference", "base") and "dict[str, str]" in str(kind):
        return {"name": text, "sha256": text}
    if name == "recipe":
        return {"target": text, "by": text}
    if name == "seconds" and get_origin(kind) is dict:
        return {"total": 1.0}
    return filled(kind, text)
