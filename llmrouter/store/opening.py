"""Which cache and which book a file names: those of this machine, or those that many machines share through Redis.

Shared state is opened by `store.state.open_state`. Nothing here touches disk or network.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from llmrouter import forks
from llmrouter.policy.breaker import concerns_all, united
from llmrouter.policy.leases import Leases, StateLeases
from llmrouter.policy.shared import Records, SharedState, key_of
from llmrouter.store import lease_file
from llmrouter.store.cache import CacheStats, DiskCache, Entry, Write
from llmrouter.store.spend import Book, SpendBook
from llmrouter.store.state import needing_redis
from llmrouter.store.state_partly import PartlyShared

BREAKER_SCOPE: Final = "LLMROUTER_BREAKER_SCOPE"

_made: Counter[str] = Counter()  # routers of this process, by the file that they read
_counting: Final = forks.lock()


class AnswerCache(Protocol):
    """Bytes by key, with an age. No method raises for the state of the store; see `store.cache.DiskCache`."""

    def get(self, key: str) -> Entry | None:
        """Return the entry of `key`, or None; an expired one that is kept is not `fresh`."""
        ...

    def set(self, key: str, value: bytes, ttl_s: float | None, stale_s: float = 0.0) -> bool:
        """Store `value`: fresh for `ttl_s` seconds (None: for ever), kept for `stale_s` more. Return whether it was."""
        ...

    def set_all(self, writes: Mapping[str, Write]) -> bool:
        """Store several values at once; return whether they were."""
        ...

    def delete(self, key: str) -> bool:
        """Remove the entry of `key`; return whether there was one."""
        ...

    def clear(self) -> int:
        """Remove every entry; return how many there were."""
        ...

    def prune(self) -> int:
        """Remove what is too old or too much; return how many."""
        ...

    def stats(self) -> CacheStats:
        """Return the cache's size and use."""
        ...

    def close(self) -> None:
        """Let go of files and connections; using the cache again opens them again."""
        ...


def is_redis(url: str | None) -> bool:
    """Whether a `state.url` is shared by many machines, so that cache and spend limits go there too."""
    return url is not None and not url.startswith("file:")


def open_cache(url: str | None, directory: Path, size_limit: int) -> AnswerCache:
    """Return the cache that goes with `state.url`; the one in `directory` serves alone, or while Redis is lost.

    Raises ConfigError for a URL that is none of Redis's, and when the package `redis` is not installed.
    """
    disk = DiskCache(directory, size_limit)
    if url is None or not is_redis(url):
        return disk
    with needing_redis():
        from llmrouter.store.cache_redis import RedisCache

        return RedisCache(url, disk)


def open_book(url: str | None, directory: Path) -> Book:
    """Return the book of spend limits that goes with `state.url`; the one in `directory` as above. Raises as above."""
    alone = SpendBook(directory)
    if url is None or not is_redis(url):
        return alone
    with needing_redis():
        from llmrouter.store.spend_redis import RedisSpendBook

        return RedisSpendBook(url, alone)


def open_circuits(local: SharedState, identity: str) -> Records:
    """Return the breakers of a router that reads the file `identity`, where `state.url` names no place for them.

    They are shared, through `local`, by the processes of this machine that read the same file and have the same
    $LLMROUTER_BREAKER_SCOPE: the first routers of that file in each process with one another, the second, and so on.
    Two routers of one process are apart, because somebody made a second one. A router that outlives its scope, as one
    that many tests use, goes on in the next one with breakers that are closed.
    """
    file = key_of("file", identity)
    with _counting:
        place = str(_made[file])
        _made[file] += 1

    def scope() -> str:
        return key_of("scope", file, place, os.environ.get(BREAKER_SCOPE))

    return PartlyShared(local, concerns_all, united, scope)


if hasattr(os, "register_at_fork"):  # a child makes its own first router
    os.register_at_fork(after_in_child=_made.clear)


def open_leases(directory: Path, local: SharedState, shared: SharedState | None) -> Leases:
    """Return the leases of all who use the same cache: in `shared`, if that cache is shared by many machines.

    Else they are those of this machine's processes: in `directory`, or in `local` where the system has no such locks.
    """
    if shared is not None:
        return StateLeases(shared)
    if not lease_file.supported():
        return StateLeases(local)
    return lease_file.FileLeases(directory)
