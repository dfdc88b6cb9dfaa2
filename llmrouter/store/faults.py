"""What went wrong with a file of ours, told by codes and types, never by the text of a message."""

from __future__ import annotations

import enum
import errno
import sqlite3
from typing import Final


class ForeignEntryError(Exception):
    """A row that this library did not write: not plain bytes. It is never decoded."""


class Fault(enum.Enum):
    """A kind of trouble with a SQLite file; the value is how a warning puts it."""

    CORRUPT = "the database is corrupt"
    LOCKED = "the database is locked by somebody else"
    FULL = "the disk is full"
    READ_ONLY = "the directory cannot be written to"
    FOREIGN = "an entry was not written by llmrouter and is ignored"
    VANISHED = "the database was moved or deleted"
    UNUSABLE = "the database cannot be used"


_BY_SQLITE_CODE: Final = {
    sqlite3.SQLITE_CORRUPT: Fault.CORRUPT,
    sqlite3.SQLITE_NOTADB: Fault.CORRUPT,
    sqlite3.SQLITE_BUSY: Fault.LOCKED,
    sqlite3.SQLITE_LOCKED: Fault.LOCKED,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
}
_BY_ERRNO: Final = {
    errno.ENOSPC: Fault.FULL,
    errno.EDQUOT: Fault.FULL,
    errno.EFBIG: Fault.FULL,
    errno.EACCES: Fault.READ_ONLY,
    errno.EPERM: Fault.READ_ONLY,
    errno.EROFS: Fault.READ_ONLY,
}
_PRIMARY: Final = 0xFF  # SQLite's extended codes carry the primary one in their low byte


def fault_of(error: BaseException | None) -> Fault:
    """Return the kind of `error`, looking behind it: a failed rollback, or a timeout, hides the reason it came from."""
    seen = 0
    while error is not None and seen < 10:
        fault = _own_fault(error)
        if fault is not None:
            return fault
        error, seen = error.__cause__ or error.__context__, seen + 1
    return Fault.UNUSABLE


def _own_fault(error: BaseException) -> Fault | None:
    if isinstance(error, ForeignEntryError):
        return Fault.FOREIGN
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)  # absent on errors that Python's own layer raises
        if code == sqlite3.SQLITE_READONLY_DBMOVED:
            return Fault.VANISHED
        return _BY_SQLITE_CODE.get(code & _PRIMARY) if code is not None else None
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_ERRNO.get(error.errno)
    return None
