"""The ledger: an append-only table with a row for each attempt, written off the hot path; and those under way.

Adding rows is an append to a queue; the rows themselves are made by the thread that writes them, a moment later and in
one transaction. It ends with its ledger. Whatever is wrong with the store (locked, full, corrupt, read-only, away)
costs one warning of its kind and never a call: rows wait for it to come back, up to a limit.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol, TypeAlias

from loguru import logger

from llmrouter import forks
from llmrouter.store.ledger_open import MakeRow, Openings
from llmrouter.store.ledger_row import Filter, Key, Row
from llmrouter.store.lost import LedgerLostError

DELAY_S: Final = 0.2  # from a row to its writing; what a killed process may lose
_WATCHFUL_S: Final = 60.0  # without rows; then the thread sleeps until it is woken
_REST_S: Final = 5.0  # a store that failed is left alone for so long
_MOST_KEPT: Final = 10_000  # rows that wait for a store that failed
_EXIT_S: Final = 10.0

Rows: TypeAlias = Callable[[], Sequence[Row]]
"""Makes rows, on the writing thread: what is on the way of a call only notes the facts."""


class RowStore(Protocol):
    """Where rows are kept; used by one thread at a time. Raises LedgerLostError when it cannot be reached now."""

    name: str  # for warnings; shows no password

    def write(self, rows: Sequence[Row], opened: Sequence[Row] = (), over: Sequence[Key] = ()) -> None:
        """Add rows, all or none; those that are there already stay as they are.

        `opened` are the rows of attempts under way, and `over` those that are to go again, in the same transaction.
        """
        ...

    def read(self, which: Filter) -> list[Row]:
        """Return rows in any order, those of attempts under way included; makes no file and no table."""
        ...

    def close(self) -> None:
        """Let go of connections; using the store again opens them again."""
        ...


class Ledger:
    """Rows in one store. Making one touches neither disk nor network. Shared by threads; usable again once closed."""

    def __init__(self, store: RowStore, *, delay_s: float = DELAY_S) -> None:
        self._writer = _Writer(store, delay_s)
        _writers.add(self._writer)
        # The thread knows only the writer, so that a ledger nobody closes can be collected, and its thread ends.
        weakref.finalize(self, self._writer.end).atexit = False

    def add(self, row: Row) -> None:
        """Queue a row. Takes a few microseconds at most, and never raises."""
        self._writer.add(lambda: (row,))

    def add_made(self, rows: Rows, over: Sequence[Key] = ()) -> None:
        """Queue rows that are made when they are written, from facts that do not change any more. As `add` else.

        `over` are attempts that were begun and are told by these rows now.
        """
        self._writer.add(rows, over)

    def begin(self, key: Key, since: float, make: MakeRow) -> None:
        """Take note of an attempt that was sent at `since` (monotonic seconds). As quick as `add`, and never raises.

        Unless it is over by then, `make` is called in a moment. Its row stays until `add_made` names the key as over.
        """
        self._writer.begin(key, since, make)

    def flush(self) -> None:
        """Write what is queued, now."""
        self._writer.write()

    def read(self, which: Filter = Filter()) -> list[Row]:  # noqa: B008 - a tuple, never changed
        """Return rows in any order, those just added and those of attempts under way included.

        Raises LedgerLostError.
        """
        return self._writer.read(which)

    def close(self) -> None:
        """Write what is queued, end the thread, and let go of the store."""
        self._writer.close()


def open_ledger(path: Path, url: str | None = None) -> Ledger:
    """Return the ledger at a `postgresql://` URL; without one, in the SQLite file `path`. Touches neither yet.

    Raises ConfigError for another URL, and when the packages for PostgreSQL are not installed.
    """
    if url is not None:
        from llmrouter.store.postgres import PostgresRows

        return Ledger(PostgresRows(url))
    from llmrouter.store.ledger_sqlite import SqliteRows

    return Ledger(SqliteRows(path))


class _Writer:
    """The queue and the thread that empties it."""

    def __init__(self, store: RowStore, delay_s: float) -> None:
        self._store, self._delay_s = store, delay_s
        self.reset()

    def reset(self) -> None:
        """Begin anew: with nothing queued, and no thread. A forked process leaves the parent's rows to the parent."""
        self._queue: deque[tuple[Rows, Sequence[Key]]] = deque()
        self._openings = Openings()
        self._bell: SimpleQueue[None] = SimpleQueue()  # wakes the thread; of what Python has, the cheapest to ring
        self._asleep = False
        self._unwritten: list[Row] = []  # guarded by `_io`
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None  # None too while one is on its way to its end
        self._rest_until = 0.0
        self._warned: set[str] = set()
        self._io = forks.lock()  # guards the store

    def add(self, rows: Rows, over: Sequence[Key] = ()) -> None:
        for key in over:
            self._openings.young.pop(key, None)  # before it is queued: its row, if there is one, goes with the queue
        self._queue.append((rows, over))
        if self._asleep or self._thread is None:
            self._wake()

    def begin(self, key: Key, since: float, make: MakeRow) -> None:
        self._openings.young[key] = since, make
        if self._asleep or self._thread is None:
            self._wake()

    def _wake(self) -> None:
        """See to it that the thread runs. After queueing: who ends it, or falls asleep, looks once more."""
        if self._asleep:
            self._asleep = False
            self._bell.put(None)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            self._stopping = threading.Event()
            _close_with_child()
            thread = threading.Thread(target=self._run, args=(self._stopping,), name="llmrouter-ledger", daemon=True)
            try:
                thread.start()
                self._thread = thread
                return
            except RuntimeError:  # the interpreter is on its way out
                pass
        self.write()

    def _run(self, stopping: threading.Event) -> None:
        """Write what is queued every moment; after a minute without rows, not before one wakes us.

        Waking a thread costs a call more than its row does, so that calls which come every now and then do not.
        """
        active = time.monotonic()
        while not stopping.wait(self._delay_s):
            if self._queue or self._unwritten or self._openings:
                active = time.monotonic()
                self.write()
            elif time.monotonic() - active > _WATCHFUL_S:
                self._sleep()
                active = time.monotonic()
        self.write(at_last=True)
        with self._io:
            self._store.close()

    def _sleep(self) -> None:
        """Wait until something is queued."""
        self._asleep = True
        if not self._queue and not self._openings:
            self._bell.get()
        self._asleep = False

    def write(self, *, at_last: bool = False) -> None:
        """Write what is queued. `at_last`: what cannot be written now is given up."""
        with self._io:
            while self._queue:
                self._make(*self._queue.popleft())
            for key, make in self._openings.due(at_last=at_last):
                self._open(key, make)
            waiting = self._unwritten or self._openings.rows or self._openings.over
            if waiting and (at_last or time.monotonic() >= self._rest_until):
                self._try(self._unwritten)
            if at_last and self._unwritten:
                self._give_up(len(self._unwritten))

    def _make(self, rows: Rows, over: Sequence[Key]) -> None:
        try:
            self._unwritten += rows()
            self._openings.recorded(over)
        except Exception as error:  # noqa: BLE001 - the rows of other calls are to be written all the same
            self._warn("made", f"rows cannot be made: {type(error).__name__}: {error}")

    def _open(self, key: Key, make: MakeRow) -> None:
        try:
            self._openings.told(key, make())
        except Exception as error:  # noqa: BLE001 - as above
            self._warn("made", f"rows cannot be made: {type(error).__name__}: {error}")

    def _try(self, rows: list[Row]) -> None:
        openings = self._openings
        try:
            self._store.write(rows, list(openings.rows.values()), openings.over)
        except LedgerLostError as error:
            self._rest_until = time.monotonic() + _REST_S
            self._warn(error.kind, f"{error.reason}; calls go on, and their rows wait for it")
            del openings.over[:-_MOST_KEPT]
            if len(rows) > _MOST_KEPT:
                self._give_up(len(rows) - _MOST_KEPT)
        except Exception as error:  # noqa: BLE001 - rows that no store will ever take must not hold up the others
            self._warn(type(error).__name__, f"{len(rows)} rows cannot be written: {type(error).__name__}")
            rows.clear()
            openings.written()
        else:
            rows.clear()
            openings.written()

    def _give_up(self, number: int) -> None:
        del self._unwritten[:number]
        self._warn("lost", f"{number} rows are lost, because it could not be written to")

    def _warn(self, kind: str, text: str) -> None:
        if kind in self._warned:
            return
        self._warned.add(kind)
        logger.warning("ledger {}: {}", self._store.name, text)

    def read(self, which: Filter) -> list[Row]:
        self.write()
        with self._io:
            return self._store.read(which)

    def end(self) -> threading.Thread | None:
        """Ask the thread to write what is queued and to end; return it, None when there is none."""
        with self._starting:
            thread, self._thread = self._thread, None
            self._stopping.set()
        if thread is not None:
            self._bell.put(None)
        return thread

    def close(self) -> None:
        thread = self.end()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_EXIT_S)
        self.write(at_last=True)
        with self._io:
            self._store.close()


_writers: Final[weakref.WeakSet[_Writer]] = weakref.WeakSet()
_exiting_pid = 0  # the process that closes its ledgers when multiprocessing ends it


def _in_child() -> None:
    for writer in list(_writers):
        writer.reset()


def _close_all() -> None:
    for writer in list(_writers):
        writer.close()


def _close_with_child() -> None:
    """Have the ledgers closed at the end of a child of multiprocessing too, which skips what atexit knows."""
    global _exiting_pid  # noqa: PLW0603 - a fact about the process
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _exiting_pid != os.getpid():
        _exiting_pid = os.getpid()
        util.Finalize(None, _close_all, exitpriority=0)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
