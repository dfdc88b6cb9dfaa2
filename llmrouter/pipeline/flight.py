"""Single flight: identical calls that run at the same time make one request.

A leader asks; followers wait for its outcome. One `concurrent.futures.Future` per key serves threads and tasks alike.
"""

from __future__ import annotations

import copy
import os
import threading
import weakref
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """The leader's answer."""

    value: T


@dataclass(frozen=True, slots=True)
class Crashed:
    """The leader's error. Stored as a value: an exception in a future complains when nobody fetches it."""

    error: Exception

    def reraise(self) -> None:
        """Raise a copy, so that many followers do not pile their frames onto one traceback."""
        raise copy.copy(self.error) from self.error


@dataclass(frozen=True, slots=True)
class Gone:
    """The leader was cancelled, or may not share its answer: a follower has to ask itself."""


Outcome: TypeAlias = Landed[T] | Crashed | Gone


@dataclass(frozen=True, slots=True)
class Flight(Generic[T]):
    """One request under way, and who leads it."""

    future: Future[Outcome[T]]
    owner: object


class Flights(Generic[T]):
    """The requests under way in one router, by cache key."""

    def __init__(self) -> None:
        self.forget()
        _forgetful.add(self)

    def forget(self) -> None:
        """Know of no flight: after a fork, those under way are led by threads that only the parent has."""
        self._lock = threading.Lock()
        self._pending: dict[str, Flight[T]] = {}

    def join(self, key: str, owner: object) -> tuple[bool, Flight[T]]:
        """Return whether the caller leads, and the flight it leads or follows."""
        with self._lock:
            found = self._pending.get(key)
            if found is not None:
                return False, found
            flight: Flight[T] = Flight(Future(), owner)
            flight.future.set_running_or_notify_cancel()  # from here on a follower cannot cancel it
            self._pending[key] = flight
            return True, flight

    def land(self, key: str, flight: Flight[T], outcome: Outcome[T]) -> None:
        """Publish the leader's outcome and end the flight; only the first outcome counts."""
        with self._lock:
            if self._pending.get(key) is flight:
                del self._pending[key]
        if not flight.future.done():
            flight.future.set_result(outcome)


_forgetful: Final[weakref.WeakSet[Flights[Any]]] = weakref.WeakSet()


def _after_fork() -> None:
    for flights in list(_forgetful):
        flights.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
