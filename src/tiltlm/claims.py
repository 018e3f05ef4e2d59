"""Who may write an output folder: one process at a time, and only where it really lies.

A claim is a lock of the operating system on a file beside the folder, ``.NAME.lock``. It goes when
the process does, however that ends. Where a system or a file system has no such locks, claims keep
nobody out; `files.staged` then still replaces no folder that holds something.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tiltlm.errors import RunError, StorageError
from tiltlm.files import check_out, explain_storage, remove_leftovers, staging_path

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)

_ATTEMPTS = 100
"""Times that a lock is opened which another process removes in that instant."""


@contextmanager
def claimed(out: Path, *, wait: bool = False) -> Iterator[Path]:
    """Keep every other process out of a folder for the length of the block.

    What killed processes had staged for it is removed first. The folders above it are made, and
    removed in the end where nothing came of it.

    Args:
        out: the folder, which need not be there; or a file.
        wait: for another process that is at work on it, instead of giving up.

    Yields:
        the folder, with links followed.

    Raises:
        RunError: another process is at work on it, or there can be no such folder.
        StorageError: it may not be written there.
    """
    path = followed(out)
    made: list[Path] = []
    handle: int | None = None
    lock = path.with_name(f".{path.name}.lock")
    try:
        with explain_storage(path):
            made = [part for part in path.parents if not part.exists()]
            handle = _locked(lock, path, wait)
        remove_leftovers(path)
        yield path
    finally:
        if handle is not None:
            # Whoever opened the file before it goes finds that it is not there any more.
            lock.unlink(missing_ok=True)
            os.close(handle)
        for folder in made:
            with suppress(OSError):  # It holds something.
                folder.rmdir()


@contextmanager
def claimed_new(out: Path) -> Iterator[Path]:
    """Claim a folder that will be written as a whole; see `claimed`.

    Args:
        out: a folder that is empty or not there.

    Yields:
        the folder, with links followed.

    Raises:
        RunError: another process is at work on it, it holds something, or it cannot be replaced
            by a whole one.
        StorageError: it may not be written there.
    """
    with claimed(out) as path:
        check_out(path)
        if path.is_dir() and (path.is_mount() or path.samefile(".")):
            raise RunError(
                "--out is written as a whole, which a mount or the current folder cannot be",
                where=str(path),
                fix="name a new folder in it",
            )
        yield path


def followed(out: Path) -> Path:
    """Where an output folder really lies: absolute, all links followed.

    Args:
        out: which need not be there.

    Raises:
        RunError: a link on the way leads nowhere, or there can be no such path.
    """
    try:
        for part in (out, *out.parents):
            if part.is_symlink() and not part.exists():
                raise RunError(
                    "the link leads nowhere",
                    where=str(part),
                    fix="make the folder that it leads to, or name another --out",
                )
        path = out.resolve()
        str(path).encode()
        if not path.name:
            raise ValueError("it is the root of the file system")
        staging_path(path).exists()  # raises where the name is too long
        above = next(part for part in path.parents if part.exists())
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file is in its way", str(above))
    except UnicodeError:
        raise RunError(
            "the name is no text in UTF-8", where=ascii(str(out)), fix="name another --out"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RunError(
            f"the folder cannot be used: {reason}",
            where=str(out)[:300],
            fix="name another --out",
        ) from None
    return path


def _locked(lock: Path, path: Path, wait: bool) -> int | None:
    """Open and lock a file, in a folder that is made; None where there are no locks.

    Raises:
        RunError: another process has it.
        StorageError: there can be no such file.
    """
    try:
        import fcntl
    except ImportError:  # Windows has none.
        return None
    for _ in range(_ATTEMPTS):
        with ExitStack() as stack, suppress(FileNotFoundError):
            # Another process may remove an empty folder, or its own lock, between any two calls.
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise RunError(
                    "another process is at work on this --out; nothing of it was touched",
                    where=str(path),
                    fix="wait for it, or name another --out",
                ) from None
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    return None
                raise
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                stack.pop_all()
                return handle
    raise StorageError("cannot make it there", where=str(path), fix="choose another --out")
