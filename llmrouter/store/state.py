"""Shared state: in memory, in a file for the processes of one machine, or in Redis for many machines.

The protocol is `policy.shared.SharedState`. Which one serves is decided once, by `open_state`; a file or a Redis that
is lost costs one warning, and until it is back each process goes on alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

from loguru import logger

from llmrouter import forks
from llmrouter.errors import ConfigError
from llmrouter.policy.shared import Record, SharedState, Step, Stepper
from llmrouter.store.lost import StateLostError
from llmrouter.store.state_beat import Heartbeat

T = TypeVar("T")

LEASE_S: Final = 10.0  # of concurrency slots and flights: a killed process holds them so long at most
BEAT_S: Final = 3.0  # living processes renew theirs this often
_WARN_EVERY_S: Final = 600.0
_SWEEP_AT_LEAST: Final = 1024
_SIGN: Final = "sign-of-life"  # the record that shows a backend to be back, and how long it is kept
_SIGN_S: Final = 1.0

# What a step may stumble over when a record was written by somebody else.
_UNREADABLE: Final = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError)


class MemoryState:
    """Records in this process alone, shared by its threads."""

    lease_s = math.inf

    def __init__(self) -> None:
        self._records: dict[str, tuple[Record, float]] = {}  # and until when it is kept
        self._sweep_at = _SWEEP_AT_LEAST
        self._lock = forks.lock()

    def change(self, keys: tuple[str, ...], step: Stepper[T], now: float) -> T:
        """See SharedState."""
        with self._lock:
            result, records, keep_s = step(tuple([self._get(key, now) for key in keys]), now)
            if records is not None:
                self._put(keys, records, now, keep_s)
            return result

    def read(self, key: str, step: Callable[[Record, float], T], now: float) -> T:
        """See SharedState."""
        return step(self._get(key, now), now)

    def hold(self, renew: Callable[[float], object]) -> object:
        """Do nothing: leases last as long as the process."""
        return renew

    def drop(self, held: object) -> None:
        """Do nothing, as `hold`."""

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _get(self, key: str, now: float) -> Record:
        found = self._records.get(key)
        return found[0] if found is not None and found[1] > now else None

    def _put(self, keys: tuple[str, ...], records: tuple[Record, ...], now: float, keep_s: float) -> None:
        until = now + keep_s
        for place, key in enumerate(keys):
            if records[place] is None:
                self._records.pop(key, None)
            else:
                self._records[key] = (records[place], until)
        if len(self._records) > self._sweep_at:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Forget what nobody needs any more; done so rarely that it costs each change nothing."""
        self._records = {key: found for key, found in self._records.items() if found[1] > now}
        self._sweep_at = max(_SWEEP_AT_LEAST, 2 * len(self._records))


class Backend(Protocol):
    """Where several processes keep records. Raises StateLostError, and nothing else, when it cannot."""

    name: str  # for warnings

    def change(self, keys: tuple[str, ...], step: Stepper[T], now: float) -> T:
        """See SharedState."""
        ...

    def read(self, key: str, step: Callable[[Record, float], T], now: float) -> T:
        """See SharedState."""
        ...

    def close(self) -> None:
        """Let go of files and connections; using the backend again opens them again."""
        ...


class BackedState:
    """Records in a backend; in memory while the backend is lost."""

    def __init__(self, backend: Backend, *, lease_s: float = LEASE_S, beat_s: float = BEAT_S) -> None:
        self.lease_s = lease_s
        self._backend = backend
        self._local = MemoryState()
        self._heartbeat = Heartbeat(beat_s)
        self._lost = False
        self._rest_until = 0.0  # on the monotonic clock: the wall clock is the caller's
        self._warn_at = 0.0

    def change(self, keys: tuple[str, ...], step: Stepper[T], now: float) -> T:
        """See SharedState."""
        readable = _forgiving(step)
        if self._reachable(now):
            try:
                return self._backend.change(keys, readable, now)
            except StateLostError as error:
                self._lose(error)
        return self._local.change(keys, readable, now)

    def read(self, key: str, step: Callable[[Record, float], T], now: float) -> T:
        """See SharedState."""
        if self._reachable(now):
            try:
                return _forgiving_read(step, key, self._backend, now)
            except StateLostError as error:
                self._lose(error)
        return self._local.read(key, step, now)

    def hold(self, renew: Callable[[float], object]) -> object:
        """See SharedState."""
        return self._heartbeat.add(renew)

    def drop(self, held: object) -> None:
        """See SharedState."""
        self._heartbeat.remove(held)

    def close(self) -> None:
        """See SharedState."""
        self._heartbeat.stop()
        self._backend.close()

    def _reachable(self, now: float) -> bool:
        """Whether to use the backend. A lost one is written to first: a full disk can be read all the same."""
        if not self._lost:
            return True
        if time.monotonic() < self._rest_until:
            return False
        try:
            self._backend.change((_SIGN,), lambda _records, _now: Step(None, (True,), _SIGN_S), now)
        except StateLostError as error:
            self._lose(error)
            return False
        self._found()
        return True

    def _lose(self, error: StateLostError) -> None:
        now = time.monotonic()
        self._lost, self._rest_until = True, now + error.rest_s
        if now < self._warn_at:
            return
        self._warn_at = now + _WARN_EVERY_S
        logger.warning("shared state {}: {}; this process goes on alone until it is back", self._backend.name, error)

    def _found(self) -> None:
        if not self._lost:
            return
        self._lost = False
        self._local = MemoryState()  # what was decided alone is of no use once the others are back
        logger.info("shared state {} is back", self._backend.name)


def _forgiving(step: Stepper[T]) -> Stepper[T]:
    """Return `step`, for which records that cannot be read do not exist."""

    def taken(records: tuple[Record, ...], now: float) -> Step[T]:
        try:
            return step(records, now)
        except _UNREADABLE:
            return step((None,) * len(records), now)

    return taken


def _forgiving_read(step: Callable[[Record, float], T], key: str, backend: Backend, now: float) -> T:
    def taken(record: Record, at: float) -> T:
        try:
            return step(record, at)
        except _UNREADABLE:
            return step(None, at)

    return backend.read(key, taken, now)


@contextmanager
def needing_redis() -> Iterator[None]:
    """Raise ConfigError where `state.url` is none of Redis's, or the package `redis` is not installed."""
    try:
        yield
    except ModuleNotFoundError:
        raise ConfigError("state.url needs the package redis: pip install 'llmrouter[redis]'") from None
    except ValueError:  # its message would show the URL, and with it a password
        raise ConfigError("state.url is not a Redis address, such as redis://localhost:6379/0") from None


def open_state(url: str | None, directory: Path | None) -> SharedState:
    """Return the state at `url`; without one, in a file in `directory`; without that, in memory.

    A URL is Redis's, or `file:` and a folder, for the processes of this machine; `file:` alone is `directory`.

    Touches neither disk nor network until it is used. Raises ConfigError for a URL that is none of Redis's, and when
    the package `redis` is not installed.
    """
    if url is not None and url.startswith("file:"):
        folder = url.removeprefix("file://").removeprefix("file:")
        directory, url = Path(folder) if folder else directory, None
    if url is not None:
        with needing_redis():
            from llmrouter.store.state_redis import RedisBackend

            return BackedState(RedisBackend(url))
    if directory is not None:
        from llmrouter.store.state_file import FileBackend

        return BackedState(FileBackend(directory))
    return MemoryState()
