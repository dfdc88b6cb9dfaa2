"""The cache of answers in Redis, for many machines; on disk while Redis is lost. It never costs a call.

Values are bytes with the same header as on disk, and nothing found there is ever executed. Redis drops what is too
old by itself, and what it has no room for as its `maxmemory-policy` says. Imports redis: see `store/opening.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from loguru import logger

from llmrouter.store.cache import CacheStats, DiskCache, Entry, Write, unpack
from llmrouter.store.redis_link import LostError, RedisLink

PREFIX: Final = "llmrouter:cache:1:"  # the number is the version of what is under it
_LARGEST_VALUE: Final = 8 * 2**20  # a larger one would hold up everybody else's
_AT_ONCE: Final = 500  # keys, where all are gone through
_WARN_EVERY_S: Final = 600.0


class RedisCache:
    """Bytes by key in the Redis at `url`, in `disk` while that is lost. Threads and forked processes may share it.

    Making one touches neither network nor disk. Raises ValueError for a URL that is not one of Redis's.
    """

    def __init__(self, url: str, disk: DiskCache) -> None:
        self._link = RedisLink(url, "cache", "answers are kept on this machine's disk")
        self._client, self._disk = self._link.client, disk
        self._hits = self._misses = 0
        self._warn_at = 0.0

    def get(self, key: str) -> Entry | None:
        """Return the entry of `key`, or None; see `DiskCache.get`."""
        try:
            blob: bytes | None = self._link.run(lambda: self._client.get(PREFIX + key))
        except LostError:
            return self._disk.get(key)
        entry = None if blob is None else unpack(blob)
        if entry is None:
            self._misses += 1
        else:
            self._hits += 1
        return entry

    def set(self, key: str, value: bytes, ttl_s: float | None, stale_s: float = 0.0) -> bool:
        """Store `value`; see `DiskCache.set`. Return whether it was."""
        return self.set_all({key: Write(value, ttl_s, stale_s, time.time())})

    def set_all(self, writes: Mapping[str, Write]) -> bool:
        """Store several values in one round trip. Return whether they were; when it returns, all machines see them."""
        kept = {key: write for key, write in writes.items() if self._keeps(write)}

        def store() -> bool:
            with self._client.pipeline(transaction=False) as pipeline:
                for key, write in kept.items():
                    pipeline.set(PREFIX + key, write.packed(), px=_milliseconds(write.kept_s))
                return all(pipeline.execute())

        try:
            return bool(kept) and self._link.run(store)
        except LostError:
            return self._disk.set_all(kept)

    def delete(self, key: str) -> bool:
        """Remove the entry of `key`; return whether there was one."""
        beside = self._disk.delete(key)
        try:
            return bool(self._link.run(lambda: self._client.delete(PREFIX + key))) or beside
        except LostError:
            return beside

    def clear(self) -> int:
        """Remove every entry, also those that an outage left on this machine's disk; return how many there were."""
        removed = self._disk.clear()
        try:
            for keys in self._keys():
                removed += int(self._link.run(partial(self._client.unlink, *keys)))
        except LostError:
            pass
        return removed

    def prune(self) -> int:
        """Remove what is too old from this machine's disk; return how many. Redis does so by itself."""
        return self._disk.prune()

    def stats(self) -> CacheStats:
        """Return the cache's size and use; those of the disk while Redis is lost."""
        entries = size = 0
        try:
            for keys in self._keys():
                entries += len(keys)
                size += sum(self._sizes(keys))
        except LostError:
            return self._disk.stats()
        return CacheStats(self._link.name, entries, size, None, self._hits, self._misses)

    def close(self) -> None:
        """Close the connections and the disk's. Using the cache again opens them again."""
        self._link.close()
        self._disk.close()

    def _keys(self) -> Iterator[list[bytes]]:
        """Give the keys of all entries, in portions. Raises LostError."""
        cursor, seen = 0, set[bytes]()
        while True:
            cursor, found = self._scanned(cursor)
            fresh = [key for key in dict.fromkeys(found) if key not in seen]  # Redis may name one twice
            seen.update(fresh)
            if fresh:
                yield fresh
            if not cursor:
                return

    def _scanned(self, cursor: int) -> tuple[int, list[bytes]]:
        found: tuple[int, list[bytes]] = self._link.run(
            lambda: self._client.scan(cursor, match=PREFIX + "*", count=_AT_ONCE)
        )
        return found

    def _sizes(self, keys: list[bytes]) -> list[int]:
        def measure() -> list[int]:
            with self._client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.strlen(key)
                return [int(size) for size in pipeline.execute()]

        return self._link.run(measure)

    def _keeps(self, write: Write) -> bool:
        if len(write.value) > _LARGEST_VALUE:
            self._warn_of_size(len(write.value))
            return False
        return write.kept_s is None or write.kept_s > 0

    def _warn_of_size(self, size: int) -> None:
        now = time.monotonic()
        if now < self._warn_at:
            return
        self._warn_at = now + _WARN_EVERY_S
        logger.warning(
            "cache in {}: an answer of {} bytes is not cached: the most is {}", self._link.name, size, _LARGEST_VALUE
        )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, int(seconds * 1000))
