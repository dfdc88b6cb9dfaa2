"""diskcache, held to bytes and to short waits. Imports diskcache: import this module only when a cache is used.

diskcache pickles whatever is not bytes, text or a number, and unpickles what it finds (CVE-2025-69872, no fixed
release). `BytesDisk` has no path to pickle at all, keeps every value inside the database, and never touches a file
that a row names. `Database` bounds every wait for a lock: the original waits up to 60 seconds while it opens.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, TypeVar, cast
from weakref import WeakSet

import diskcache  # type: ignore[import-untyped]  # ships no types
from diskcache import core

from llmrouter import forks
from llmrouter.store.faults import ForeignEntryError
from llmrouter.store.sqlite_file import use_wal

T = TypeVar("T")

DATABASE_NAME: Final[str] = core.DBNAME

_PRAGMAS: Final = (
    "PRAGMA synchronous = 1",
    "PRAGMA cache_size = -2000",  # KiB, for each thread: the system keeps the file in memory anyway
    "PRAGMA mmap_size = 0",  # a mapped file that somebody truncates kills the process with SIGBUS
    "PRAGMA trusted_schema = 0",
)


# A row whose key is text and whose value is bytes, as diskcache's own `set` writes it through `BytesDisk`.
_ROW: Final = f"(?, 1, ?, ?, ?, 0, NULL, 0, {core.MODE_RAW:d}, NULL, ?)"
_PUT: Final = (
    "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value)"
    " VALUES {rows} ON CONFLICT (key, raw) DO UPDATE SET store_time = excluded.store_time,"
    " expire_time = excluded.expire_time, access_time = excluded.access_time, access_count = 0,"
    " size = excluded.size, mode = excluded.mode, filename = NULL, value = excluded.value"
)
_GET: Final = (
    "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1 AND (expire_time IS NULL OR expire_time > ?)"
)
_AT_ONCE: Final = 50  # rows in one statement


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # the base class has no types
    """Text keys and bytes values, stored in the database itself; anything else is refused on the way in and out."""

    def put(self, key: object) -> tuple[str, bool]:
        """Return a key as it is stored, and that it is stored as it is. Raises TypeError for what is no text."""
        if type(key) is not str:
            raise TypeError(f"a cache key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Return a key as it was given. Raises ForeignEntryError for one that is no text."""
        if not raw or type(key) is not str:
            raise ForeignEntryError("a cache key that is not text")
        return key

    def store(self, value: object, read: bool, key: object = core.UNKNOWN) -> tuple[int, int, None, memoryview]:  # noqa: ARG002 - diskcache's signature
        """Return the columns of a value. Raises TypeError for what is no bytes."""
        if read or type(value) is not bytes:
            raise TypeError(f"a cached value is bytes, not {type(value).__name__}")
        return 0, core.MODE_RAW, None, memoryview(value)

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        """Return a value from its columns. Raises ForeignEntryError for one that `store` did not write."""
        if read or mode != core.MODE_RAW or filename is not None or type(value) is not bytes:
            raise ForeignEntryError("a cached value that is not plain bytes")
        return value

    def remove(self, file_path: str) -> None:
        """Do nothing: our rows name no files, and a foreign row must not choose what is deleted."""


_connecting: Final = forks.rlock()  # guards the coming and going of connections; a collection may come at any time
_inherited: Final[list[_Connection]] = []  # a parent's connections: closing one here could hurt the parent's


class _Connection(sqlite3.Connection):
    """Closes itself when collected: a thread's connection ends after the thread, without a ResourceWarning (3.13)."""

    def __del__(self) -> None:
        with _connecting:
            self.close()


class Database(diskcache.Cache):  # type: ignore[misc]  # the base class has no types
    """A diskcache database whose settings are ours, whatever its file says, and which waits `timeout` seconds at most.

    Raises sqlite3.Error, OSError or diskcache.Timeout when it cannot be opened.
    """

    def __init__(self, directory: str, *, size_limit: int, timeout: float) -> None:
        self._busy_s = timeout
        self.connections: WeakSet[_Connection] = WeakSet()
        _databases.add(self)
        settings = {**core.DEFAULT_SETTINGS, "size_limit": size_limit}  # passed, so that stored ones never win
        super().__init__(directory, timeout=timeout, disk=BytesDisk, **settings)

    def __del__(self) -> None:
        for con in list(self.connections):  # a connection is a reference cycle: dropping it would not close it
            con.close()

    @property
    def lock(self) -> threading.Lock:
        """This thread's lock, to be held while it uses the database, so that no fork happens within SQLite."""
        found = getattr(self._local, "lock", None)
        if found is None:
            found = self._local.lock = forks.lock()
        return cast(threading.Lock, found)

    @property
    def _con(self) -> sqlite3.Connection:
        local, pid = self._local, os.getpid()
        if getattr(local, "pid", None) != pid:  # a connection must not be used across a fork
            local.pid, local.con = pid, None
        con = getattr(local, "con", None)
        if con is None:
            con = local.con = self._connect()
        return cast(sqlite3.Connection, con)

    def _connect(self) -> sqlite3.Connection:
        con = sqlite3.connect(
            os.path.join(self._directory, DATABASE_NAME),  # noqa: PTH118 - once per thread, with diskcache's own text
            timeout=self._busy_s,
            isolation_level=None,
            check_same_thread=False,  # used by one thread, but whoever drops the database last closes it
            factory=_Connection,
        )
        with _connecting:
            self.connections.add(con)
        if con.execute("PRAGMA auto_vacuum").fetchone() != (1,):  # setting it, even again, waits for all who write
            con.execute("PRAGMA auto_vacuum = 1")  # must precede the first table; deleted entries then give pages back
        use_wal(con)
        for pragma in _PRAGMAS:
            con.execute(pragma)
        return con

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        return cast("Callable[..., sqlite3.Cursor]", self._sql)  # the original repeats for 60 seconds

    def reset(self, key: str, value: Any = core.ENOVAL, update: bool = True) -> Any:
        """Read or write a setting; `sqlite_` ones are ours alone and are set in `_connect`, not from the file."""
        if key.startswith("sqlite_"):
            return value
        return super().reset(key, value, update)

    def value(self, key: str) -> bytes | None:
        """Return the value of `key`, None when there is none or its time is over: `get` without its choices.

        Raises what `get` raises.
        """
        row = self._con.execute(_GET, (key, time.time())).fetchone()
        return None if row is None else cast(bytes, self._disk.fetch(*row, False))

    def put_all(self, entries: Mapping[str, tuple[bytes, float | None]]) -> None:
        """Store values by key, each with the seconds that it is kept (None: for ever), all or none.

        In as few statements as can be: between two of them every other thread competes for the interpreter.
        Raises what `set` raises.
        """
        now = time.time()
        rows = [
            (key, now, None if kept_s is None else now + kept_s, now, value) for key, (value, kept_s) in entries.items()
        ]
        with self._transact() as (sql, dropped):
            for batch in _batched(rows):
                sql(_PUT.format(rows=", ".join([_ROW] * len(batch))), tuple(chain.from_iterable(batch)))
            self._cull(now, sql, dropped, limit=max(self.cull_limit, 2 * len(rows)))  # two go for each that comes

    @contextmanager
    def patient(self, wait_s: float) -> Iterator[None]:
        """Have this thread wait for others who write for as long as `wait_s` seconds."""
        self._con.execute(f"PRAGMA busy_timeout = {round(wait_s * 1000)}")
        try:
            yield
        finally:
            self._con.execute(f"PRAGMA busy_timeout = {round(self._busy_s * 1000)}")

    def abandon_transaction(self) -> None:
        """Roll back what a failed operation left open: diskcache does not when the COMMIT itself fails."""
        con = getattr(self._local, "con", None)
        if con is None or not con.in_transaction:
            return
        try:
            con.rollback()
        except sqlite3.Error:
            self.close()


def _batched(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give `rows` in parts that one statement can take."""
    return (rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE))


_databases: Final[WeakSet[Database]] = WeakSet()
_shared: Final[list[_Connection]] = []  # over a fork; else those of other threads would be collected in the child


def _before_fork() -> None:
    with _connecting:
        _shared.extend(con for database in list(_databases) for con in database.connections)


def _in_child() -> None:
    _inherited.extend(_shared)
    _shared.clear()
    for database in list(_databases):
        database.connections.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_shared.clear, after_in_child=_in_child)
