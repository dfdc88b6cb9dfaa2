"""The state's file: whose it is, and that nothing about it ever costs a call."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter.policy.select import next_turn
from llmrouter.policy.shared import Step
from llmrouter.store import state_file
from llmrouter.store.state import BackedState, MemoryState
from llmrouter.store.state_file import FileBackend


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def state(directory: Path) -> Iterator[BackedState]:
    state = BackedState(FileBackend(directory))
    yield state
    state.close()


def turn(state: BackedState) -> int:
    return next_turn(state, "turn", time.time())


def warnings(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("WARNING")]


def test_the_file_and_its_journals_belong_to_the_user_alone(directory: Path, state: BackedState) -> None:
    turn(state)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_a_corrupt_file_costs_one_warning_and_is_made_anew(
    directory: Path, state: BackedState, said: list[str]
) -> None:
    directory.mkdir()
    (directory / "state.db").write_bytes(b"this is no database " * 500)
    turn(state)
    assert [turn(state), turn(state)] == [0, 1]
    assert len(warnings(said)) == 1
    other = BackedState(FileBackend(directory))
    assert turn(other) == 2
    other.close()


def test_a_file_damaged_while_it_is_open_is_made_anew(directory: Path, state: BackedState, said: list[str]) -> None:
    turn(state)
    with (directory / "state.db-wal").open("r+b") as journal:
        journal.truncate(0)
    with (directory / "state.db").open("r+b") as database:
        database.write(b"\xff" * 8192)
    found = [turn(state) for _ in range(5)]
    assert found[-1] == found[-2] + 1


def test_a_locked_file_costs_one_warning_and_half_a_second(
    directory: Path, state: BackedState, said: list[str]
) -> None:
    turn(state)
    blocker = sqlite3.connect(directory / "state.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    assert [turn(state) for _ in range(20)] == list(range(20))
    assert time.monotonic() - started < 1
    blocker.execute("ROLLBACK")
    blocker.close()
    assert len(warnings(said)) == 1
    assert "locked" in warnings(said)[0]


def test_a_process_killed_in_the_middle_of_a_change_leaves_no_lock(
    directory: Path, state: BackedState, said: list[str]
) -> None:
    assert turn(state) == 0
    script = """if True:
        import sqlite3, sys, time
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM records")
        print("changing", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", script, str(directory / "state.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "changing\n"
        holder.kill()
    assert turn(state) == 1
    assert not said


STARTS = """
import sys, time
from pathlib import Path
from llmrouter.policy.select import next_turn
from llmrouter.store.state import open_state
state = open_state(None, Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print([next_turn(state, "key", time.time()) for _ in range(5)])
"""


@pytest.mark.parametrize("run", range(3))
def test_processes_that_make_the_file_at_the_same_moment_lose_no_change(tmp_path: Path, run: int) -> None:
    command = [sys.executable, "-c", STARTS, str(tmp_path / "new")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    turns = [turn for process in processes for turn in json.loads(process.communicate(timeout=30)[0])]
    assert sorted(turns) == list(range(30))


def test_the_file_counts_again_once_it_is_free(
    directory: Path, state: BackedState, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "_REST_LOCKED_S", 0.05)
    assert [turn(state), turn(state)] == [0, 1]
    blocker = sqlite3.connect(directory / "state.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert turn(state) == 0
    blocker.execute("ROLLBACK")
    blocker.close()
    time.sleep(0.1)
    assert turn(state) == 2
    assert any(line.startswith("INFO") and "is back" in line for line in said)


def test_a_directory_that_cannot_be_made_costs_one_warning(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("not a directory")
    state = BackedState(FileBackend(tmp_path / "file" / "state"))
    assert [turn(state) for _ in range(5)] == list(range(5))
    assert len(warnings(said)) == 1
    state.close()


def test_reading_where_no_file_can_be_looked_for_finds_nothing(tmp_path: Path, said: list[str]) -> None:
    state = BackedState(FileBackend(tmp_path / ("x" * 300)))  # longer than a name may be; a locked folder is the same
    assert state.read("key", lambda record, _now: record, 0.0) is None
    assert not said


def test_what_can_be_read_but_not_written_is_not_back(
    directory: Path, state: BackedState, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "_REST_S", 0.05)
    turn(state)
    with sqlite3.connect(directory / "state.db") as refusing:
        refusing.execute("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'full'); END")
    refusing.close()
    state.change(("own",), lambda _records, _now: Step(None, (1,), 60.0), time.time())
    time.sleep(0.1)
    assert state.read("own", lambda record, _now: record, time.time()) == 1
    assert len(said) == 1


def test_a_file_that_was_deleted_is_made_anew(
    directory: Path, state: BackedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "_CHECK_EVERY_S", 0.0)
    turn(state)
    for path in list(directory.iterdir()):
        path.unlink()
    assert turn(state) == 0
    other = BackedState(FileBackend(directory))
    assert turn(other) == 1
    other.close()


def test_a_foreign_row_counts_as_none(directory: Path, state: BackedState) -> None:
    turn(state)
    connection = sqlite3.connect(directory / "state.db", isolation_level=None)
    connection.execute("UPDATE records SET value = 'not JSON'")
    connection.close()
    assert turn(state) == 0


def test_expired_rows_are_swept_out(directory: Path, state: BackedState) -> None:
    now = time.time()
    for number in range(50):
        next_turn(state, f"k{number}", now)
    next_turn(state, "later", now + 30 * 86400)
    connection = sqlite3.connect(directory / "state.db", isolation_level=None)
    assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)
    connection.close()


def test_a_change_is_fast_enough_to_be_made_inline(state: BackedState) -> None:
    turn(state)
    best = min(_timed(state) for _ in range(200))
    assert best < 0.001  # some 30 microseconds on an idle machine


def _timed(state: BackedState) -> float:
    started = time.perf_counter()
    turn(state)
    return time.perf_counter() - started


def test_memory_state_needs_no_thread_or_file(tmp_path: Path) -> None:
    before = threading.active_count()
    next_turn(MemoryState(), "k", time.time())
    assert threading.active_count() == before
    assert not list(tmp_path.glob("*.db"))
