"""Read events and targets written as text: `contains('x') | ~word('the')`.

The text is Python's own expression grammar, read with `ast` and walked here; nothing is ever
evaluated. Knows which forms exist only from the table that the caller hands in.
"""

from __future__ import annotations

import ast
import difflib
import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

from tiltlm.errors import ExpressionError, TiltError

MAX_LENGTH = 1_000_000
"""Longest text that is read, in characters."""

_DEEPEST = 100
"""Calls, lists and signs inside one another at most."""

_LARGEST = 2**63
"""Whole numbers are smaller than this, as tensors cannot hold larger ones."""

_SHOWN = 200
"""Characters of a long text that an error shows."""


def excerpt(text: str) -> str:
    r"""A text as errors show it: its beginning where it is long, what cannot be written escaped.

    Args:
        text: of any length.

    >>> excerpt("a\ud800")
    'a\\ud800'
    """
    short = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return short.encode(errors="backslashreplace").decode()


def shown(value: object) -> str:
    """Whatever was given, as errors show it.

    Args:
        value: anything; also a number of more digits than Python writes.

    >>> shown(["it"]), shown(10**5000)
    ("['it']", 'an int too large to show')
    """
    try:
        return excerpt(repr(value))
    except (ValueError, RecursionError):
        return f"an {type(value).__name__} too large to show"


def parse(text: str, table: Mapping[str, Callable[..., Any]], *, where: str | None = None) -> Any:
    """Build the object that an expression describes.

    Args:
        text: calls of names in ``table`` with literal arguments or further calls, joined by
            ``&``, ``|``, ``~`` and parentheses.
        table: from each name to the function that builds what a call of it describes.
        where: the file or option that the text stands in, for the error.

    Returns:
        what the outermost call or operator gives.

    Raises:
        ExpressionError: the text is no such expression; says at which column.
        TiltError: one of the functions refused its arguments; says where the text stands.

    >>> parse("pair(1, 'a')", {"pair": lambda *items: items})
    (1, 'a')
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters, more than {MAX_LENGTH}",
            where=where,
            fix="shorten its lists of words",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on 1and, or '\\d', is about programs.
            tree = ast.parse(text.strip(), mode="eval")
        return _Reader(text.strip(), table, where).read(tree.body)
    except SyntaxError as error:
        raise ExpressionError(
            f"cannot read {excerpt(text)!r}: {excerpt(error.msg)} at column {error.offset}",
            where=where,
            fix="write it like contains('x') | word('she', 'her')",
        ) from None
    except (RecursionError, MemoryError):
        raise ExpressionError(
            f"cannot read {excerpt(text)!r}: it is nested too deeply", where=where
        ) from None
    except ValueError as error:  # A null byte, or a lone surrogate outside the quotes.
        raise ExpressionError(f"cannot read {excerpt(text)!r}: {error}", where=where) from None


class _Reader:
    """Walks the syntax tree of one text and builds what it describes."""

    def __init__(
        self, text: str, table: Mapping[str, Callable[..., Any]], where: str | None
    ) -> None:
        self.text, self.table, self.where, self.depth = text, table, where, 0

    def read(self, node: ast.expr) -> Any:
        """The value of a node; what is nested too deeply is refused."""
        if self.depth == _DEEPEST:
            raise self._error(node, f"it is nested more than {_DEEPEST} deep")
        self.depth += 1
        value = self._value(node)
        self.depth -= 1
        return value

    def _value(self, node: ast.expr) -> Any:
        """The value of a node; forms that are not listed here are refused."""
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
            case ast.BinOp(op=ast.BitAnd()):
                return self._combine(node, lambda a, b: a & b)
            case ast.BinOp(op=ast.BitOr()):
                return self._combine(node, lambda a, b: a | b)
            case ast.UnaryOp(op=ast.Invert()):
                operand = self.read(node.operand)
                return self._guard(node, lambda: ~operand)
            case ast.Dict():
                return self._mapping(node)
            case ast.List() | ast.Tuple():
                return [self.read(item) for item in node.elts]
            case ast.Constant(value=str() | bool() | None):
                return node.value
            case ast.Constant(value=int() | float() as value):
                return self._number(node, value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=bool())):
                pass
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -self._number(node, value)
            case ast.Name(id=name):
                what = f"{excerpt(name)} is neither a call nor a number; text stands in quotes"
                raise self._error(node, what)
        raise self._error(node, "only calls, text, numbers and & | ~ ( ) are understood")

    def _number(self, node: ast.expr, value: int | float) -> int | float:
        """A number that tensors can hold."""
        if isinstance(value, int) and value >= _LARGEST:
            raise self._error(node, "a whole number of more than 18 digits")
        if not math.isfinite(value):
            raise self._error(node, "a number that is not finite")
        return value

    def _mapping(self, node: ast.Dict) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            if key_node is None:
                raise self._error(node, "'**' cannot stand in a mapping")
            key = self.read(key_node)
            if isinstance(key, dict | list):
                raise self._error(key_node, "a list or a mapping cannot be a key")
            if key in mapping:
                raise self._error(key_node, f"the key {excerpt(str(key))} stands twice")
            mapping[key] = self.read(value_node)
        return mapping

    def _call(self, node: ast.Call, name: str) -> Any:
        if name not in self.table:
            raise self._error(node, f"no such event or target: {excerpt(name)!r}", name)
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            keyword.arg is None for keyword in node.keywords
        ):
            raise self._error(node, "'*' and '**' cannot stand in a call")
        args = [self.read(argument) for argument in node.args]
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg in named:
                raise self._error(node, f"{excerpt(str(keyword.arg))} stands twice")
            named[str(keyword.arg)] = self.read(keyword.value)
        return self._guard(node, lambda: self.table[name](*args, **named))

    def _combine(self, node: ast.BinOp, join: Callable[[Any, Any], Any]) -> Any:
        """What operators of one kind give, all of which are associative; a long row is not deep."""
        row = [node]
        while isinstance(row[-1].left, ast.BinOp) and type(row[-1].left.op) is type(node.op):
            row.append(row[-1].left)
        values = [self.read(row[-1].left), *(self.read(step.right) for step in reversed(row))]
        # Neighbours are joined, and so on, as joining one by one takes the square of their number.
        while len(values) > 1:
            pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
            values = [self._guard(node, partial(reduce, join, pair)) for pair in pairs]
        return values[0]

    def _guard(self, node: ast.expr, build: Callable[[], Any]) -> Any:
        """What ``build`` gives; its errors are told with the place in the text."""
        try:
            return build()
        except TiltError as error:
            if error.where:
                raise
            where = self.where or excerpt(self.text)
            raise type(error)(error.what, where=where, fix=error.fix) from None
        except TypeError as error:
            raise self._error(node, excerpt(str(error))) from None

    def _error(self, node: ast.expr, what: str, name: str | None = None) -> ExpressionError:
        near = difflib.get_close_matches(name or "", self.table, n=1)
        known = "known: " + ", ".join(sorted(self.table))
        fix = f"did you mean {near[0]}? {known}" if near else known
        return ExpressionError(
            f"cannot read {excerpt(self.text)!r} at column {node.col_offset + 1}: {what}",
            where=self.where,
            fix=fix,
        )
