"""Leases among the processes of one machine: a locked byte of a file for each name.

Taking one and giving it back is a system call of a microsecond each, and the system frees what a process held at the
moment it dies. The locks belong to an open file description (fcntl(2), "open file description locks", Linux 3.15), not
to the process, so that a second router in the same process is somebody else.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loguru import logger

from llmrouter import forks
from llmrouter.policy.leases import Lease

FILE: Final = "leases.lock"
_LOCK, _UNLOCK = 1, 2  # F_WRLCK and F_UNLCK
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid


def supported() -> bool:
    """Whether this system has such locks, laid out as we know them."""
    return sys.platform == "linux" and sys.maxsize > 2**32


class FileLeases:
    """Leases in `directory`/leases.lock. Threads may share it; a forked process holds nothing of its parent's.

    Where the file cannot be used, that costs one warning, and whoever asks gets the lease.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(os.path.abspath(Path(directory).expanduser()))  # noqa: PTH100 - touches no disk
        self._lock = forks.lock()  # guards all below
        self._descriptor = -1
        self._held: dict[str, _FileLease] = {}
        self._warned = False
        _all.add(self)

    def take(self, key: str, now: float) -> Lease | None:
        """See Leases."""
        del now  # a lock does not lapse
        with self._lock:
            if key in self._held:
                return None
            try:
                if not self._locked(key):
                    return None
            except OSError as error:
                self._warn(error)
            lease = self._held[key] = _FileLease(self, key)
            return lease

    def free(self, lease: _FileLease) -> None:
        """Let go of what `take` gave, unless that was lost meanwhile."""
        with self._lock:
            if self._held.get(lease.key) is lease:
                del self._held[lease.key]
                if self._descriptor >= 0:  # else there was no file to lock
                    with suppress(OSError):  # the file was lost, and the lock with it
                        self._fcntl(lease.key, _UNLOCK)

    def close(self) -> None:
        """Close the file, unless something is still held. Using the leases again opens it again."""
        with self._lock:
            if not self._held:
                self._close()

    def __del__(self) -> None:
        self._close()

    def forget(self) -> None:
        """Hold nothing, in a forked process: what is held is the parent's."""
        self._held.clear()
        self._close()

    def _locked(self, key: str) -> bool:
        self._open()
        try:
            self._fcntl(key, _LOCK)
        except BlockingIOError:
            return False
        return True

    def _open(self) -> None:
        """Open the file, anew if somebody has deleted it. Raises OSError."""
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink:
            return
        self._close()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._directory / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _fcntl(self, key: str, kind: int) -> None:
        import fcntl

        start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, start, 1, 0))

    def _warn(self, error: OSError) -> None:
        if self._warned:
            return
        self._warned = True
        logger.warning(
            "{}: {}; identical questions of several processes are each asked", self._directory / FILE, error.strerror
        )


@dataclass(frozen=True, slots=True, eq=False)
class _FileLease:
    leases: FileLeases
    key: str

    def give_back(self, now: float) -> None:
        del now
        self.leases.free(self)


_all: Final[weakref.WeakSet[FileLeases]] = weakref.WeakSet()


def _in_child() -> None:
    for leases in list(_all):
        leases.forget()  # at once: an open description keeps its locks, even when the parent is killed


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
