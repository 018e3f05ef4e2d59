"""Text and JSON out of files that may be a stranger's: regular files only, and none without end."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

TEXT_BYTES = 1 << 30
"""Bytes of a text that is read at most; tokenised, as many take tens of gigabytes."""

LIST_BYTES = 16 << 20
"""Bytes at most of what is read for its items: word lists, choices, labels, recipes."""


def read_text(path: Path, limit: int = TEXT_BYTES) -> str:
    """Read a text file in UTF-8; a pipe, a device or a file without end is none.

    Args:
        path: of the file.
        limit: bytes of it at most.

    Returns:
        the text, its lines ended by line feeds.

    Raises:
        OSError: it cannot be opened, is no regular file, or has more bytes than ``limit``.
        ValueError: it is not in UTF-8, or there cannot be a file of such a name.
    """
    # Without the flag, opening a pipe waits for somebody who writes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    content = bytearray()
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no regular file")
        while chunk := file.read(1 << 20):
            content += chunk
            if len(content) > limit:
                raise OSError(f"it has more than {limit / 1e6:.0f} MB")
    return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def can_be_path(name: str) -> bool:
    r"""Whether a file or folder could have this name, on any system that there is.

    Args:
        name: from whoever; asked for a file of a name that none can have, systems raise errors.

    >>> can_be_path("models/mine"), can_be_path("x" * 300), can_be_path("a\0b"), can_be_path("")
    (True, False, False, False)
    """
    try:
        parts = [len(part.encode(errors="surrogateescape")) for part in name.split("/")]
    except UnicodeEncodeError:
        return False
    return name != "" and "\0" not in name and max(parts) <= 255 and sum(parts) < 4000


def read_json(path: Path, limit: int = LIST_BYTES) -> Any:
    """Read a JSON file as it is meant: no not-a-number, no infinity, not nested without end.

    Args:
        path: of the file.
        limit: bytes of it at most.

    Raises:
        OSError: as for `read_text`.
        ValueError: it is no JSON, is nested too deeply, or holds a number that is too large or half
            a character.
    """

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text[:20]} is no number")
        return value

    text = read_text(path, limit)
    try:
        data = json.loads(text, parse_float=number, parse_constant=number)
        if "\\ud" in text.lower():
            json.dumps(data, ensure_ascii=False).encode()  # refuses half a character
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return data
