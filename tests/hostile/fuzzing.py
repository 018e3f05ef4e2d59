"""Doors by which strangers' input comes in, what is pushed through them, and what came out.

A door is a name, a strategy that makes inputs, and a function that takes one as the program would.
It may return, or raise a `TiltError` with a message; whatever else it raises is a traceback that a
user would see, and more than `LONGEST` seconds is a hang. A test module adds its doors to `DOORS`;
`push` counts. Everything is drawn from fixed seeds, so that the same inputs come every time.
"""

from __future__ import annotations

import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tiltlm.errors import TiltError

LONGEST = 10.0
"""Seconds that an input may take at most."""


@dataclass(frozen=True)
class Door:
    """One way in.

    Attributes:
        name: as the table has it.
        inputs: what makes inputs.
        enter: takes one; returns whatever it likes, or raises.
    """

    name: str
    inputs: st.SearchStrategy[Any]
    enter: Callable[[Any], object]


@dataclass
class Outcome:
    """What came of the inputs of one door.

    Attributes:
        inputs: how many were tried.
        taken: how many were taken without an error.
        tracebacks: each input that ended in anything but a `TiltError`, with the end of its trace.
        hangs: each input that took too long.
        slowest: seconds of the slowest.
    """

    inputs: int = 0
    taken: int = 0
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def faults(self) -> list[str]:
        """Everything that should not have been."""
        return self.tracebacks + self.hangs


DOORS: dict[str, Door] = {}
"""All doors by name; the test modules beside this one add theirs when they are imported."""


def door(name: str, inputs: st.SearchStrategy[Any]) -> Callable[[Callable[[Any], object]], Door]:
    """Make a door of a function, and add it to `DOORS`."""

    def add(enter: Callable[[Any], object]) -> Door:
        DOORS[name] = Door(name, inputs, enter)
        return DOORS[name]

    return add


class _TookTooLong(BaseException):
    """Raised in the middle of what took too long; nobody catches it by accident."""


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Stop a block that runs too long."""

    def stop(*_: object) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def push(through: Door, count: int) -> Outcome:
    """Push inputs through a door, and count what came of them."""
    outcome = Outcome()

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(through.inputs)
    def one(value: Any) -> None:
        shown = ascii(value)[:400]
        outcome.inputs += 1
        began = time.perf_counter()
        try:
            with _stopped_after(LONGEST):
                through.enter(value)
            outcome.taken += 1
        except TiltError as error:
            if not error.what.strip():
                outcome.tracebacks.append(f"{shown}: an error without a message")
        except _TookTooLong:
            outcome.hangs.append(shown)
        except Exception:
            outcome.tracebacks.append(f"{shown}:\n{traceback.format_exc()[-900:]}")
        outcome.slowest = max(outcome.slowest, time.perf_counter() - began)

    one()
    return outcome


@contextmanager
def written(content: bytes, name: str = "list.json") -> Iterator[Path]:
    """A file of some content in a folder of its own, which is taken away again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


def table(outcomes: dict[str, Outcome]) -> str:
    """What came of all doors, as lines."""
    lines = ["door                     inputs    taken  tracebacks  hangs  slowest"]
    for name, o in outcomes.items():
        lines.append(
            f"{name:<24} {o.inputs:>6} {o.taken:>8} {len(o.tracebacks):>11} {len(o.hangs):>6} "
            f"{o.slowest:>7.2f} s"
        )
    return "\n".join(lines)


NASTY = [
    *(
        "",
        " ",
        "\0",
        "\n",
        "\r\n",
        "\\",
        "'",
        '"',
        "`",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "#",
        "%",
        "\x7f",
    ),
    *(
        "é",
        "ß",
        "İ",
        "ﬁ",
        "\u2028",
        "\ufeff",
        "\ufffd",
        "\U0001f98a",
        "\U0010ffff",
        "e\u0301\u0301",
    ),
    *("\ud800", "\udc80", "\udcff", "\udfff", "a\udcffb", "\x1b[31m", "<|endoftext|>", "$(id)"),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "/etc/hostname",
        "/proc/self/mem",
        "~",
        "-",
        "--help",
        "x" * 300,
    ),
    *("nan", "inf", "-inf", "1e999", "9" * 400, "9" * 5000, "0x" + "f" * 500, "1_0", "12:30:45"),
    *(
        "2020-01-01",
        "true",
        "null",
        "None",
        "on",
        "a" * 20_000,
        "<script>",
        "{{7*7}}",
        "---\n",
        "| |",
    ),
]
"""Texts that have been trouble somewhere."""


def among(items: Sequence[Any]) -> st.SearchStrategy[Any]:
    """One of some items, whose own texts may be long."""
    return st.integers(0, len(items) - 1).map(lambda number: items[number])


nasty_texts = among(NASTY) | st.text(max_size=12)

nasty_numbers = st.one_of(
    st.sampled_from([0, 1, -1, 0.5, 1e-320, 1e308, -1e308, 2**31, 2**63, 2**64, 10**400, 50, 51]),
    st.integers(),
    st.floats(),
)

nasty_values = st.recursive(
    st.none() | st.booleans() | nasty_numbers | nasty_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(nasty_texts, inner, max_size=4),
    max_leaves=8,
)
"""Values of any type, as JSON has them, and some that it has not."""


@st.composite
def mutated(draw: st.DrawFn, originals: list[str], pieces: list[str]) -> str:
    """One of some good texts, with a few of its parts taken away, doubled, moved or replaced."""
    text = draw(among(originals))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 12)))
        part = text[begin:end]
        new = draw(
            st.one_of(
                st.just(""),
                among(pieces),
                among(pieces),
                among(NASTY),
                st.integers(2, 1200).map(lambda times, part=part: part[:6] * times),
                st.just(part + part),
                st.characters(),
            )
        )
        text = text[:begin] + new + text[end:]
    return text


def nested(opening: str, inside: str, closing: str) -> st.SearchStrategy[str]:
    """The same thing inside itself, up to a thousand times."""
    return st.sampled_from([1, 5, 19, 30, 90, 99, 120, 250, 900, 5000]).map(
        lambda depth: opening * depth + inside + closing * depth
    )
