"""Files and folders that are written whole or not at all, and errors that say what went wrong."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiltlm.errors import MeasurementError, RunError, StorageError

STAGING = ".partial"
"""Ending of the temporary name under which a file or a folder is written."""


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside ``path``, and rename it to ``path`` if the block succeeds.

    What is at ``path`` already is replaced. If the block fails, that stays as it is and nothing of
    the new one is left behind.

    Args:
        path: of a file or a folder; the folders above it are made.

    Yields:
        a path at which nothing is yet.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    temporary = path.with_name(path.name + STAGING)
    with explain_storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        try:
            yield temporary
            if path.is_dir() and temporary.is_dir():
                retired = path.with_name(path.name + ".old")
                remove(retired)
                path.rename(retired)
                temporary.rename(path)
                remove(retired)
            else:
                temporary.replace(path)
        except BaseException:
            remove(temporary)
            raise


@contextmanager
def explain_storage(path: Path) -> Iterator[None]:
    """Turn the several ways in which libraries report a full or locked disk into one error.

    Args:
        path: what is being written.

    Raises:
        StorageError: the disk is full, or may not be written. Other errors pass through.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _full(path) from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
            raise StorageError(
                f"cannot write: {error.strerror}", where=str(path), fix="choose another --out"
            ) from None
        raise
    except Exception as error:  # safetensors and torch.save have error types of their own
        message = str(error)
        signs = ("No space left", "os error 28", "File too large", "PytorchStreamWriter failed")
        if any(sign in message for sign in signs) or free_bytes(path) < 1 << 20:
            raise _full(path) from None
        raise


def _full(path: Path) -> StorageError:
    return StorageError(
        f"the disk is full ({free_bytes(path) / 1e6:.0f} MB free); what was complete is kept",
        where=str(path),
        fix="free some space and run again with --resume, or choose another --out",
    )


def require_free(path: Path, needed_bytes: int, purpose: str) -> None:
    """Refuse to begin what cannot be finished.

    Args:
        path: what is to be written.
        needed_bytes: how much it takes.
        purpose: what needs that, for the message.

    Raises:
        StorageError: less than ``needed_bytes`` are free where ``path`` lies.
    """
    free = free_bytes(path)
    if free < needed_bytes:
        raise StorageError(
            f"{purpose} needs about {needed_bytes / 1e9:.2f} GB, {free / 1e9:.2f} GB are free",
            where=str(path),
            fix="free some space, or choose another --out",
        )


def free_bytes(path: Path) -> int:
    """How many bytes are free on the disk on which ``path`` lies or would lie."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    with staged(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file, whole or not at all.

    Args:
        path: of the file.
        data: what JSON can hold; not-a-number and infinity are none of it. Halves of surrogate
            pairs, which UTF-8 cannot write, are escaped.

    Raises:
        MeasurementError: ``data`` holds a number that is not finite.
        StorageError: the disk is full, or may not be written.
    """
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise MeasurementError(
            "a figure is infinite or no number, so nothing was written",
            where=str(path),
            fix="see whether the model gives such numbers; nothing can be said by them",
        ) from None
    write_text(path, text.encode("utf-8", "backslashreplace").decode() + "\n")


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_out(out: Path) -> None:
    """Refuse an output folder that holds something, before any work is done.

    Args:
        out: a folder that is empty or not there.

    Raises:
        RunError: it is a file, or holds something.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise RunError(
            "--out holds something already; nothing in it was touched",
            where=str(out),
            fix="name a new folder",
        )
