"""Locks that a forked child finds free.

A child has one thread, the one that forked. A lock that another thread held at that moment stays locked in the child
for ever, and so do the locks inside a library like SQLite. So a fork first takes every lock made here, which waits
until nobody is in the middle of what they guard, and lets go of them afterwards, in the parent and in the child.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Final, TypeAlias, TypeVar

_PATIENCE_S: Final = 1.0  # a fork is not held up for longer, and then has to do without what it could not take

_Lock: TypeAlias = "threading.Lock | threading.RLock"

L = TypeVar("L", bound=_Lock)

_locks: Final[weakref.WeakSet[_Lock]] = weakref.WeakSet()
_registry: Final = threading.Lock()  # guards `_locks`; held from before a fork until after it
_held: Final[list[_Lock]] = []  # by the thread that forks
_forking = 0  # its identifier


def lock() -> threading.Lock:
    """Return a new lock which no fork finds held by a thread that the child does not have."""
    return _registered(threading.Lock())


def rlock() -> threading.RLock:
    """Return a new lock like `lock`, which the thread that holds it may take again."""
    return _registered(threading.RLock())


def _registered(made: L) -> L:
    with _registry:
        _locks.add(made)
    return made


def _before_fork() -> None:
    global _forking  # noqa: PLW0603 - a fact about the process
    if not _registry.acquire(timeout=_PATIENCE_S):
        return
    _forking = threading.get_ident()
    _take(list(_locks), time.monotonic() + _PATIENCE_S)


def _take(locks: list[_Lock], until: float) -> None:
    """Take all of them, or, when the time is over, those that are free.

    It waits for one lock at a time and holds no other meanwhile: threads take several, in orders of their own.
    """
    awaited: _Lock | None = None
    while True:
        left_s = max(0.0, until - time.monotonic())
        if awaited is not None and awaited.acquire(timeout=left_s):
            _held.append(awaited)
        missed = [each for each in locks if each is not awaited and not _taken(each)]
        if not missed or not left_s:
            return
        _let_go()
        awaited = missed[0]


def _taken(lock: _Lock) -> bool:
    free = lock.acquire(blocking=False)
    if free:
        _held.append(lock)
    return free


def _let_go() -> None:
    while _held:
        _held.pop().release()


def _after_fork() -> None:
    global _forking  # noqa: PLW0603 - as above
    if _forking == threading.get_ident():  # else this thread gave up waiting for another one's fork
        _forking = 0
        _let_go()
        _registry.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
