"""Many values in one statement are what diskcache would have written one by one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter.store.disk import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(str(tmp_path), size_limit=2**20, timeout=1.0) as opened:
        yield opened


def rows(database: Database) -> list[tuple[object, ...]]:
    found = database._sql("SELECT key, raw, access_count, tag, size, mode, filename, value FROM Cache ORDER BY key")
    return list(found.fetchall())


def test_the_rows_are_those_of_diskcache(tmp_path: Path) -> None:
    with (
        Database(str(tmp_path / "one"), size_limit=2**20, timeout=1.0) as one,
        Database(str(tmp_path / "all"), size_limit=2**20, timeout=1.0) as together,
    ):
        values = {f"key {number}": bytes([number]) * number for number in range(120)}
        for key, value in values.items():
            one.set(key, value)
        together.put_all({key: (value, None) for key, value in values.items()})
        assert rows(one) == rows(together)
        assert len(together) == 120
        assert together.volume() == one.volume()


def test_a_value_replaces_the_one_before(database: Database) -> None:
    database.put_all({"key": (b"old", None), "other": (b"x", None)})
    database.put_all({"key": (b"new", None)})
    assert database.get("key") == b"new"
    assert database.get("other") == b"x"
    assert len(database) == 2


def test_a_value_is_kept_for_its_time(database: Database) -> None:
    database.put_all({"short": (b"s", 0.05), "long": (b"l", 60.0)})
    assert database.get("short") == b"s"
    time.sleep(0.1)
    assert database.get("short") is None
    assert database.get("long") == b"l"


def test_what_has_expired_makes_room(database: Database) -> None:
    database.put_all({f"old {number}": (b"x", 0.01) for number in range(5)})
    time.sleep(0.05)
    database.put_all({"new": (b"y", None)})
    assert len(database) == 1


def test_the_oldest_go_when_it_is_full(tmp_path: Path) -> None:
    with Database(str(tmp_path), size_limit=2**20, timeout=1.0) as database:
        for batch in range(80):
            database.put_all({f"{batch:02}-{number}": (b"x" * 4096, None) for number in range(5)})
        assert database.volume() < 1.2 * 2**20
        assert database.get("79-0") is not None
        assert database.get("00-0") is None


def test_nothing_is_stored_when_one_value_cannot_be(database: Database) -> None:
    with pytest.raises(Exception, match="type"):
        database.put_all({"key": (b"x", None), "bad": (object(), None)})  # type: ignore[dict-item]  # what must not get in
    assert len(database) == 0


def test_a_setting_is_not_waited_for_as_long_as_diskcache_would(tmp_path: Path) -> None:
    with Database(str(tmp_path), size_limit=2**20, timeout=0.1) as database:
        holder = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            database.reset("size_limit", 2**21)
        assert time.monotonic() - started < 20  # the original repeats for 60 seconds
        holder.close()
