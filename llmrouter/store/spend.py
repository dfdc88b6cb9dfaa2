"""What was spent under each limit, and what attempts under way have reserved: one SQLite file for all processes.

Reserving and settling are one transaction each, so that nobody overshoots together. A reservation lapses after its
lease, for processes that are killed. A file that cannot be used costs a warning; the limits then hold in this process
alone, until it is started again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final, NamedTuple, Protocol, TypeVar

from loguru import logger

from llmrouter import forks
from llmrouter.store.faults import Fault, fault_of
from llmrouter.store.sqlite_file import Connection, SqliteFile

T = TypeVar("T")

FILE: Final = "spend.db"  # beside the ledger
_BUSY_S: Final = 2.0  # for the transactions of other processes, some 100 microseconds each
KEPT_S: Final = 86_400.0  # after the end of its period, for attempts that are settled late
_MIGRATIONS: Final = (
    (
        """CREATE TABLE spent (
            scope TEXT NOT NULL, period TEXT NOT NULL, nano INTEGER NOT NULL, ends REAL, PRIMARY KEY (scope, period)
        ) WITHOUT ROWID""",
        """CREATE TABLE reserved (
            id TEXT NOT NULL, scope TEXT NOT NULL, period TEXT NOT NULL, nano INTEGER NOT NULL, until REAL NOT NULL,
            PRIMARY KEY (scope, period, id)
        ) WITHOUT ROWID""",
    ),
)
_SPENT: Final = "SELECT coalesce(sum(nano), 0) FROM spent WHERE scope = ? AND period = ?"
_RESERVED: Final = "SELECT coalesce(sum(nano), 0) FROM reserved WHERE scope = ? AND period = ?"
_BOOK: Final = """INSERT INTO spent (scope, period, nano, ends) VALUES (?, ?, ?, ?)
    ON CONFLICT (scope, period) DO UPDATE SET nano = spent.nano + excluded.nano"""


class Claim(NamedTuple):
    """A limit that money is taken from: at most `ceiling` nano-USD under `scope` in `period`, which ends at `ends`."""

    scope: str
    period: str
    ends: float | None
    ceiling: int


class Tally(NamedTuple):
    """Nano-USD spent under a limit in its period, and reserved by attempts under way."""

    spent: int
    reserved: int


class Refused(NamedTuple):
    """The claim (by its place) that has no room, and how it stands."""

    claim: int
    tally: Tally


class Book(Protocol):
    """Where tallies are kept. No method raises for the state of the store."""

    def reserve(self, claims: Sequence[Claim], nano: int, lease_s: float, now: float) -> str | Refused:
        """Reserve `nano` nano-USD under every claim, or under none; return the reservation's id, or who refused.

        `now` is in Unix seconds. The reservation lapses after `lease_s` seconds unless it is settled before.
        """
        ...

    def settle(self, reservation: str, claims: Sequence[Claim], nano: int) -> None:
        """Free a reservation, lapsed or not, and book what was really spent."""
        ...

    def tally(self, claim: Claim, now: float) -> Tally:
        """Return how a limit stands."""
        ...

    def close(self) -> None:
        """Let go of files and connections; using the book again opens them again."""
        ...


class SpendBook:
    """The tallies in `directory`/spend.db. Making one touches no disk; threads and processes may share it."""

    def __init__(self, directory: Path) -> None:
        self._file = SqliteFile(directory / FILE, _MIGRATIONS, busy_s=_BUSY_S)
        self._alone: sqlite3.Connection | None = None
        self._lock, self._pid = forks.lock(), os.getpid()

    def reserve(self, claims: Sequence[Claim], nano: int, lease_s: float, now: float) -> str | Refused:
        """See Book."""
        return self._change(lambda connection: _reserve(connection, claims, nano, now + lease_s, now))

    def settle(self, reservation: str, claims: Sequence[Claim], nano: int) -> None:
        """See Book."""
        self._change(lambda connection: _settle(connection, reservation, claims, nano))

    def tally(self, claim: Claim, now: float) -> Tally:
        """See Book."""
        return self._change(lambda connection: _tally(connection, claim, now))

    def close(self) -> None:
        """Close the file; using the book again opens it again."""
        if self._pid == os.getpid():
            with self._lock:
                self._file.close()

    def _change(self, action: Callable[[sqlite3.Connection], T]) -> T:
        if self._pid != os.getpid():  # forked, and what the parent counts alone is the parent's
            self._pid, self._alone = os.getpid(), None
        with self._lock:
            if self._alone is None:
                try:
                    return _transaction(self._file.connection(), action)
                except (sqlite3.Error, OSError) as error:
                    self._alone = self._counting_alone(error)
            return _transaction(self._alone, action)

    def _counting_alone(self, error: Exception) -> sqlite3.Connection:
        """Warn, and return tallies in memory: for good, because what is counted here would be missing there."""
        fault, kept = fault_of(error), ""
        if fault is Fault.CORRUPT:
            with suppress(OSError):
                aside = self._file.set_aside()
                kept = "" if aside is None else f"; it is kept as {aside.name}"
        logger.warning(
            "spend limits {}: {} ({}: {}){}; until this process is started again, they hold in it alone",
            self._file.path, fault.value, type(error).__name__, error, kept,
        )  # fmt: skip
        self._file.close()
        alone = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=Connection)
        for statement in _MIGRATIONS[0]:
            alone.execute(statement)
        return alone


def _transaction(connection: sqlite3.Connection, action: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = action(connection)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise
    return result


def _reserve(
    connection: sqlite3.Connection, claims: Sequence[Claim], nano: int, until: float, now: float
) -> str | Refused:
    connection.execute("DELETE FROM spent WHERE ends < ?", (now - KEPT_S,))
    for place, claim in enumerate(claims):
        tally = _tally(connection, claim, now)
        if tally.spent + tally.reserved + nano > claim.ceiling:
            return Refused(place, tally)
    reservation = token_hex(8)
    rows = [(reservation, claim.scope, claim.period, nano, until) for claim in claims]
    connection.executemany("INSERT INTO reserved (id, scope, period, nano, until) VALUES (?, ?, ?, ?, ?)", rows)
    return reservation


def _tally(connection: sqlite3.Connection, claim: Claim, now: float) -> Tally:
    connection.execute("DELETE FROM reserved WHERE until <= ?", (now,))
    at = (claim.scope, claim.period)
    return Tally(connection.execute(_SPENT, at).fetchone()[0], connection.execute(_RESERVED, at).fetchone()[0])


def _settle(connection: sqlite3.Connection, reservation: str, claims: Sequence[Claim], nano: int) -> None:
    for claim in claims:
        connection.execute(
            "DELETE FROM reserved WHERE scope = ? AND period = ? AND id = ?", (claim.scope, claim.period, reservation)
        )
        if nano:
            connection.execute(_BOOK, (claim.scope, claim.period, nano, claim.ends))
