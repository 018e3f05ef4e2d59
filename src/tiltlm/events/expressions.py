"""Read events and targets written as text: `contains('x') | ~word('the')`.

The text is Python's own expression grammar, read with `ast` and walked here; nothing is ever
evaluated. Knows which forms exist only from the table that the caller hands in.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Mapping
from typing import Any

from tiltlm.errors import ExpressionError, TiltError

MAX_LENGTH = 1_000_000
"""Longest text that is read, in characters."""


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
            fix="put long word lists into a file",
        )
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _Reader(text.strip(), table, where).read(tree.body)
    except SyntaxError as error:
        raise ExpressionError(
            f"cannot read {text!r}: {error.msg} at column {error.offset}",
            where=where,
            fix="write it like contains('x') | word('she', 'her')",
        ) from None
    except (RecursionError, MemoryError, ValueError):
        raise ExpressionError(
            f"cannot read {text[:60]!r}…: it is nested too deeply or holds a null byte", where=where
        ) from None


class _Reader:
    """Walks the syntax tree of one text and builds what it describes."""

    def __init__(
        self, text: str, table: Mapping[str, Callable[..., Any]], where: str | None
    ) -> None:
        self.text, self.table, self.where = text, table, where

    def read(self, node: ast.expr) -> Any:
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
                if None in node.keys:
                    raise self._error(node, "'**' cannot stand in a mapping")
                keys = [self.read(key) for key in node.keys if key is not None]
                return dict(zip(keys, map(self.read, node.values), strict=True))
            case ast.List() | ast.Tuple():
                return [self.read(item) for item in node.elts]
            case ast.Constant(value=str() | int() | float() | bool() | None):
                return node.value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.Name(id=name):
                raise self._error(
                    node, f"{name} is neither a call nor a number; text stands in quotes"
                )
        raise self._error(node, "only calls, text, numbers and & | ~ ( ) are understood")

    def _call(self, node: ast.Call, name: str) -> Any:
        if name not in self.table:
            raise self._error(node, f"no such event or target: {name!r}", name)
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            keyword.arg is None for keyword in node.keywords
        ):
            raise self._error(node, "'*' and '**' cannot stand in a call")
        args = [self.read(argument) for argument in node.args]
        named = {str(keyword.arg): self.read(keyword.value) for keyword in node.keywords}
        return self._guard(node, lambda: self.table[name](*args, **named))

    def _combine(self, node: ast.BinOp, join: Callable[[Any, Any], Any]) -> Any:
        left, right = self.read(node.left), self.read(node.right)
        return self._guard(node, lambda: join(left, right))

    def _guard(self, node: ast.expr, build: Callable[[], Any]) -> Any:
        """What ``build`` gives; its errors are told with the place in the text."""
        try:
            return build()
        except TiltError as error:
            if error.where:
                raise
            raise type(error)(error.what, where=self.where or self.text, fix=error.fix) from None
        except TypeError as error:
            raise self._error(node, str(error)) from None

    def _error(self, node: ast.expr, what: str, name: str | None = None) -> ExpressionError:
        near = difflib.get_close_matches(name or "", self.table, n=1)
        known = "known: " + ", ".join(sorted(self.table))
        fix = f"did you mean {near[0]}? {known}" if near else known
        return ExpressionError(
            f"cannot read {self.text!r} at column {node.col_offset + 1}: {what}",
            where=self.where,
            fix=fix,
        )
