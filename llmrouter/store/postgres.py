"""The ledger in PostgreSQL, for programs on many machines. Needs the extra `postgres` (SQLAlchemy and psycopg).

Import this module only when a file names such a ledger.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from llmrouter.errors import ConfigError
from llmrouter.store.ledger_row import COLUMNS, MIGRATIONS, TABLE, UNDER_WAY, Filter, Key, Row
from llmrouter.store.lost import LedgerLostError

_VERSION_TABLE: Final = "llmrouter_schema"
_CONNECT_S: Final = 5
_MIGRATING: Final = 0x6C6C6D72  # an advisory lock of our own: two programs that start together migrate in turn
_INTO: Final = f"({COLUMNS}) VALUES ({', '.join(':' + name for name in Row._fields)}) ON CONFLICT DO NOTHING"
_DELETE: Final = f"DELETE FROM {UNDER_WAY} WHERE call = :call AND number = :number"  # noqa: S608 - constants


class PostgresRows:
    """Rows in the database at `url` (`postgresql://user:password@host/name`); the table is made with the first."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._pid, self._ready = os.getpid(), False
        self.name = self._engine.url.render_as_string(hide_password=True)

    def write(self, rows: Sequence[Row], opened: Sequence[Row] = (), over: Sequence[Key] = ()) -> None:
        """See RowStore."""
        from sqlalchemy import exc, text

        self._after_fork()
        try:
            with self._engine.begin() as connection:
                if not self._ready:
                    _migrate(connection)
                for table, added in ((UNDER_WAY, opened), (TABLE, rows)):
                    if added:  # SQLAlchemy takes no values for one row without any
                        connection.execute(text(f"INSERT INTO {table} {_INTO}"), [row._asdict() for row in added])
                if over:
                    connection.execute(text(_DELETE), [{"call": call, "number": number} for call, number in over])
        except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError) as error:
            raise _lost(error) from error
        except exc.ProgrammingError as error:  # no right to make the table; it may be granted
            raise _lost(error) from error
        self._ready = True

    def read(self, which: Filter) -> list[Row]:
        """See RowStore."""
        from sqlalchemy import exc, inspect, text

        self._after_fork()
        where, values = which.where()
        try:
            with self._engine.connect() as connection:
                tables = [name for name in (TABLE, UNDER_WAY) if inspect(connection).has_table(name)]
                query = " UNION ALL ".join(f"SELECT {COLUMNS} FROM {name}{where}" for name in tables)  # noqa: S608 - constants
                return [Row._make(row) for row in connection.execute(text(query), values)] if tables else []
        except exc.SQLAlchemyError as error:
            raise _lost(error) from error

    def close(self) -> None:
        """See RowStore."""
        self._engine.dispose()

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            self._engine.dispose(close=False)  # the connections are the parent's
            self._pid = os.getpid()


def _engine(url: str) -> Any:
    try:
        import psycopg  # noqa: F401 - asked for now, not at the first row
        from sqlalchemy import create_engine, exc, make_url
    except ModuleNotFoundError:
        raise ConfigError("ledger.url needs SQLAlchemy and psycopg: pip install 'llmrouter[postgres]'") from None
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # its message would show the URL, and with it the password
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigError("ledger.url is not a PostgreSQL address, such as postgresql://user@host:5432/name")
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=1,
        pool_pre_ping=True,  # a connection that the server dropped meanwhile is opened anew
        hide_parameters=True,
        connect_args={"connect_timeout": _CONNECT_S},
    )


def _migrate(connection: Any) -> None:
    from sqlalchemy import text

    connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {_VERSION_TABLE} (version INTEGER NOT NULL)"))
    version = connection.execute(text(f"SELECT max(version) FROM {_VERSION_TABLE}")).scalar() or 0  # noqa: S608 - constants
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text(f"INSERT INTO {_VERSION_TABLE} VALUES ({number:d})"))  # noqa: S608 - a number


def _lost(error: Exception) -> LedgerLostError:
    cause = getattr(error, "orig", None) or error  # the driver's own words; SQLAlchemy's would show the statement
    words = " ".join(str(cause).split())
    return LedgerLostError(type(cause).__name__, f"{type(cause).__name__}: {words}")
