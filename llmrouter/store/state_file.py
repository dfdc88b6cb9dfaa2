"""Shared state in a file: SQLite beside the cache, for the processes of one machine.

Records are JSON text. Nothing needs to survive a power cut, so nothing waits for the disk; a file that is damaged or
gone is made anew. A killed process leaves no lock behind: the system drops a dead process's locks.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from llmrouter import forks
from llmrouter.policy.shared import Record, Stepper
from llmrouter.store.faults import Fault, fault_of
from llmrouter.store.lost import StateLostError
from llmrouter.store.sqlite_file import use_wal

T = TypeVar("T")

FILE: Final = "state.db"
_SUFFIXES: Final = ("", "-wal", "-shm")
_BUSY_S: Final = 0.5  # for another process's transaction: some 50 microseconds, unless the machine is crowded
_LOCK_S: Final = 0.5  # for another thread of this process
_REST_S: Final = 5.0
_REST_LOCKED_S: Final = 1.0
_CHECK_EVERY_S: Final = 1.0  # whether the path still leads to the open file
_SWEEP_EVERY_S: Final = 60.0

_SETUP: Final = (
    "PRAGMA synchronous = 0",
    "PRAGMA mmap_size = 0",  # a mapped file that somebody truncates kills the process
    "PRAGMA trusted_schema = 0",
    "CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
)
_GET: Final = "SELECT value FROM records WHERE key = ? AND until > ?"
_PUT: Final = (
    "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, until = excluded.until"
)
_DELETE: Final = "DELETE FROM records WHERE key = ?"
_SWEEP: Final = "DELETE FROM records WHERE until <= ?"

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_inherited: Final[list[sqlite3.Connection]] = []  # a parent's connections: closing one here could hurt the parent's


class FileBackend:
    """Records in `directory`/state.db, which belongs to its user alone."""

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(os.path.abspath(Path(directory).expanduser()))  # noqa: PTH100 - touches no disk
        self._path = self._directory / FILE
        self.name = str(self._path)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = forks.lock()  # guards the connection
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._check_at = self._sweep_at = 0.0

    def change(self, keys: tuple[str, ...], step: Stepper[T], now: float) -> T:
        """See Backend."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result, records, keep_s = step(tuple([_get(connection, key, now) for key in keys]), now)
                if records is None:
                    connection.execute("ROLLBACK")
                else:
                    self._put(connection, keys, records, now, keep_s)
                    connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.rollback()
                raise
        return result

    def read(self, key: str, step: Callable[[Record, float], T], now: float) -> T:
        """See Backend. Makes no file: where there is none, there is no record."""
        if self._connection is None and not os.path.exists(self._path):  # noqa: PTH110 - Path's own may raise
            return step(None, now)
        with self._open() as connection:
            return step(_get(connection, key, now), now)

    def close(self) -> None:
        """Close the connection."""
        if os.getpid() == self._pid and self._lock.acquire(timeout=_LOCK_S):
            try:
                self._disconnect()
            finally:
                self._lock.release()

    def _put(
        self,
        connection: sqlite3.Connection,
        keys: tuple[str, ...],
        records: tuple[Record, ...],
        now: float,
        keep_s: float,
    ) -> None:
        for key, record in zip(keys, records, strict=True):
            if record is None:
                connection.execute(_DELETE, (key,))
            else:
                connection.execute(_PUT, (key, _encode(record), now + keep_s))
        if now >= self._sweep_at or now < self._sweep_at - 2 * _SWEEP_EVERY_S:
            self._sweep_at = now + _SWEEP_EVERY_S
            connection.execute(_SWEEP, (now,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread. Whatever is wrong with the file is raised as StateLostError."""
        if os.getpid() != self._pid:  # forked: the lock may have been held by a thread that is not here
            if self._connection is not None:
                _inherited.append(self._connection)
            self._reset()
        if not self._lock.acquire(timeout=_LOCK_S):
            raise StateLostError("another thread holds it", _REST_LOCKED_S)
        try:
            yield self._connected()
        except (sqlite3.Error, OSError) as error:
            raise self._lost(error) from error
        finally:
            self._lock.release()

    def _connected(self) -> sqlite3.Connection:
        now = time.monotonic()
        if self._connection is not None and now >= self._check_at:
            self._check_at = now + _CHECK_EVERY_S
            if not self._in_place():
                self._disconnect()
        if self._connection is None:
            self._connect()
            self._check_at = now + _CHECK_EVERY_S
        assert self._connection is not None  # noqa: S101 - says to the type checker what _connect did
        return self._connection

    def _connect(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its journals the same mode
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            use_wal(connection)
            for statement in _SETUP:
                connection.execute(statement)
            found = self._path.stat()
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, (found.st_dev, found.st_ino)

    def _in_place(self) -> bool:
        """Whether the path leads to the file that is open: SQLite would go on writing to one that was deleted."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _lost(self, error: Exception) -> StateLostError:
        fault = fault_of(error)
        reason = f"{fault.value} ({type(error).__name__}: {error})"
        if fault is Fault.LOCKED:
            return StateLostError(reason, _REST_LOCKED_S)
        ours = self._connection is None or self._in_place()
        self._disconnect()
        if fault is Fault.CORRUPT:
            if ours:  # else another process has made it anew already
                self._remove()
            return StateLostError(reason, 0.0)  # the next one starts anew
        return StateLostError(reason, _REST_S)

    def _remove(self) -> None:
        for suffix in _SUFFIXES:
            with suppress(OSError):
                self._path.with_name(FILE + suffix).unlink()


def _get(connection: sqlite3.Connection, key: str, now: float) -> Record:
    row = connection.execute(_GET, (key, now)).fetchone()
    if row is None:
        return None
    try:
        return json.loads(row[0])
    except (ValueError, TypeError, RecursionError):  # not ours
        return None
