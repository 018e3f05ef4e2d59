"""One heavy job at a time, the others in a queue; a job goes on whether anybody looks or not.

A job is a call of a function of `tiltlm.commands` in a process of its own: what it draws is not
disturbed by what is drawn for the page, it can be told to stop, and its memory is given back.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from tiltlm.stopwatch import Stopwatch
from tiltlm.web.job_process import Call, carry_out

State = Literal["waiting", "running", "done", "failed", "stopped"]

_FIGURE = re.compile(r"(loss|mass|gap closed) (-?\d+(?:\.\d+)?)(%?)")
"""What is said of a step beside a bar: names of figures, each with its value."""


@dataclass
class Job:
    """One job, as the page shows it.

    Attributes:
        name: what it does, for people.
        call: what it calls.
        state: how far it is.
        part: title of the part that it is at.
        done: items of that part that are done.
        total: items of that part; 0 where that is not known.
        note: a few words about the last item.
        curves: by name, (step, value) of each figure that was told.
        error: what went wrong, a sentence; None unless it failed.
        seconds: that it took; None while it is not at its end.
    """

    name: str
    call: Call
    state: State = "waiting"
    part: str = ""
    done: int = 0
    total: int = 0
    note: str = ""
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    error: str | None = None
    seconds: float | None = None
    stop: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether it is at its end, whichever that is."""
        return self.state not in ("waiting", "running")

    @property
    def out(self) -> Path:
        """The folder that it writes."""
        return self.call.out

    def take(self, message: dict[str, Any]) -> None:
        """Take in what its process tells.

        Args:
            message: one of `job_process`.
        """
        match message["what"]:
            case "begin":
                self.part, self.total, self.done = message["title"], message["total"], 0
                self.note = ""
            case "advance":
                self.done, self.note = message["done"], message["note"]
                for name, value, percent in _FIGURE.findall(self.note):
                    share = float(value) / (100 if percent else 1)
                    self.curves.setdefault(name, []).append((self.done, share))
            case "note":
                self.note = message["text"]
            case "failed":
                self.error = message["error"]


class Jobs:
    """A queue of jobs, and the thread that goes through it.

    Attributes:
        all: every job since the page was started, the first first.
    """

    def __init__(self) -> None:
        self.all: list[Job] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def add(self, name: str, call: Call) -> Job:
        """Put a job at the end of the queue.

        Args:
            name: what it does, for people.
            call: what it calls.
        """
        job = Job(name, call)
        with self._changed:
            self.all.append(job)
            self._changed.notify()
        return job

    def current(self) -> Job | None:
        """The job that is running, or else the last that there was; None where there was none."""
        running = [job for job in self.all if job.state == "running"]
        over = [job for job in self.all if job.is_over]
        return next(iter(running + over[::-1]), None)

    def waiting(self) -> list[Job]:
        """Jobs that have not begun, the next first."""
        return [job for job in self.all if job.state == "waiting"]

    def last(self, command: str) -> Job | None:
        """The newest finished job of a command that left a result.

        Args:
            command: one of `job_process.COMMANDS`.
        """
        done = [j for j in self.all if j.call.command == command and j.out.exists() and j.is_over]
        return done[-1] if done else None

    def stop(self) -> None:
        """Ask the running job to stop; training then keeps its best weights."""
        for job in self.all:
            if job.state == "running":
                job.stop.set()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self.waiting)
                job = self.waiting()[0]
                job.state = "running"
            watch = Stopwatch()
            self._run(job)
            job.seconds = watch.total
            if job.error is not None:
                job.state = "failed"
            elif job.stop.is_set():
                job.state = "stopped"
            else:
                job.state = "done"

    def _run(self, job: Job) -> None:
        context = get_context("spawn")
        ours, its = context.Pipe()
        process = context.Process(target=carry_out, args=(job.call, its), daemon=True)
        process.start()
        its.close()
        told_to_stop = False
        try:
            while True:
                if job.stop.is_set() and not told_to_stop:
                    told_to_stop = True
                    ours.send("stop")
                if ours.poll(0.1):
                    message = ours.recv()
                    if message["what"] == "done":
                        return
                    job.take(message)
                    if message["what"] == "failed":
                        return
        except (EOFError, OSError):
            job.error = "the job's process ended by itself; perhaps memory ran short"
        finally:
            ours.close()
            process.join()
