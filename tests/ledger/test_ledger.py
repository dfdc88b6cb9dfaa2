"""The file of rows: made late, written off the hot path, and never in the way of a call."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from llmrouter.store.ledger import DELAY_S, Ledger
from llmrouter.store.ledger_row import TABLE, Filter, Row
from llmrouter.store.ledger_sqlite import SqliteRows
from llmrouter.store.lost import LedgerLostError
from tests.ledger.rows import ALL, HEAD, opened, row, run, soon, start, stored


def test_making_a_ledger_touches_no_disk(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "state" / "usage.db")
    assert ledger.read(ALL) == []
    ledger.close()
    assert list(tmp_path.glob("state")) == []


def test_the_file_and_its_folder_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "usage.db"
    ledger = opened(path)
    ledger.add(row())
    ledger.flush()
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (path.parent, *path.parent.iterdir())}
    ledger.close()
    assert modes == {"state": 0o700, "usage.db": 0o600, "usage.db-wal": 0o600, "usage.db-shm": 0o600}


def test_a_row_is_on_disk_within_250_milliseconds(tmp_path: Path) -> None:
    assert DELAY_S < 0.25
    ledger = opened(tmp_path / "usage.db")
    ledger.add(row())
    assert soon(lambda: (tmp_path / "usage.db").exists() and stored(tmp_path / "usage.db") == [row()])
    ledger.close()


ROWS = st.builds(
    row,
    call=st.uuids().map(str),
    cost_nano=st.none() | st.integers(0, 10**15),
    tags=st.none() | st.text(st.characters(codec="ascii")),
    estimated=st.booleans(),
    stale=st.booleans(),
    seconds=st.floats(0, 1e6),
)


@settings(max_examples=20)
@given(st.lists(ROWS, max_size=20))
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    ledger = opened(tmp_path_factory.mktemp("ledger") / "usage.db")
    for each in rows:
        ledger.add(each)
    assert sorted(ledger.read(ALL), key=lambda each: each.call) == sorted(rows, key=lambda each: each.call)
    ledger.close()


def test_a_filter_reads_some_rows_only(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "usage.db")
    for number, (route, time_) in enumerate([("a", 1.0), ("a", 2.0), ("b", 2.0), ("a", 3.0)]):
        ledger.add(row(number=number, route=route, time=time_))
    assert [each.number for each in ledger.read(Filter(since=2.0, until=3.0, route="a"))] == [1]
    ledger.close()


def test_a_row_that_is_written_again_changes_nothing(tmp_path: Path) -> None:
    rows = SqliteRows(tmp_path / "usage.db")
    rows.write([row()])
    rows.write([row(route="other"), row(number=1)])
    assert [(each.number, each.route) for each in sorted(rows.read(ALL))] == [(0, "r"), (1, "r")]
    rows.close()


# ------------------------------------------------------------------------------------------------ its thread


def ledger_threads() -> int:
    return sum(thread.name == "llmrouter-ledger" for thread in threading.enumerate())


def test_a_ledger_without_rows_has_no_thread(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "usage.db")
    assert ledger_threads() == 0
    ledger.close()


def test_many_threads_share_one_writing_thread(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "usage.db")
    threads = [threading.Thread(target=ledger.add, args=(row(number=number),)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger_threads() == 1
    ledger.close()
    assert ledger_threads() == 0
    assert len(stored(tmp_path / "usage.db")) == 50


def test_a_row_after_a_quiet_time_wakes_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrouter.store.ledger._WATCHFUL_S", 0.0)
    ledger = opened(tmp_path / "usage.db")
    for number in range(3):
        ledger.add(row(number=number))
        assert soon(lambda: ledger._writer._asleep and len(stored(tmp_path / "usage.db")) == number + 1)  # noqa: B023
    ledger.close()


def test_what_is_read_holds_every_row_that_was_added_before(tmp_path: Path) -> None:
    ledger = Ledger(SqliteRows(tmp_path / "usage.db"), delay_s=0.0)  # the thread takes rows as fast as it can
    for number in range(300):
        ledger.add(row(number=number, time=float(number)))
        assert [each.number for each in ledger.read(Filter(since=number))] == [number]
    assert len(ledger.read(ALL)) == 300
    ledger.close()


def test_a_ledger_can_be_used_again_once_closed(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "usage.db")
    for number in range(3):
        ledger.add(row(number=number))
        ledger.close()
    assert len(stored(tmp_path / "usage.db")) == 3


def test_the_thread_of_a_ledger_that_nobody_closed_writes_and_ends(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "usage.db")
    ledger.add(row())
    del ledger
    gc.collect()
    assert soon(lambda: ledger_threads() == 0)
    assert stored(tmp_path / "usage.db") == [row()]


# ------------------------------------------------------------------------------------------------ processes


def test_a_program_that_ends_without_closing_loses_nothing(tmp_path: Path) -> None:
    run(HEAD + "ledger.add(row())", tmp_path / "usage.db")
    assert stored(tmp_path / "usage.db") == [row()]


def test_a_killed_process_loses_at_most_its_last_moment_and_never_the_file(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    program = HEAD + (
        "number = 0\n"
        "while True:\n"
        "  ledger.add(row(number=number)); print(number, flush=True); number += 1; time.sleep(0.002)"
    )
    with start(program, path) as process:
        assert process.stdout is not None
        told = [(int(line), time.monotonic()) for line, _ in zip(process.stdout, range(400), strict=False)]
        process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
    safe = [number for number, at in told if at < killed - 0.25]
    numbers = [each.number for each in stored(path)]
    assert safe
    assert numbers[: len(safe)] == safe
    ledger = opened(path)
    ledger.add(row(call="c2"))
    assert ledger.read(ALL)[-1].call == "c2"
    ledger.close()


def test_many_processes_write_to_one_file(tmp_path: Path) -> None:
    program = HEAD + "for number in range(300): ledger.add(row(call=sys.argv[2], number=number)); time.sleep(0.001)"
    processes = [start(program, tmp_path / "usage.db", name) for name in "abcd"]
    for process in processes:
        with process:
            _, errors = process.communicate(timeout=50)
            assert (process.returncode, errors) == (0, "")
    assert len(stored(tmp_path / "usage.db")) == 4 * 300


def test_after_a_fork_each_process_writes_its_own_rows(tmp_path: Path) -> None:
    program = HEAD + (
        "ledger.add(row(call='parent'))\n"
        "if os.fork() == 0:\n  ledger.add(row(call='child')); sys.exit(0)\n"
        "os.wait(); ledger.add(row(call='parent', number=1))"
    )
    run(program, tmp_path / "usage.db")
    assert [(each.call, each.number) for each in stored(tmp_path / "usage.db")] == [
        ("child", 0), ("parent", 0), ("parent", 1),
    ]  # fmt: skip


def _child(path: Path) -> None:
    opened(path).add(row())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_loses_nothing_either(tmp_path: Path, method: str) -> None:
    ledger = opened(tmp_path / "usage.db")  # so that a forked child comes from a process that knows the ledger
    process = multiprocessing.get_context(method).Process(target=_child, args=(tmp_path / "usage.db",))  # type: ignore[attr-defined]  # typeshed: a context of any method
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert ledger.read(ALL) == [row()]
    ledger.close()


# ------------------------------------------------------------------------------------------------ a bad disk


def test_a_locked_file_costs_one_warning_and_no_row(tmp_path: Path, warnings: list[str], impatient: None) -> None:
    path = tmp_path / "usage.db"
    ledger = opened(path)
    ledger.add(row())
    ledger.flush()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ledger.add(row(number=1))
    assert soon(lambda: bool(warnings))
    ledger.add(row(number=2))
    ledger.flush()
    other.execute("ROLLBACK")
    other.close()
    assert soon(lambda: len(stored(path)) == 3)
    ledger.close()
    assert len(warnings) == 1
    assert "locked" in warnings[0]


def test_a_corrupt_file_is_kept_aside_and_a_new_one_begun(tmp_path: Path, warnings: list[str], impatient: None) -> None:
    path = tmp_path / "usage.db"
    path.write_bytes(b"no database at all" * 100)
    ledger = opened(path)
    ledger.add(row())
    assert soon(lambda: len(list(tmp_path.glob("usage.db.corrupt-*"))) == 1)
    ledger.close()
    assert stored(path) == [row()]
    assert len(warnings) == 1
    assert "corrupt" in warnings[0]


def test_a_file_that_is_deleted_is_made_anew(tmp_path: Path, warnings: list[str]) -> None:
    path = tmp_path / "usage.db"
    ledger = opened(path)
    ledger.add(row())
    ledger.flush()
    for each in tmp_path.glob("usage.db*"):
        each.unlink()
    ledger.add(row(number=1))
    ledger.close()
    assert [each.number for each in stored(path)] == [1]
    assert warnings == []


def test_a_place_that_cannot_be_written_to_costs_warnings_only(
    tmp_path: Path, warnings: list[str], impatient: None
) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = opened(tmp_path / "file" / "usage.db")
    ledger.add(row())
    assert soon(lambda: bool(warnings))
    ledger.close()
    assert "1 rows are lost" in warnings[-1]


def test_a_full_disk_costs_a_warning_and_rows_wait_for_room(tmp_path: Path) -> None:
    program = HEAD + (
        "import resource\n"
        "from loguru import logger\n"
        "from llmrouter.store import ledger as module\n"
        "module._REST_S = 0.05\n"
        "lines = []; logger.enable('llmrouter'); logger.remove(); logger.add(lines.append, level='WARNING')\n"
        "ledger.add(row()); ledger.flush()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))\n"
        "for number in range(1, 2000): ledger.add(row(number=number))\n"
        "ledger.flush()\n"
        "assert len(lines) == 1, lines\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "time.sleep(0.1)\n"
        "print(len(ledger.read(__import__('llmrouter.store.ledger_row').store.ledger_row.Filter())))\n"
    )
    assert run(program, tmp_path / "usage.db").strip() == "2000"


def test_rows_that_wait_for_a_store_are_bounded(
    tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmrouter.store.ledger._MOST_KEPT", 10)
    (tmp_path / "file").write_text("in the way")
    ledger = opened(tmp_path / "file" / "usage.db")
    for number in range(25):
        ledger.add(row(number=number))
    ledger.flush()
    assert "15 rows are lost" in warnings[-1]
    ledger.close()


def test_a_row_that_no_store_takes_does_not_hold_up_the_others(tmp_path: Path, warnings: list[str]) -> None:
    ledger = opened(tmp_path / "usage.db")
    ledger.add(row(route="\ud800"))  # a lone surrogate is no text to SQLite
    ledger.flush()
    ledger.add(row(number=1))
    ledger.close()
    assert [each.number for each in stored(tmp_path / "usage.db")] == [1]
    assert len(warnings) == 1


def test_rows_that_cannot_be_made_do_not_hold_up_the_others(tmp_path: Path, warnings: list[str]) -> None:
    def broken() -> list[Row]:
        raise KeyError("price")

    ledger = opened(tmp_path / "usage.db")
    ledger.add_made(broken)
    ledger.add_made(lambda: [row(number=1), row(number=2)])
    ledger.close()
    assert [each.number for each in stored(tmp_path / "usage.db")] == [1, 2]
    assert len(warnings) == 1


def test_reading_a_corrupt_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "usage.db").write_bytes(b"no database at all" * 100)
    ledger = opened(tmp_path / "usage.db")
    with pytest.raises(LedgerLostError, match="corrupt"):
        ledger.read(ALL)
    ledger.close()


def test_reading_where_no_file_can_be_looked_for_says_so(tmp_path: Path) -> None:
    ledger = opened(tmp_path / ("x" * 300) / "usage.db")  # longer than a name may be; a locked folder is the same
    with pytest.raises(LedgerLostError):
        ledger.read(ALL)
    ledger.close()


# ------------------------------------------------------------------------------------------------ versions


def test_the_file_says_its_version(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "usage.db")
    ledger.add(row())
    ledger.close()
    with sqlite3.connect(tmp_path / "usage.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_an_older_program_goes_on_writing_to_a_newer_file(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "usage.db")
    ledger.add(row())
    ledger.close()
    with sqlite3.connect(tmp_path / "usage.db") as connection:
        connection.execute(f"ALTER TABLE {TABLE} ADD COLUMN region TEXT")
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    ledger.add(row(number=1))
    ledger.close()
    assert len(stored(tmp_path / "usage.db")) == 2
