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

_TURN_S: Final = 0.05  # for a lock whose holder may be waiting for another one
_PATIENCE_S: Final = 2.0  # a fork is not held up for longer, and then has to do without what it could not take

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

    What is taken is kept while the next is waited for: otherwise busy threads would never all be out at one time.
    Where a thread holds one lock and waits for another that is taken here, nothing is gained by waiting: all are let
    go of, and that thread's lock comes first the next time.
    """
    turn_s = _TURN_S
    while locks:
        held_up = next((each for each in locks if not _taken(each, until, turn_s)), None)
        if held_up is None:
            return
        if time.monotonic() >= until:
            break
        _let_go()
        turn_s *= 2  # on a crowded machine a thread may need so long to get to the end of what it does
        locks = [held_up, *(each for each in locks if each is not held_up)]
    for each in locks:
        if not any(each is held for held in _held):
            _taken(each, until, 0.0)


def _taken(lock: _Lock, until: float, turn_s: float) -> bool:
    left_s = max(0.0, until - time.monotonic())
    taken = lock.acquire(timeout=min(left_s, turn_s) if _held else left_s)
    if taken:
        _held.append(lock)
    return taken


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
