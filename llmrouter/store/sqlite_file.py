"""One SQLite file of ours that must last: its owner's alone, in WAL mode, its tables brought up to date.

A process that is killed loses what it had not committed, never the file. After a power cut the last commits may be
missing, and the file is whole all the same.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_PRAGMAS: Final = (
    "PRAGMA synchronous = normal",
    "PRAGMA mmap_size = 0",  # a mapped file that somebody truncates kills the process
    "PRAGMA trusted_schema = 0",
)
_SUFFIXES: Final = ("", "-wal", "-shm")
_WAL_TRIES: Final = 50

_inherited: Final[list[sqlite3.Connection]] = []  # a parent's connections: closing one here could hurt the parent's

Migrations = Sequence[Sequence[str]]
"""The statements that lead from each version of a file to the next, version 0 being an empty file.

A migration may only add what older programs can do without: they go on writing to a newer file.
"""


class Connection(sqlite3.Connection):
    """Closes itself when it is collected, without the ResourceWarning that Python 3.13 has for that."""

    def __del__(self) -> None:
        self.close()


class SqliteFile:
    """A file that is opened at its first use. One thread at a time: whoever has one guards it with a lock."""

    def __init__(self, path: Path, migrations: Migrations, *, busy_s: float) -> None:
        self.path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - touches no disk
        self._migrations, self._busy_s = migrations, busy_s
        self._pid = os.getpid()
        self._opened: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def exists(self) -> bool:
        """Whether there is a file; asking creates none."""
        return self.path.is_file()

    def connection(self) -> sqlite3.Connection:
        """Return the open connection; opened anew after a fork, and when the path leads to another file.

        Raises sqlite3.Error and OSError.
        """
        if self._opened is not None and os.getpid() != self._pid:
            _inherited.append(self._opened)
            self._opened = None
        if self._opened is not None and not self._in_place():
            self.close()  # SQLite would go on writing to a deleted file
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def close(self) -> None:
        """Close the connection, if it is this process's own."""
        opened, self._opened = self._opened, None
        if opened is not None and os.getpid() == self._pid:
            with suppress(sqlite3.Error):
                opened.close()

    def set_aside(self) -> Path | None:
        """Rename a damaged file, its journal with it; return its new name, None when somebody else was faster."""
        in_place = self._in_place()
        self.close()
        if not in_place:
            return None
        aside = self.path.with_name(f"{self.path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
        for suffix in _SUFFIXES:
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
        return aside

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)  # SQLite gives its journals the same mode
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        self._pid, self._identity = os.getpid(), (found.st_dev, found.st_ino)
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_s,
            isolation_level=None,
            check_same_thread=False,  # whoever uses it holds the lock of its owner
            factory=Connection,
        )
        try:
            _set_up(connection, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    def _in_place(self) -> bool:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - before every transaction; pathlib doubles its cost
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity


def _set_up(connection: sqlite3.Connection, migrations: Migrations) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    use_wal(connection)
    if _version(connection) >= len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations[_version(connection) :]:  # read again: another process may have been faster
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations):d}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise


def use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite does not wait for others who do the same to a new file, so wait for them ourselves."""
    for _ in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = wal")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                raise
            connection.execute("BEGIN IMMEDIATE")  # waits as long as `busy_s`
            connection.execute("ROLLBACK")
        else:
            return
    connection.execute("PRAGMA journal_mode = wal")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
