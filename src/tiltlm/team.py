"""What several processes of one launch do together: meet, hand on, share out work, fail as one.

They meet at the launcher's key-value store, through which they also hand each other small things;
what is large lies in the folder that all of them write to. Who does what is kept in the store
alone, so nothing that a killed process had taken stays taken. `launching` makes a team.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tiltlm.codec import ERROR, JSON, Codec
from tiltlm.errors import InterruptedRun, RunError, TiltError
from tiltlm.files import explain_storage
from tiltlm.progress import Advance

T = TypeVar("T")

SILENCE_SECONDS = 120.0
"""A process that has given no sign of life for so long has ended."""

_BEAT_SECONDS, _POLL_SECONDS = 2.0, 0.05
"""Between signs of life, and between looks at what others have brought."""

_PIECE_BYTES = 4 << 20
"""The store takes no value of more than 8 MiB."""


class Team:
    """The processes of one launch, as one of them sees them; without a launcher it is alone.

    Args:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: number of this process among those on its machine.
        store: by which they meet, a ``torch.distributed.Store``; None for a process alone.

    Attributes:
        rank: as above, and likewise ``size`` and ``local_rank``.
        last: closed once all processes have finished what they are at.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, store: Any = None
    ) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self.last = ExitStack()
        self._store = store
        self._steps = itertools.count()
        self._beats: dict[int, tuple[int, float]] = {}

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes what belongs to nobody, and speaks for all."""
        return self.rank == 0

    def meet(self, value: T, codec: Codec[T] = JSON) -> list[T]:
        """Wait for all processes.

        Args:
            value: of this process.
            codec: by which it travels.

        Returns:
            the values of all, by rank.

        Raises:
            TiltError: the same in all processes, if one of them failed or ended.
            TypeError: the codec cannot write the value.
        """
        if self._store is None:
            return [value]
        return [codec.decode(data) for data in self._exchange(codec.encode(value))]

    def from_first(self, make: Callable[[], T], codec: Codec[T] = JSON) -> T:
        """What the first process makes, in all of them.

        Args:
            make: called in the first alone.
            codec: by which what it returns travels.

        Raises:
            TiltError: what ``make`` raised there.
            TypeError: the codec cannot write what it returned.
        """
        if self._store is None:
            return make()
        return codec.decode(self._exchange(codec.encode(make()) if self.is_first else b"")[0])

    def by_turns(self, make: Callable[[], T]) -> T:
        """What each process makes, after the first on its machine, which leaves it a warm cache.

        Args:
            make: called in every process.

        Raises:
            TiltError: what ``make`` raised in any.
        """
        made = [make()] if self.local_rank == 0 else []
        self.meet(None)
        return made[0] if made else make()

    def share_out(self, pieces: Sequence[T], do: Callable[[T], None], advance: Advance) -> None:
        """Do pieces of work, each in whichever process is free first.

        Once a process has failed the others take nothing more, and finish what they are at.

        Args:
            pieces: the same in all processes.
            do: does a piece, and leaves what comes of it in a file.
            advance: told how many pieces all processes have done; called in the first alone.

        Raises:
            TiltError: what ``do`` raised in any process.
        """
        if self._store is None:
            for number, piece in enumerate(pieces, 1):
                do(piece)
                advance(number)
            return
        taken, done = (f"{next(self._steps)}/{word}" for word in ("taken", "done"))

        def tell() -> None:
            if self.is_first:
                advance(self._store.add(done, 0))

        while (number := self._store.add(taken, 1) - 1) < len(pieces):
            self._heed_errors()
            do(pieces[number])
            self._store.add(done, 1)
            tell()
        self._exchange(b"", tell)
        tell()

    def check_same_folder(self, folder: Path) -> None:
        """Refuse a folder that lies on a disk of each machine's own.

        Args:
            folder: it is made where it is not there.

        Raises:
            RunError: a process does not see what the first writes there.
            StorageError: the disk is full, or may not be written.
        """
        if self._store is None:
            return
        mark = folder / self.from_first(lambda: f".{secrets.token_hex(8)}")
        try:
            if self.is_first:
                with explain_storage(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                    mark.touch()
            self.meet(None)
            if not mark.exists():
                raise RunError(
                    "--out is not the same folder for all processes",
                    where=str(folder),
                    fix="name one on a disk that all machines share",
                )
            self.meet(None)
        finally:
            if self.is_first:
                mark.unlink(missing_ok=True)

    # -- what the processes know of each other ------------------------------------------------

    def _exchange(self, data: bytes, waiting: Callable[[], None] | None = None) -> list[bytes]:
        """What all processes bring, by rank; ``waiting`` is called until all have."""
        step = next(self._steps)
        self._put(f"{step}/{self.rank}", data)
        names = [f"{step}/{rank}" for rank in range(self.size)]
        self._wait(lambda: self._store.check(names), waiting)
        return [self._get(name) for name in names]

    def _put(self, name: str, data: bytes) -> None:
        """Write bytes, however many; their name is there once all of them are."""
        starts = range(0, len(data), _PIECE_BYTES)
        for number, start in enumerate(starts):
            self._store.set(f"{name}/{number}", data[start : start + _PIECE_BYTES])
        self._store.set(name, str(len(starts)))

    def _get(self, name: str) -> bytes:
        pieces = range(int(self._store.get(name)))
        return b"".join(self._store.get(f"{name}/{number}") for number in pieces)

    def _wait(self, until: Callable[[], bool], waiting: Callable[[], None] | None = None) -> None:
        """Look again and again whether something is so, while all processes live and none fails."""
        while not until():
            self._heed_errors()
            silent = self._silent()
            if silent:
                self._let_know(ended_silently(f"process {silent[0]} of {self.size}"))
            if waiting:
                waiting()
            time.sleep(_POLL_SECONDS)

    def _silent(self) -> list[int]:
        """Processes that have given no sign of life for long."""
        now = time.monotonic()
        for rank in range(self.size):
            beat = self._store.add(f"beats/{rank}", 0)
            if beat != self._beats.get(rank, (-1, 0.0))[0]:
                self._beats[rank] = (beat, now)
        return [rank for rank, (_, since) in self._beats.items() if now - since > SILENCE_SECONDS]

    def _let_know(self, error: TiltError) -> None:
        """Tell all processes of an error; what the first one tells is what all raise."""
        if self._store.add("failures", 1) == 1:
            self._put("failed", ERROR.encode(error))

    def _heed_errors(self) -> None:
        """Raise what a process has told of."""
        if self._store.check(["failed"]):
            error = ERROR.decode(self._get("failed"))
            error.told_by_another = not self.is_first
            raise error

    def _all_left(self) -> bool:
        return bool(self._store.check([f"left/{rank}" for rank in range(self.size)]))

    def _leave(self) -> None:
        self._store.set(f"left/{self.rank}", "yes")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Give signs of life for the length of a block, and leave it when all do.

        Raises:
            TiltError: what any process left the block by; all leave it by that.
            InterruptedRun: Ctrl-C or SIGTERM.
        """
        ended = threading.Event()

        def beat() -> None:
            with suppress(RuntimeError):  # The store has gone.
                while not ended.is_set():
                    self._store.add(f"beats/{self.rank}", 1)
                    ended.wait(_BEAT_SECONDS)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            with self.last:
                yield from self._until_all_leave()
        finally:
            ended.set()
            thread.join()

    def _until_all_leave(self) -> Iterator[None]:
        """Hand over to a block, then wait for all; by whatever one leaves it, all do."""
        try:
            yield
            self._leave()
            self._wait(self._all_left)
        except KeyboardInterrupt as interrupt:
            error = InterruptedRun(
                "interrupted; what was finished is kept", fix="go on with the same and --resume"
            )
            error.__cause__ = interrupt
            self._leave_by(error)
        except BaseException as error:
            self._leave_by(error)

    def _leave_by(self, error: BaseException) -> NoReturn:
        """Tell all processes, wait until they have finished what they are at, and raise."""
        if isinstance(error, TiltError):
            self._let_know(error)
        else:
            what = f"process {self.rank} failed: {type(error).__name__}: {error}"
            self._let_know(RunError(what, fix="mend that, then go on with --resume"))
        self._leave()
        if isinstance(error, InterruptedRun):  # whoever interrupts does not wait
            error.told_by_another = not self.is_first
            raise error
        while not self._all_left() and not self._silent():
            time.sleep(_POLL_SECONDS)
        while isinstance(error, TiltError) and not self._silent():
            self._heed_errors()
            time.sleep(_POLL_SECONDS)
        raise error


def ended_silently(process: str) -> RunError:
    """The error for a process of which nothing is heard any more; ``process`` names it."""
    return RunError(
        f"{process} has ended without a word; what was finished is kept",
        fix="the launcher's output may say why; then go on with --resume",
    )
