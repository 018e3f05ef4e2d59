"""Who was launched beside this process: `torchrun` and ``accelerate launch`` say it by environment.

They start one command line N times. Here the processes become a `Team`, in which each is alone as
far as other libraries know, and sees its own GPUs only. Else a Trainer within the work would wait
for processes that train something else, and transformers would save no weights but in the first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from tiltlm.claims import claimed
from tiltlm.errors import RunError
from tiltlm.team import Team, ended_silently

_POLL_SECONDS = 0.05

_TOLD_SECONDS = 30.0
"""How long a process waits at most, before it ends, for the first to tell the user why."""

_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LAUNCHER_BEGINNINGS = ("GROUP_", "ROLE_", "TORCHELASTIC_", "ACCELERATE_", "FSDP_", "PARALLELISM_")
"""Settings of launchers, and how the names of further ones begin."""

_current: ContextVar[Team | None] = ContextVar("team", default=None)


def is_first() -> bool:
    """Whether this process speaks for the command: it is alone, or the first that was launched."""
    team = _current.get()
    return team.is_first if team else os.environ.get("RANK", "0") == "0"


def are_several() -> bool:
    """Whether a launcher has started other processes beside this one."""
    return _is_launched() and os.environ["WORLD_SIZE"] != "1"


def _is_launched() -> bool:
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def tell_told() -> None:
    """Let the other processes know that the user has been told of the error."""
    with suppress(RuntimeError):
        _launchers_store().set("told", "yes")


def await_told() -> None:
    """Wait for `tell_told`, since a launcher ends all processes once it sees one of them end."""
    end = time.monotonic() + _TOLD_SECONDS
    with suppress(RuntimeError):
        while not _launchers_store().check(["told"]) and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)


@contextmanager
def joined() -> Iterator[Team]:
    """The team of this process for the length of a block, which all processes must go through.

    An error that one of them leaves the block by, all leave it by. Within another such block this
    is the same team.

    Yields:
        the team; without a launcher one process alone, and nothing is changed.

    Raises:
        RunError: the processes do not reach each other, or one has ended.
        TiltError: what any process left the block by.
    """
    team = _current.get()
    if team is not None:
        yield team
        return
    if not _is_launched():
        alone = Team()
        with alone.last:
            yield alone
        return
    import torch.distributed as dist

    team = _launched()
    with _alone_for_others(), _as_current(team):
        try:
            with team.at_work():
                yield team
        except dist.DistError:
            error = ended_silently("the process that the others meet at")
            error.told_by_another = not team.is_first
            raise error from None


@contextmanager
def claimed_by(team: Team, out: Path) -> Iterator[Path]:
    """Keep other commands out of a folder while a team works in it; the first has the claim.

    Where a process fails, others may still be at work: then the claim is let go when all have left.

    Args:
        team: of this process.
        out: as for `claims.claimed`.

    Yields:
        the folder, with links followed.

    Raises:
        RunError: another command is at work on it, or there can be no such folder.
        StorageError: it may not be written there.
    """
    claim = team.last.enter_context(ExitStack())
    yield Path(team.from_first(lambda: str(claim.enter_context(claimed(out)))))
    claim.close()


def _launched() -> Team:
    """The team that the environment tells of."""
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    rank, size, local_rank = (int(os.environ.get(name, "0")) for name in names)
    try:
        store = _launchers_store()
        # Each team of a launch has names of its own; processes form them in the same order.
        number = store.add(f"tiltlm/{rank}", 1)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"the {size} processes do not reach each other: {str(error).splitlines()[0]}",
            fix="start them by torchrun or accelerate launch, or one without a launcher",
        ) from None
    return Team(rank, size, local_rank, PrefixStore(f"tiltlm/team {number}", store))


@cache
def _launchers_store() -> Any:
    """The store that the environment tells of; there is one for the life of a process."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    return store


@contextmanager
def _as_current(team: Team) -> Iterator[None]:
    mark = _current.set(team)
    try:
        yield
    finally:
        _current.reset(mark)


@contextmanager
def _alone_for_others() -> Iterator[None]:
    """Hide the launcher from other libraries, and the GPUs of other processes."""
    before = dict(os.environ)
    local_rank, local_size = (
        int(before.get(name, default))
        for name, default in (("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))
    )
    try:
        for name in before:
            if name in _LAUNCHER or name.startswith(_LAUNCHER_BEGINNINGS):
                del os.environ[name]
        _see_own_gpus(local_rank, local_size)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _see_own_gpus(local_rank: int, local_size: int) -> None:
    """Leave this process its share of the machine's GPUs, at least one; CUDA must be untouched."""
    import torch

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [str(i) for i in range(torch.cuda.device_count())] if listed is None else []
    visible += [name for name in (listed or "").split(",") if name]
    if visible:
        share = max(1, len(visible) // local_size)
        own = [visible[(local_rank * share + i) % len(visible)] for i in range(share)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(own)
