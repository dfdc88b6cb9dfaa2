"""The ledger in an SQLite file, which any number of processes may write to."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from llmrouter.store.faults import Fault, fault_of
from llmrouter.store.ledger_row import COLUMNS, MIGRATIONS, TABLE, UNDER_WAY, Filter, Key, Row
from llmrouter.store.lost import LedgerLostError
from llmrouter.store.sqlite_file import SqliteFile

_BUSY_S: Final = 2.0  # for the transactions of other processes; nobody but the writing thread waits
_INTO: Final = f"({COLUMNS}) VALUES ({', '.join('?' * len(Row._fields))}) ON CONFLICT DO NOTHING"
_DELETE: Final = f"DELETE FROM {UNDER_WAY} WHERE call = ? AND number = ?"  # noqa: S608 - constants
_POISON: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)


class SqliteRows:
    """Rows in the file `path`, which is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, MIGRATIONS, busy_s=_BUSY_S)
        self.name = str(self._file.path)

    def write(self, rows: Sequence[Row], opened: Sequence[Row] = (), over: Sequence[Key] = ()) -> None:
        """See RowStore."""
        try:
            connection = self._file.connection()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(f"INSERT INTO {UNDER_WAY} {_INTO}", opened)
                connection.executemany(f"INSERT INTO {TABLE} {_INTO}", rows)
                connection.executemany(_DELETE, over)
        except _POISON:
            raise
        except (sqlite3.Error, OSError) as error:
            raise self._lost(error) from error

    def read(self, which: Filter) -> list[Row]:
        """See RowStore."""
        where, values = which.where()
        try:
            if not self._file.exists():
                return []
            found = self._file.connection().execute(
                f"SELECT {COLUMNS} FROM {TABLE}{where} UNION ALL SELECT {COLUMNS} FROM {UNDER_WAY}{where}",  # noqa: S608 - constants
                values,
            )
            return [Row._make(row) for row in found]
        except (sqlite3.Error, OSError) as error:
            raise LedgerLostError(fault_of(error).name, _said(error)) from error

    def close(self) -> None:
        """See RowStore."""
        self._file.close()

    def _lost(self, error: Exception) -> LedgerLostError:
        fault, reason = fault_of(error), _said(error)
        if fault is Fault.CORRUPT:
            try:
                aside = self._file.set_aside()
            except OSError:
                aside = None
            if aside is not None:
                reason += f"; it is kept as {aside.name}, and a new one is begun"
        else:
            self._file.close()
        return LedgerLostError(fault.name, reason)


def _said(error: Exception) -> str:
    return f"{fault_of(error).value} ({type(error).__name__}: {error})"
