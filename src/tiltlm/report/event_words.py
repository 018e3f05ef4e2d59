"""Classes of tokens in words: "capitalised words" for ``matches('^ ?[A-Z]')``. Computes nothing."""

from __future__ import annotations

import ast
import re

from tiltlm.report.wording import visible
from tiltlm.strings.catalogue import Strings, read_strings

_LONGEST = 400
"""Characters of an expression that is put into words; a longer one says more by itself."""

_ENGLISH = "en"


def in_words(expression: str, language: str = _ENGLISH) -> str:
    """What an event catches, in words; empty where its expression says it best.

    Args:
        expression: as events are written.
        language: of the words, one of `LANGUAGES`.

    >>> in_words("matches('^ ?[A-Z]')"), in_words("contains('x') & ~special()")
    ('capitalised words', 'tokens with “x” in them, but no control tokens')
    >>> in_words("matches('ing$')"), in_words("a list of mine")
    ('words that end in “ing”', '')
    """
    if len(expression) > _LONGEST:
        return ""
    try:
        tree = ast.parse(expression, mode="eval").body
        return _Words(read_strings(language)).of(tree)
    except (_NoWordsError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


class _NoWordsError(Exception):
    """An expression that is better read as it is."""


class _Words:
    """Puts the tree of an expression into the words of one language."""

    def __init__(self, strings: Strings) -> None:
        self.say = strings.text

    def of(self, node: ast.expr) -> str:
        match node:
            case ast.BinOp(left, ast.BitAnd(), ast.UnaryOp(ast.Invert(), right)):
                return self.say("events.but_no", one=self.of(left), other=self.of(right))
            case ast.BinOp(left, ast.BitAnd(), right):
                return self.say("events.and", one=self.of(left), other=self.of(right))
            case ast.BinOp(left, ast.BitOr(), right):
                return self.say("events.or", one=self.of(left), other=self.of(right))
            case ast.UnaryOp(ast.Invert(), inner):
                return self.say("events.not", one=self.of(inner))
            case ast.Call(ast.Name(name), arguments, keywords):
                texts = [_text(argument) for argument in arguments]
                if name == "matches" and len(texts) == 1 and not keywords:
                    return self.pattern(texts[0])
                any_case = self.say("events.any_case") if keywords else ""
                return self.call(name, texts) + any_case
        raise _NoWordsError

    def call(self, name: str, texts: list[str]) -> str:
        if name == "special" and not texts:
            return self.say("events.special")
        if name in ("contains", "word", "phrase") and 1 <= len(texts) <= 6:
            quoted = [self.say("events.quoted", text=visible(text)) for text in texts]
            listed = self.say("events.comma").join(quoted[:-1])
            last = quoted[-1]
            listed = self.say("events.or", one=listed, other=last) if listed else last
            return self.say(f"events.{name}", text=listed)
        raise _NoWordsError

    def pattern(self, pattern: str) -> str:
        """The words of a pattern that an audit tries; others are read as they are."""
        if name := _FORMS.get(pattern):
            return self.say(f"events.forms.{name}")
        if length := re.fullmatch(r"\^ \?\\S\{(\d+)\}\$", pattern):
            return self.say("events.length", count=length[1])
        if begins := re.fullmatch(r"\^ \?((?:\\.|[^\\.^$*+?{}\[\]|()])+)", pattern):
            return self.say("events.begins", text=_unescaped(begins[1]))
        if ends := re.fullmatch(r"((?:\\.|[^\\.^$*+?{}\[\]|()])+)\$", pattern):
            return self.say("events.ends", text=_unescaped(ends[1]))
        raise _NoWordsError


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise _NoWordsError


def _unescaped(pattern: str) -> str:
    """The text that a pattern without operators matches, on one line."""
    return visible(re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL))


_FORMS = {
    r"^ ?[A-Z]": "capitalised",
    r"^ ?[A-Z]{2,}$": "capitals",
    r"^ ?[a-z]+$": "small",
    r"\d": "digit",
    r"^ ?\d+$": "digits",
    r"^[^A-Za-z0-9]+$": "signs",
    r"^ ": "space",
    r"^[a-z]": "middle",
    r"\n": "line_break",
    r"^ ?[aeiouAEIOU]": "vowel",
    r"'": "apostrophe",
    r"-": "hyphen",
    '["“”]': "quotes",
    r"[()\[\]{}]": "brackets",
    r"[.!?]$": "sentence_end",
    r"[a-z]ing$": "ing",
    r"[a-z]ed$": "ed",
    r"[a-z]ly$": "ly",
    r"[a-z]s$": "s",
    r"[a-z]tion$": "tion",
    r"[\u00c0-\u024f]": "accents",
    r"[\u0370-\u03ff]": "greek",
    r"[\u0400-\u04ff]": "cyrillic",
    r"[\u0590-\u05ff]": "hebrew",
    r"[\u0600-\u06ff]": "arabic",
    r"[\u0900-\u097f]": "devanagari",
    r"[\u0e00-\u0e7f]": "thai",
    r"[\uac00-\ud7af]": "hangul",
    r"[\u3040-\u30ff]": "kana",
    r"[\u4e00-\u9fff]": "han",
}
"""What each pattern of an audit's classes is called in the files of strings; the patterns are
written out because a report knows records alone."""
