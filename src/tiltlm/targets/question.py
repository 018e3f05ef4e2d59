"""A prompt, and the strings that may answer it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One prompt with its strings.

    Attributes:
        request: what the user asks.
        response: how every answer begins, before the string; often empty.
        strings: the answers and their weights, which sum to one.
    """

    request: str
    response: str
    strings: tuple[tuple[str, float], ...]
