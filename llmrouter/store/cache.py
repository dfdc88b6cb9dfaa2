"""The cache of answers: bytes by key on disk, with an age. It never costs a call.

Whatever is wrong with its directory (corrupt, locked, full, read-only, gone) costs one warning per kind, and the
operation counts as a miss. Nothing found on disk is ever executed: see `store/disk.py`.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from loguru import logger

from llmrouter import forks
from llmrouter.frozen import quickly_made
from llmrouter.store.faults import Fault, fault_of

if TYPE_CHECKING:
    from llmrouter.store.disk import Database

T = TypeVar("T")

_HEADER: Final = struct.Struct("<4sdd")  # magic, stored at, fresh until (Unix seconds; infinite: for ever)
_MAGIC: Final = b"LLR1"  # the last byte is the version of this layout
_FILES: Final = ("cache.db", "cache.db-wal", "cache.db-shm")
_ASIDE: Final = "cache.db.corrupt-"
_REST_S: Final = 5.0  # after a failure that will not pass by itself, the disk is left alone for so long
_WARN_EVERY_S: Final = 600.0
_LOOK_EVERY_S: Final = 0.25  # at whether the file is still where it was: a look takes longer than reading an entry
_OPEN_WAIT_S: Final = 5.0  # for another thread that is opening, which is slow only where processors are scarce
_BEHIND_WAIT_S: Final = 2.0
_LARGEST_VALUE: Final = 64 * 2**20


@quickly_made
@dataclass(frozen=True, slots=True)
class Entry:
    """A cached value: how old it is in seconds, and whether its time to live still runs (`fresh`)."""

    value: bytes
    age_s: float
    fresh: bool


class Write(NamedTuple):
    """A value to be stored, which came at `at`: fresh for `ttl_s` seconds (None: for ever), kept for `stale_s` more."""

    value: bytes
    ttl_s: float | None
    stale_s: float
    at: float  # Unix seconds

    @property
    def kept_s(self) -> float | None:
        """Seconds until the value is of no use even as a stale one; None: for ever."""
        return None if self.ttl_s is None else self.ttl_s + self.stale_s

    def packed(self) -> bytes:
        """Return the value with its ages, as it is on disk."""
        until = float("inf") if self.ttl_s is None else self.at + self.ttl_s
        return _HEADER.pack(_MAGIC, self.at, until) + self.value


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The cache now: entries (expired ones too) and their bytes; hits and misses of this object, approximate.

    `size_limit` None: whoever keeps them decides.
    """

    directory: Path | str  # or, in words, where they are instead
    entries: int
    bytes: int
    size_limit: int | None
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class _Opened:
    database: Database
    path: str
    identity: tuple[int, int]  # device and inode of the file as it was opened

    def in_place(self) -> bool:
        """Return whether the path still leads to the file we have open: SQLite would go on writing to a deleted one."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - on the way of calls; pathlib doubles its cost
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity


class DiskCache:
    """Bytes by key in `directory`, at most about `size_limit` bytes of them, oldest dropped first.

    Making one touches no disk. Threads and forked processes may share it. No method raises for the state of the disk,
    and none waits longer than a few times `timeout` seconds for a lock.
    """

    def __init__(self, directory: str | Path, size_limit: int = 2**30, *, timeout: float = 0.2) -> None:
        self._directory = Path(os.path.abspath(os.path.expandvars(Path(directory).expanduser())))  # noqa: PTH100 - touches no disk
        self._path = str(self._directory / _FILES[0])
        self._size_limit, self._timeout = size_limit, timeout
        self._lock = forks.lock()  # guards opening
        self._opened: _Opened | None = None
        self._rest_until = 0.0
        self._look_at = 0.0  # on the monotonic clock, as the one above
        self._warned: dict[Fault | str, float] = {}
        self._hits = self._misses = 0

    def get(self, key: str) -> Entry | None:
        """Return the entry of `key`, or None. An entry past its time to live but kept (`stale_s`) is not `fresh`."""
        blob: bytes | None = self._run(lambda database: database.value(key), None)
        entry = None if blob is None else unpack(blob)
        if entry is None:
            self._misses += 1
        else:
            self._hits += 1
        return entry

    def set(self, key: str, value: bytes, ttl_s: float | None, stale_s: float = 0.0) -> bool:
        """Store `value`: fresh for `ttl_s` seconds (None: for ever), kept for `stale_s` more. Return whether it was."""
        return self._store({key: Write(value, ttl_s, stale_s, time.time())}, self._timeout)

    def set_all(self, writes: Mapping[str, Write]) -> bool:
        """Store several values in one transaction; see `set`. Return whether they were.

        Other processes' writes are waited for longer than elsewhere: no call waits for this, and an answer that is not
        stored is asked for once more by whoever waits for it.
        """
        return self._store(writes, max(self._timeout, _BEHIND_WAIT_S))

    def _store(self, writes: Mapping[str, Write], wait_s: float) -> bool:
        kept = {key: (write.packed(), write.kept_s) for key, write in writes.items() if self._keeps(write)}

        def store(database: Database) -> bool:
            with database.patient(wait_s):
                database.put_all(kept)
            return True

        return bool(kept) and self._run(store, False)

    def delete(self, key: str) -> bool:
        """Remove the entry of `key`; return whether there was one."""
        return self._run(lambda database: bool(database.delete(key)), False, create=False)

    def clear(self) -> int:
        """Remove every entry, and what corruption left behind; return how many entries there were."""
        with suppress(OSError):
            _remove_asides(self._directory)
        return self._run(lambda database: int(database.clear()), 0, create=False)

    def prune(self) -> int:
        """Remove expired entries, then the oldest until the size limit holds; return how many."""
        return self._run(lambda database: int(database.cull()), 0, create=False)

    def stats(self) -> CacheStats:
        """Return the cache's size and use; all zero when there is none yet."""
        found = self._run(lambda database: (len(database), int(database.volume())), (0, 0), create=False)
        return CacheStats(self._directory, *found, self._size_limit, self._hits, self._misses)

    def close(self) -> None:
        """Close every thread's connection as soon as it is idle. Using the cache again opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            with suppress(Exception), opened.database.lock:
                opened.database.close()

    def _keeps(self, write: Write) -> bool:
        return (write.kept_s is None or write.kept_s > 0) and self._fits(write.value)

    def _fits(self, value: bytes) -> bool:
        largest = min(_LARGEST_VALUE, self._size_limit // 2)
        if len(value) <= largest:
            return True
        self._warn("size", f"an answer of {len(value)} bytes is not cached: the most is {largest}")
        return False

    # -------------------------------------------------------------------------------------------- opening and failing

    def _run(self, action: Callable[[Database], T], otherwise: T, *, create: bool = True) -> T:
        if not create and not os.path.exists(self._path):  # noqa: PTH110 - as `in_place`
            return otherwise
        opened: _Opened | None = None
        try:
            opened = self._current()
            if opened is None:
                return otherwise
            with opened.database.lock:
                return action(opened.database)
        except Exception as error:  # noqa: BLE001 - a cache costs a warning, never a call
            self._failed(error, opened)
            return otherwise

    def _current(self) -> _Opened | None:
        """Return the open database, opening it if need be; None while the cache rests. Raises what opening raises."""
        opened, now = self._opened, time.monotonic()
        if opened is not None and now < self._look_at:
            return opened
        if opened is not None and opened.in_place():
            self._look_at = now + _LOOK_EVERY_S
            return opened
        if now < self._rest_until or not self._lock.acquire(timeout=_OPEN_WAIT_S):
            return None
        try:
            if self._opened is opened:  # else another thread was faster
                if opened is not None:
                    self._report(Fault.VANISHED)
                self._opened = None
                self._opened = self._open()
            return self._opened
        finally:
            self._lock.release()

    def _open(self) -> _Opened:
        try:
            return self._open_once()
        except Exception as error:
            if fault_of(error) is not Fault.CORRUPT:
                raise
            self._report(Fault.CORRUPT, error)
            _set_aside(self._directory)
            return self._open_once()

    def _open_once(self) -> _Opened:
        from llmrouter.store.disk import Database

        self._prepare_directory()
        database = Database(str(self._directory), size_limit=self._size_limit, timeout=self._timeout)
        found = os.stat(self._path)  # noqa: PTH116 - as `in_place`
        return _Opened(database, self._path, (found.st_dev, found.st_ino))

    def _prepare_directory(self) -> None:
        """Make the directory and the database file ours alone. A directory that holds other things is not changed."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            self._tighten_directory()
        # SQLite gives its journal files the mode of the database
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))

    def _tighten_directory(self) -> None:
        found = self._directory.stat()
        if found.st_uid == os.geteuid():
            names = {entry.name for entry in self._directory.iterdir()}
            if found.st_mode & 0o077 and (not names or _FILES[0] in names):
                self._directory.chmod(0o700)
                return
        if found.st_mode & 0o022 or found.st_uid not in (os.geteuid(), 0):
            self._warn("permissions", "others can write to the directory and so plant answers; give it a private one")

    def _failed(self, error: Exception, opened: _Opened | None) -> None:
        fault = fault_of(error)
        self._look_at = 0.0
        self._report(fault, error)
        if opened is not None:
            with suppress(Exception), opened.database.lock:
                opened.database.abandon_transaction()
        if opened is not None and fault in (Fault.LOCKED, Fault.FULL, Fault.FOREIGN):
            return  # it may pass, and reading may still work
        if opened is not None and fault is Fault.CORRUPT:
            with suppress(OSError):
                self._replace(opened)
                return
        if self._opened is opened:  # else another thread has opened it anew meanwhile
            self._opened = None
            self._rest_until = time.monotonic() + _REST_S

    def _replace(self, broken: _Opened) -> None:
        """Move a corrupt file aside, unless another thread or process has done so already. Raises OSError."""
        if not self._lock.acquire(timeout=_OPEN_WAIT_S):
            return
        try:
            if self._opened is broken:
                self._opened = None
                if broken.in_place():
                    _set_aside(self._directory)
        finally:
            self._lock.release()

    def _report(self, fault: Fault, error: Exception | None = None) -> None:
        detail = "" if error is None else f" ({type(error).__name__}: {error})"
        self._warn(fault, f"{fault.value}{detail}; the call goes on without it")

    def _warn(self, kind: Fault | str, text: str) -> None:
        now = time.monotonic()
        if now < self._warned.get(kind, 0.0):
            return
        self._warned[kind] = now + _WARN_EVERY_S
        logger.warning("cache {}: {}", self._directory, text)


def unpack(blob: bytes) -> Entry | None:
    """Read a stored blob; None when it is not in this version's form."""
    if len(blob) < _HEADER.size or not blob.startswith(_MAGIC):
        return None
    _, stored_at, fresh_until = _HEADER.unpack_from(blob)
    now = time.time()
    return Entry(blob[_HEADER.size :], max(0.0, now - stored_at), now < fresh_until)


def _set_aside(directory: Path) -> None:
    """Rename the database and its journal to `cache.db.corrupt-<time>`; only the latest such is kept."""
    _remove_asides(directory)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for name in _FILES:
        with suppress(FileNotFoundError):
            (directory / name).replace(directory / f"{_ASIDE}{stamp}{name.removeprefix(_FILES[0])}")


def _remove_asides(directory: Path) -> None:
    for old in directory.glob(f"{_ASIDE}*"):
        old.unlink(missing_ok=True)
