r"""Regular expressions that take linear time, whoever wrote them: Python's syntax, run by RE2.

Python's own engine goes back and tries again, so that ``(a+)+$`` takes years on a text of forty
letters, and a model's label could bring such a pattern along. RE2 (the library google-re2) reads a
text once. Its syntax and Python's look alike and differ in a dozen quiet ways: ``\w`` and ``\d``
are ASCII there, ``$`` does not hold before a line break, ``a{,3}`` and ``a{9999999999}`` are plain
text. So Python's parser reads a pattern, and what it has read is written down for RE2.

What is lost is refused: look-arounds, back references, conditions, atomic groups and possessive
repeats, which RE2 cannot do in linear time; repeats of more than 1,000, those inside one another
multiplied; and the flag ``a``. Three things differ: ``\b`` and ``\B`` go by ASCII letters, digits
and underscores alone; nothing is found after a ``$`` that stands before a last line break; and the
flag ``i`` takes the Turkish i, with and without its dot, for no other letter.
"""

from __future__ import annotations

# Python's own parser of patterns has no public name.
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import sys
import warnings
from functools import lru_cache
from typing import Any

import re2

from tiltlm.errors import EventError

_MOST_REPEATS = 1000
"""Repeats that RE2 takes, of one part; those of parts inside one another are multiplied."""

_MEMORY = 16 << 20
"""Bytes that RE2 may take for one pattern; what needs more is refused."""

_LONGEST = 20_000
"""Characters of a pattern at most: one that stands for a class may be a long list for RE2."""

_LONE = {code: code + 0x100000 for code in range(0xD800, 0xE000)}
"""Lone bytes are surrogates (PEP 383), which RE2 does not know; it is given characters of the
private use area in their place, which are neither letters nor digits nor spaces either."""

_INSIDE = {
    op.CATEGORY_DIGIT: r"\p{Nd}",
    op.CATEGORY_NOT_DIGIT: r"\P{Nd}",
    op.CATEGORY_SPACE: r"\t-\r\x1c-\x20\x{85}\p{Z}",
    op.CATEGORY_WORD: r"\p{L}\p{N}_",
}
"""What stands for a class of characters inside brackets, as str.isalnum and its like have it."""

_OPPOSITE = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
}

_LOST = {
    op.ASSERT: "a look-around",
    op.ASSERT_NOT: "a look-around",
    op.GROUPREF: "a back reference",
    op.GROUPREF_EXISTS: "a condition",
    op.ATOMIC_GROUP: "an atomic group",
    op.POSSESSIVE_REPEAT: "a possessive repeat",
}
"""What Python's patterns have and linear time does not allow."""

_PLACES = {
    op.AT_BEGINNING: r"\A",
    op.AT_BEGINNING_STRING: r"\A",
    op.AT_END: r"(?:\n?\z)",
    op.AT_END_STRING: r"\z",
    op.AT_BOUNDARY: r"\b",
    op.AT_NON_BOUNDARY: r"\B",
}
"""Places in a text, as RE2 writes them."""


class Pattern:
    """A compiled pattern, which can be searched for.

    Args:
        pattern: in Python's syntax.

    Raises:
        EventError: it is no pattern, cannot be searched for in linear time, or is too large.

    >>> Pattern("^ ?[A-Z]").found_in(" Fox"), Pattern("^ ?[A-Z]").found_in("fox")
    (True, False)
    """

    def __init__(self, pattern: str) -> None:
        options = re2.Options()
        options.log_errors, options.never_capture, options.max_mem = False, True, _MEMORY
        try:
            self._search = re2.compile(_written_for_re2(pattern), options).search
        except (_RefusedError, parser.error, re2.error, OverflowError, ValueError) as error:
            reason = error.args[0]
            reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
            raise EventError(
                f"{pattern[:200]!r} is no regular expression of linear time: {reason}",
                fix="escape special characters; there are no look-arounds and no back references",
            ) from None

    def found_in(self, text: str) -> bool:
        """Whether the pattern is found somewhere in a text, in which lone bytes are surrogates."""
        if not text.isascii():
            text = text.translate(_LONE)
        return self._search(text.encode()) is not None


class _RefusedError(Exception):
    """What Python's patterns have and these have not."""


def _written_for_re2(pattern: str) -> bytes:
    """A pattern of Python's as one of RE2's that is found in the same texts."""
    if len(pattern) > _LONGEST:
        raise _RefusedError(f"it has {len(pattern)} characters, more than {_LONGEST}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on what Python may read otherwise one day
            tree = parser.parse(pattern)
        return _sequence(tree, tree.state.flags).encode()
    except RecursionError:
        raise _RefusedError("it is nested too deeply") from None


def _sequence(tree: Any, flags: int) -> str:
    """Parts one after another, under the flags that hold there."""
    if flags & op.SRE_FLAG_ASCII:
        raise _RefusedError("it has the flag a, which is not understood")
    return "".join(_part(kind, value, flags) for kind, value in tree)


def _part(kind: Any, value: Any, flags: int) -> str:
    """One part of a pattern, which RE2 takes as a whole, also before a repeat."""
    if kind in _LOST:
        raise _RefusedError(f"it has {_LOST[kind]}, which linear time does not allow")
    if kind is op.LITERAL:
        return _folding(_character(value), flags)
    if kind is op.NOT_LITERAL:
        return _folding(f"[^{_character(value)}]", flags)
    if kind is op.IN:
        return _folding(_one_of(value), flags)
    if kind is op.ANY:
        return "(?s:.)" if flags & op.SRE_FLAG_DOTALL else r"[^\n]"
    if kind is op.AT:
        if flags & op.SRE_FLAG_MULTILINE and value in (op.AT_BEGINNING, op.AT_END):
            return "(?m:^)" if value is op.AT_BEGINNING else "(?m:$)"
        return _PLACES[value]
    if kind is op.BRANCH:
        return "(?:" + "|".join(_sequence(branch, flags) for branch in value[1]) + ")"
    if kind is op.SUBPATTERN:
        _, added, taken, inner = value
        return f"(?:{_sequence(inner, (flags | added) & ~taken)})"
    low, high, inner = value  # MAX_REPEAT or MIN_REPEAT; whether one is found is the same.
    bound = "" if high is op.MAXREPEAT else str(high)
    if max(low, 0 if high is op.MAXREPEAT else high) > _MOST_REPEATS:
        raise _RefusedError(f"it repeats a part more than {_MOST_REPEATS} times")
    return f"(?:{_sequence(inner, flags)}){{{low},{bound}}}"


def _folding(part: str, flags: int) -> str:
    """A part that takes capital and small letters for the same where the flags say so."""
    return f"(?i:{part})" if flags & op.SRE_FLAG_IGNORECASE else part


def _character(code: int) -> str:
    """A character by its number; a lone byte by what stands for it."""
    return f"\\x{{{_LONE.get(code, code):x}}}"


def _one_of(items: Any) -> str:
    """Characters in brackets."""
    negated = items[0][0] is op.NEGATE
    items = items[1:] if negated else items
    if len(items) == 1 and items[0][1] in _OPPOSITE:
        negated, items = not negated, [(op.CATEGORY, _OPPOSITE[items[0][1]])]
    parts = []
    for kind, value in items:
        if kind is op.LITERAL:
            parts.append(_character(value))
        elif kind is op.RANGE:
            parts += _range(*value)
        elif value in _INSIDE:
            parts.append(_INSIDE[value])
        else:
            parts.append(_all_but(value))
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _range(low: int, high: int) -> list[str]:
    """The characters from one to another, and what stands for the lone bytes among them."""
    written = [f"\\x{{{low:x}}}-\\x{{{high:x}}}"]
    if low >= 0xD800 and high <= 0xDFFF:
        written = []
    first, last = max(low, 0xD800), min(high, 0xDFFF)
    return [*written, f"{_character(first)}-{_character(last)}"] if first <= last else written


@lru_cache
def _all_but(category: Any) -> str:
    r"""The characters outside a class, for brackets that hold more than ``\W`` or ``\S``."""
    is_space = category is op.CATEGORY_NOT_SPACE
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        inside = character.isspace() if is_space else character.isalnum() or character == "_"
        if inside:
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges)
