"""The head of a GGUF file, walked once to see that it ends where it says.

Readers of the format loop over whatever number of entries a head promises, also where the file has
long ended. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from tiltlm.errors import ModelError
from tiltlm.models.folder import TensorShapes, check_numbers

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""Types of values, as struct writes them."""

_STRING, _ARRAY = 8, 9

_MOST_SIDES = 8
"""More sides than a tensor of any model has."""


def check_gguf(file: Path) -> TensorShapes:
    """Refuse a file whose head promises more than the file has.

    Args:
        file: which exists.

    Returns:
        the tensors that it names.

    Raises:
        ModelError: it is no GGUF file, is cut off, or asks for more layers than it has tensors.
    """
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as m:
            values, shapes = _Head(m).read()
            size = len(m)
    except (ValueError, OSError, struct.error) as error:
        raise ModelError(
            f"this is no whole GGUF file: {str(error)[:200]}",
            where=str(file),
            fix="get the file anew",
        ) from None
    check_numbers(values, str(file), len(shapes))
    return TensorShapes(shapes, size)


class _Head:
    """Reads values from where it stands, and never beyond the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at, self.order = data, 0, "<"

    def read(self) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
        """Values that are numbers, by the last part of their names; shapes of tensors."""
        if self.take(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        if self.number("I") & 0xFFFF == 0:
            self.order = ">"
        tensors, entries = self.number("Q"), self.number("Q")
        values: dict[str, Any] = {}
        for _ in range(entries):
            name = self.text()
            value = self.value(self.number("I"))
            if isinstance(value, int | float):
                values[name.rpartition(".")[2]] = value
        shapes = {}
        for _ in range(tensors):
            name, sides = self.text(), self.number("I")
            if sides > _MOST_SIDES:
                raise ValueError(f"a tensor of {sides} sides")
            shapes[name] = tuple(self.number("Q") for _ in range(sides))
            self.take(4 + 8)  # its type, and where it lies
        return values, shapes

    def take(self, count: int) -> bytes:
        """So many bytes more.

        Raises:
            ValueError: the file has ended before.
        """
        if self.at + count > len(self.data):
            raise ValueError("it ends before its head does")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str) -> Any:
        """A number of a type of struct's."""
        return struct.unpack(self.order + code, self.take(struct.calcsize("=" + code)))[0]

    def text(self) -> str:
        """A string with its length before it."""
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A value; None for strings and arrays, which are passed over."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            self.text()
        elif kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner in _SCALARS:
                self.take(count * struct.calcsize("=" + _SCALARS[inner]))
            elif inner == _STRING:
                for _ in range(count):
                    self.text()
            else:
                raise ValueError(f"an array of values of type {inner}")
        else:
            raise ValueError(f"a value of type {kind}")
        return None
