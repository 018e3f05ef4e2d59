"""Several processes that a launcher started for one command, at work in the same folder.

`torchrun` and `accelerate launch` start one command line N times, and say in the environment who is
who. The processes meet over gloo and hand each other small things; what is large lies in the folder
that all of them write to. Work is shared out by files that only one process can create. They belong
to one launch and are cleared away by the next, so nothing that a killed process had claimed stays
claimed.

In a team every process is alone as far as other libraries know, and sees its own GPUs only:
else a Trainer within the work would wait for the others, who train something else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from tiltlm.errors import RunError, TiltError
from tiltlm.files import explain_storage, remove
from tiltlm.progress import Advance

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""How long a process waits for one that is alive and still at work."""

_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LAUNCHER_BEGINNINGS = ("GROUP_", "ROLE_", "TORCHELASTIC_", "ACCELERATE_", "FSDP_", "PARALLELISM_")
"""Settings of launchers, and how the names of others begin."""

_FAILED, _DONE = "failed", ".done"
"""Name of the file that says that a process failed; ending of those that say what is done."""

_POLL_SECONDS = 0.1

_current: ContextVar[Team | None] = ContextVar("team", default=None)


@dataclass(frozen=True)
class Team:
    """The processes of one launch, as one of them sees them; without a launcher it is alone.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: number of this process among those on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    _group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes what belongs to nobody, and speaks for all."""
        return self.rank == 0

    def meet(self, value: T, waiting: Callable[[], None] | None = None) -> list[T]:
        """Wait for all processes.

        Args:
            value: of this process, which pickle can write.
            waiting: called now and then until all are there.

        Returns:
            the values of all, by rank.

        Raises:
            TiltError: the same in all processes, if one of them failed or ended.
        """
        return [value] if self._group is None else self._exchange(value, None, waiting)

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all of them.

        Args:
            make: called in the first alone; pickle must be able to write what it returns.

        Raises:
            TiltError: what ``make`` raised there.
        """
        # Lists carry what is made, so that others than the first need bring nothing of its type.
        return self.meet([make()] if self.is_first else [])[0][0]

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

    def share_out(
        self, names: Sequence[str], claims: Path, do: Callable[[str], None], advance: Advance
    ) -> None:
        """Do pieces of work, each in whichever process is free first.

        Once a process has failed the others take nothing more, and finish what they are at.

        Args:
            names: of the pieces, each fit for a file's name; the same in all processes.
            claims: a folder for the files that say who does what; cleared away before and after.
            do: does a piece, and leaves it in a file.
            advance: told how many pieces all processes have done; called in the first alone.

        Raises:
            TiltError: what ``do`` raised in any process.
        """
        remove(claims)
        if self._group is None:
            for number, name in enumerate(names, 1):
                do(name)
                advance(number)
            return
        self.from_first(lambda: _make(claims))
        if not claims.is_dir():
            raise RunError(
                "--out is not the same folder for all processes",
                where=str(claims.parent),
                fix="name one on a disk that all machines share",
            )

        def tell() -> None:
            if self.is_first:
                advance(sum(1 for _ in claims.glob(f"*{_DONE}")))

        try:
            for name in names:
                if (claims / _FAILED).exists():
                    break
                if _claim(claims / name):
                    do(name)
                    (claims / (name + _DONE)).touch()
                    tell()
        except BaseException:
            (claims / _FAILED).touch()
            raise
        self.meet(None, tell)
        self.from_first(lambda: remove(claims))

    def _exchange(
        self, value: Any, error: TiltError | None, waiting: Callable[[], None] | None = None
    ) -> list[Any]:
        """The values of all processes; raises the error of the first one that brings any."""
        import torch.distributed as dist

        brought: list[Any] = [None] * self.size
        try:
            barrier = dist.barrier(self._group, async_op=True)
            while barrier is not None and not barrier.is_completed():
                if waiting:
                    waiting()
                time.sleep(_POLL_SECONDS)
            if barrier is not None:
                barrier.wait()
            dist.all_gather_object(brought, (value, error), group=self._group)
        except RuntimeError:
            self._raise(
                RunError(
                    f"one of {self.size} processes has ended without a word; what was finished "
                    "is kept",
                    fix="the launcher's output may say why; then go on with --resume",
                )
            )
        errors = [error for _, error in brought if error is not None]
        if errors:
            self._raise(errors[0])
        return [value for value, _ in brought]

    def _raise(self, error: TiltError) -> NoReturn:
        """Raise what all processes raise, and only the first is to tell."""
        error.told_by_another = not self.is_first
        raise error from None

    def _report(self, error: Exception) -> NoReturn:
        """Let all processes know what this one met with, and raise what all raise."""
        if isinstance(error, TiltError):
            if self._group is None or error.told_by_another is not None:
                raise error
            self._exchange(None, error)
        elif self._group is not None:
            told = RunError(
                f"process {self.rank} failed: {type(error).__name__}: {error}",
                fix="what was finished is kept: go on with --resume",
            )
            try:
                self._exchange(None, told)
            except TiltError:
                raise error from None
        raise error


def is_first() -> bool:
    """Whether this process speaks for the command: it is alone, or the first that was launched."""
    team = _current.get()
    return team.is_first if team else os.environ.get("RANK", "0") == "0"


@contextmanager
def joined() -> Iterator[Team]:
    """The team of this process for the length of a block, which all processes must go through.

    An error that one of them leaves the block by, all leave it by. Within another such block this
    is the same team.

    Yields:
        the team; without a launcher one process alone, and nothing is changed.

    Raises:
        RunError: the processes do not reach each other, or one has ended.
        TiltError: what another process left the block by.
    """
    team = _current.get()
    if team is not None:
        yield team
    elif "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Team()
    else:
        with _launched() as team:
            mark = _current.set(team)
            try:
                yield team
                team.meet(None)
            except Exception as error:
                team._report(error)
            finally:
                _current.reset(mark)


@contextmanager
def _launched() -> Iterator[Team]:
    """The team that the environment tells of, which nobody else is told of meanwhile."""
    import torch.distributed as dist

    rank, size, local_rank, local_size = (
        int(os.environ.get(name, default))
        for name, default in zip(
            ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "0101", strict=True
        )
    )
    before = dict(os.environ)
    begun = dist.is_initialized()
    try:
        if not begun:
            dist.init_process_group("gloo")
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"the {size} processes do not reach each other: {str(error).splitlines()[0]}",
            fix="start them by torchrun or accelerate launch, or one without a launcher",
        ) from None
    try:
        for name in before:
            if name in _LAUNCHER or name.startswith(_LAUNCHER_BEGINNINGS):
                del os.environ[name]
        _see_own_gpus(local_rank, local_size)
        yield Team(rank, size, local_rank, group)
    finally:
        os.environ.clear()
        os.environ.update(before)
        if not begun:
            dist.destroy_process_group()


def _see_own_gpus(local_rank: int, local_size: int) -> None:
    """Leave this process its share of the machine's GPUs, at least one; CUDA must be untouched."""
    import torch

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = listed.split(",") if listed else [str(i) for i in range(torch.cuda.device_count())]
    if visible and listed != "":
        share = max(1, len(visible) // local_size)
        own = [visible[(local_rank * share + i) % len(visible)] for i in range(share)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(own)


def _make(folder: Path) -> None:
    with explain_storage(folder):
        folder.mkdir(parents=True)


def _claim(path: Path) -> bool:
    """Whether this process is the one that created a file."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
