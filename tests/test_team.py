"""Processes that share out work, here as threads that meet at a store within one process."""

import os
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist

from tiltlm import launching, team
from tiltlm.claims import claimed
from tiltlm.codec import TENSOR
from tiltlm.errors import ConfigError, InterruptedRun, RunError
from tiltlm.team import Team


def together(size, work, present=None):
    """What ``work`` returned or raised in each process of a team; some may never come."""
    store = dist.HashStore()

    ranks = range(size) if present is None else present
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: at_work(Team(rank, size, rank, store), work), ranks))


def at_work(one, work):
    """What ``work`` returned or raised in one process."""
    try:
        with one.at_work():
            return work(one)
    except BaseException as error:
        return error


def test_every_piece_is_done_by_one_process_and_the_first_counts_them_all():
    did, told = [], []

    def work(one):
        def do(piece):
            time.sleep(0.001 * (piece % 3))
            did.append((piece, one.rank))

        one.share_out(range(40), do, lambda done: told.append((one.rank, done)))

    assert together(4, work) == [None] * 4
    assert sorted(piece for piece, _ in did) == list(range(40))
    assert len({rank for _, rank in did}) > 1
    assert {rank for rank, _ in told} == {0}
    counts = [done for _, done in told]
    assert counts == sorted(counts)
    assert counts[-1] == 40


def test_a_process_that_is_free_takes_what_a_slow_one_has_not():
    did = []

    def work(one):
        slow = threading.Event()

        def do(piece):
            did.append(one.rank)
            if piece == 0:
                slow.wait(0.5)

        one.share_out(range(8), do, lambda done: None)

    together(2, work)
    assert sorted([did.count(0), did.count(1)]) == [1, 7]


def test_all_fail_by_the_error_of_one_and_only_the_first_is_to_tell():
    did = []

    def work(one):
        def do(piece):
            if piece == 5:
                raise ConfigError("no such thing", where="here", fix="another")
            time.sleep(0.02)
            did.append(piece)

        one.share_out(range(1000), do, lambda done: None)

    errors = together(3, work)
    assert [type(error) for error in errors] == [ConfigError] * 3
    assert {str(error) for error in errors} == {"no such thing\n  in: here\n  fix: another"}
    assert [error.told_by_another for error in errors] == [False, True, True]
    assert set(range(5)) <= set(did)  # what was begun was finished
    assert len(did) < 20


def test_a_fault_of_the_program_is_shown_where_it_was_and_ends_the_others_with_a_message():
    def work(one):
        if one.rank == 1:
            raise ZeroDivisionError("oh")
        one.meet(None)

    first, second = together(2, work)
    assert isinstance(second, ZeroDivisionError)
    assert isinstance(first, RunError)
    assert "process 1 failed: ZeroDivisionError: oh" in str(first)


def test_an_interrupt_of_one_process_ends_all():
    def work(one):
        if one.rank == 1:
            raise KeyboardInterrupt
        one.meet(None)

    first, second = together(2, work)
    assert isinstance(first, InterruptedRun)
    assert isinstance(second, InterruptedRun)
    assert isinstance(second.__cause__, KeyboardInterrupt)  # its exit code is that of the signal
    assert [error.told_by_another for error in (first, second)] == [False, True]


def test_an_interrupt_of_all_is_told_by_the_first_alone():
    def work(one):
        one.meet(None)
        raise KeyboardInterrupt

    errors = together(3, work)
    assert [type(error) for error in errors] == [InterruptedRun] * 3
    assert [error.told_by_another for error in errors] == [False, True, True]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_folder_is_claimed_until_all_have_finished_what_they_are_at(tmp_path, failing):
    out, others = tmp_path / "out", []

    def work(one):
        with launching.claimed_by(one, out) as folder:
            assert folder == out
            if one.rank == failing:
                raise ConfigError("no such thing")
            if one.rank == 2:
                time.sleep(0.3)
                with pytest.raises(RunError, match="another process is at work"), claimed(out):
                    pass
                others.append("kept out")
            one.meet(None)

    errors = together(3, work)
    assert [type(error) for error in errors] == [ConfigError] * 3
    assert others == ["kept out"]
    with claimed(out):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_let_go_where_nothing_fails(tmp_path):
    def work(one):
        for _ in range(2):
            with launching.claimed_by(one, tmp_path / "out"):
                one.meet(None)
            one.meet(None)

    assert together(2, work) == [None, None]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_json_is_refused_unless_a_codec_is_named():
    def work(one):
        return one.from_first(lambda: torch.arange(3))

    first, second = together(2, work)
    assert isinstance(first, TypeError)
    assert "Tensor is no JSON, name a codec" in str(first)
    assert "process 0 failed: TypeError: Tensor is no JSON" in str(second)

    def named(one):
        first = one.from_first(lambda: torch.arange(3), TENSOR)
        return first.tolist(), [each.tolist() for each in one.meet(torch.tensor(one.rank), TENSOR)]

    assert together(2, named) == [([0, 1, 2], [0, 1])] * 2


def test_an_interrupted_process_waits_for_nobody():
    finished = threading.Event()

    def work(one):
        if one.rank == 1:
            raise InterruptedRun("go on with --resume")
        finished.wait(5)
        one.meet(None)

    store = dist.HashStore()
    other = threading.Thread(target=at_work, args=(Team(0, 2, 0, store), work))
    other.start()
    error = at_work(Team(1, 2, 1, store), work)
    assert other.is_alive()
    finished.set()
    other.join()
    assert isinstance(error, InterruptedRun)
    assert error.told_by_another


def test_nobody_waits_for_ever_for_a_process_that_is_gone(monkeypatch):
    monkeypatch.setattr(team, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(team, "_BEAT_SECONDS", 0.05)
    errors = together(3, lambda one: one.meet(None), present=[0, 1])
    assert all("process 2 of 3 has ended without a word" in str(error) for error in errors)


def test_a_slow_process_that_is_alive_is_waited_for(monkeypatch):
    monkeypatch.setattr(team, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(team, "_BEAT_SECONDS", 0.05)
    found = together(2, lambda one: one.meet(time.sleep(0.6 * one.rank) or one.rank))
    assert found == [[0, 1], [0, 1]]


def test_what_the_first_makes_all_have_and_its_machine_goes_first():
    made = []

    def work(one):
        one.by_turns(lambda: made.append(one.rank))
        return one.from_first(lambda: f"made by {one.rank}")

    assert together(3, work) == ["made by 0"] * 3
    assert made[0] == 0
    assert sorted(made) == [0, 1, 2]


def test_folders_of_two_machines_are_told_apart_from_one_that_both_share(tmp_path):
    assert together(2, lambda one: one.check_same_folder(tmp_path / "out")) == [None, None]
    assert list((tmp_path / "out").iterdir()) == []
    errors = together(2, lambda one: one.check_same_folder(tmp_path / f"out {one.rank}"))
    assert all("not the same folder" in str(error) for error in errors)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_what_is_larger_than_the_store_takes_is_handed_on_all_the_same():
    store = dist.TCPStore("127.0.0.1", free_port(), None, True, wait_for_workers=False)
    large = secrets.token_hex(5 << 20)
    with pytest.raises(RuntimeError):
        store.set("whole", large)
    store = dist.TCPStore("127.0.0.1", free_port(), None, True, wait_for_workers=False)
    one = Team(store=store)
    with one.at_work():
        assert one.meet(large) == [large]


def test_without_a_launcher_nothing_is_changed(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    before = dict(os.environ)
    with launching.joined() as one:
        assert (one.rank, one.size) == (0, 1)
        assert dict(os.environ) == before
        told = []
        one.share_out("ab", told.append, told.append)
    assert told == ["a", 1, "b", 2]
    assert launching.is_first()


def test_other_libraries_do_not_see_the_launcher_until_the_work_is_done(monkeypatch):
    given = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    given |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    given |= {"ACCELERATE_USE_FSDP": "true", "TORCHELASTIC_RUN_ID": "x"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    launching._launchers_store.cache_clear()
    for _ in range(2):
        with launching.joined() as one:
            assert not given.keys() & os.environ.keys()
            assert not dist.is_initialized()
            assert one.meet("here") == ["here"]
            with launching.joined() as again:
                assert again is one
        assert given.items() <= os.environ.items()
    launching._launchers_store.cache_clear()


@pytest.mark.parametrize(
    ("listed", "rank", "size", "own"),
    [("4,5,6,7", 1, 2, "6,7"), ("4,5", 3, 8, "5"), ("0,1,2", 0, 2, "0"), ("", 0, 2, "")],
)
def test_each_process_sees_its_share_of_the_gpus(monkeypatch, listed, rank, size, own):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    launching._see_own_gpus(rank, size)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == own
