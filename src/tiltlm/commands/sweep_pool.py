"""Pieces of a sweep in several processes of our own, which end with it however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context, parent_process
from typing import Any

from tiltlm.progress import Advance


def do_in_pool(
    do: Callable[..., None], pieces: Sequence[tuple[Any, ...]], jobs: int, advance: Advance
) -> None:
    """Work on pieces, as many at once as there are jobs.

    Args:
        do: a function of a module, which each process imports.
        pieces: its arguments, for each piece.
        jobs: processes, each with its share of the processor.
        advance: told how many pieces are done.

    Raises:
        TiltError: what ``do`` raised; pieces that were not begun are left.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    others = set(active_children())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin_worker, (threads,)) as pool:
        futures = [pool.submit(do, *piece) for piece in pieces]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                advance(number)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                for worker in set(active_children()) - others:
                    worker.terminate()
            raise


def _begin_worker(threads: int) -> None:
    """Set a worker up: it leaves interrupts to its parent, and ends when that does."""
    import torch

    from tiltlm.quiet import quiet_libraries

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet_libraries()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """Wait for the parent's end, which may be a kill, and end this process."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
