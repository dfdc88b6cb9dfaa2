"""What callers share, be they threads, processes or machines: small records, changed by pure functions.

A breaker, a limit, a lease are each one record under a key. Whoever decides something gives the store a pure step from
the records to the new ones; the store makes it atomic, in memory, in a file or in Redis. So each decision is written
once, and tested without any store.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from itertools import count
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

Record: TypeAlias = Any
"""JSON data, None where there is none. A step must not change the records that it is given."""


class Step(NamedTuple, Generic[T]):
    """What a step came to: its `result`, and the `records` to keep, in the order of the keys.

    `records` None leaves everything as it is; a None among them removes that record. `keep_s` is how many seconds the
    records are worth keeping if nobody changes them again.
    """

    result: T
    records: tuple[Record, ...] | None = None
    keep_s: float = 0.0


Stepper: TypeAlias = Callable[[tuple[Record, ...], float], Step[T]]


class Records(Protocol):
    """Keeps records. Nothing here raises for the state of the store: what is lost costs a warning, and goes on locally.

    Times are seconds of the wall clock (`time.time()`), which all processes share; a store with a clock of its own
    hands its step that clock's time instead of `now`. So a step must return durations, never times.
    """

    def change(self, keys: tuple[str, ...], step: Stepper[T], now: float) -> T:
        """Take `step` over the records of `keys`, all at once and alone, and return its result.

        The step is pure: it may be taken several times until one of them counts.
        """
        ...

    def read(self, key: str, step: Callable[[Record, float], T], now: float) -> T:
        """Return `step` of one record as it is, without changing it: cheaper than `change`."""
        ...


class SharedState(Records, Protocol):
    """Records that others may change as well, and leases on some of them."""

    lease_s: float
    """How long a lease lasts that nobody renews: what a killed process can hold up. Infinite where nothing outlives
    the process."""

    def hold(self, renew: Callable[[float], object]) -> object:
        """Have `renew(now)` called every few seconds, on a thread of the store's, until `drop`; return what to drop."""
        ...

    def drop(self, held: object) -> None:
        """Stop renewing."""
        ...

    def close(self) -> None:
        """Let go of files and connections; using the state again opens them again."""
        ...


def key_of(kind: str, *parts: str | bytes | None) -> str:
    """Return a short key for whatever `parts` describe, such as `breaker-1f0c…`.

    Name everything that tells one endpoint from another (kind, base URL, model), because the file serves every
    program of its user.
    """
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"-" if raw is None else b"%d:%s" % (len(raw), raw))
    return f"{kind}-{digest.hexdigest()[:20]}"


_COUNTED: Final = count(1)
_process = ""


def new_owner() -> str:
    """Return an id that nobody else has, in this process or any other."""
    return f"{_process}{next(_COUNTED):x}"


def _draw() -> None:
    global _process  # noqa: PLW0603 - one per process, drawn anew in a forked one
    _process = f"{random.SystemRandom().getrandbits(48):012x}-"


_draw()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_draw)
