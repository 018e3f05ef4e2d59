"""Files and folders that are written whole or not at all, and errors that say what went wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiltlm.errors import MeasurementError, RunError, StorageError, TiltError

STAGING = ".partial"
"""What temporary names, under which files and folders are written, have after their own name."""

_STAGED = re.compile(re.escape(STAGING) + r"-[0-9a-f]{8}$")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (
    *(errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO, errno.EBUSY, errno.ESTALE),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP),
)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside ``path``, and rename it to ``path`` if the block succeeds.

    A file that is at ``path`` already is replaced, and so is a link or an empty folder; a folder
    that holds something never is, even if it came there during the block. If the block fails, what
    is there stays as it is and nothing of the new one is left behind. All is on the disk before it
    gets its name, and has the modes that the umask gives.

    Args:
        path: of a file or a folder; the folders above it are made.

    Yields:
        a path of its own at which nothing is yet.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    temporary = staging_path(path)
    with explain_storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            settle(temporary)
            if temporary.is_dir() and path.is_dir() and not path.is_symlink():
                path.rmdir()
            temporary.replace(path)
            _flush(path.parent)
        except BaseException:
            remove(temporary)
            raise


def settle(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, onto the disk.

    Files get the modes that the umask gives: safetensors writes its own for the owner alone.

    Raises:
        OSError: the disk is full, or does not hold what is written.
    """
    # The umask can only be read by setting it; for that instant it is a strict one.
    umask = os.umask(0o077)
    os.umask(umask)
    for item in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if item.is_file() and not item.is_symlink():
            item.chmod(0o666 & ~umask)
        _flush(item)


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, onto the disk where the system can do that."""
    if path.is_symlink() or (os.name == "nt" and path.is_dir()):
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def staging_path(path: Path) -> Path:
    """A temporary name of its own beside ``path``, which may be too long for the file system."""
    return path.with_name(f"{path.name}{STAGING}-{secrets.token_hex(4)}")


def remove_leftovers(path: Path, *, within: bool = False) -> None:
    """Remove what killed processes had staged.

    Args:
        path: of a file or a folder that no other process is at work on.
        within: what was staged for anything in the folder, instead of for the folder itself.

    Raises:
        StorageError: it may not be removed.
    """
    with explain_storage(path):
        if within:
            found = list(path.rglob(f"*{STAGING}-*"))
        else:
            found = [p for p in path.parent.iterdir() if p.name.startswith(path.name + STAGING)]
        for item in found:
            if _STAGED.search(item.name):
                remove(item)


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
    except TiltError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise _full(path) from None
        if error.errno in _UNWRITABLE:
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
        fix="free some space and run the same again, or choose another --out",
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
    write_text(path, json_text(data, where=str(path)))


def json_text(data: Any, where: str = "JSON") -> str:
    """The text of a JSON file, to the character as `write_json` writes it.

    Args:
        data: as for `write_json`.
        where: the file, for messages.

    Raises:
        MeasurementError: ``data`` holds a number that is not finite.
    """
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise MeasurementError(
            "a figure is infinite or no number, so nothing was written",
            where=where,
            fix="see whether the model gives such numbers; nothing can be said by them",
        ) from None
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


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
        StorageError: it may not be looked into.
    """
    with explain_storage(out):
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise RunError(
                "--out holds something already; nothing in it was touched",
                where=str(out),
                fix="name a new folder",
            )
