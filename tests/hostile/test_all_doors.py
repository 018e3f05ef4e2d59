"""The figure over all doors: how many inputs, how many tracebacks, how many hangs."""

import importlib
import time
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.hostile.fuzzing import DOORS, Door, push, table
from tiltlm.errors import TiltError

INPUTS = 12_000
"""Inputs over all doors, evenly."""


def all_doors():
    """The doors of every test module in this folder, by name."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.hostile.{path.stem}")
    return DOORS


def test_a_traceback_and_a_hang_are_counted_and_an_error_is_none(monkeypatch):
    def enter(number):
        if number == 1:
            raise TiltError("one")
        if number == 2:
            raise KeyError("two")
        if number == 3:
            time.sleep(0.5)
        if number == 4:
            raise TiltError(" ")

    monkeypatch.setattr("tests.hostile.fuzzing.LONGEST", 0.2)
    outcome = push(Door("numbers", st.integers(0, 4), enter), 5)
    assert (outcome.inputs, outcome.taken) == (5, 1)
    assert [fault.partition(":")[0] for fault in sorted(outcome.tracebacks)] == ["2", "4"]
    assert "KeyError: 'two'" in sorted(outcome.tracebacks)[0]
    assert outcome.hangs == ["3"]
    assert "numbers                       5        1           2      1" in table(
        {"numbers": outcome}
    )


def test_every_door_takes_some_inputs():
    names = set(all_doors())
    assert names >= {"events", "targets", "targets in use", "recipes of tilt", "labels"}


@pytest.mark.slow
def test_ten_thousand_inputs_over_all_doors_end_in_no_traceback_and_no_hang(capsys):
    doors = all_doors()
    outcomes = {name: push(door, -(-INPUTS // len(doors))) for name, door in doors.items()}
    with capsys.disabled():
        print("\n" + table(outcomes))
    assert sum(outcome.inputs for outcome in outcomes.values()) > 10_000
    assert [fault for outcome in outcomes.values() for fault in outcome.faults] == []
