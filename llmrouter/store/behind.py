"""Answers on their way to the cache: kept in memory at once, written to disk or Redis by a thread of their own.

A commit costs as much as all of the router's other work on a call, and on an event loop it would hold up every other
call. What is not written yet is found all the same, in this process; other processes see it a moment later.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from llmrouter.store.cache import Entry, Write
from llmrouter.store.opening import AnswerCache

_GATHER_S: Final = 0.02  # from the first answer to its writing, so that answers which come together share a commit
_IDLE_S: Final = 0.5  # a thread without work ends after it
_MOST_BYTES: Final = 64 * 2**20  # that wait for a slow disk; beyond it, answers are not cached


class WriteBehind:
    """An `AnswerCache` whose writes cost the caller nothing. Shared by threads; each forked process has its own."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._begin()
        _writers.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._waiting: dict[str, Write] = {}
        self._bytes = 0
        self._afterwards: list[Callable[[], None]] = []
        self._lock = threading.Lock()  # guards the four above and the thread's life
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()

    def get(self, key: str) -> Entry | None:
        """Return the entry of `key`, or None; see `DiskCache.get`."""
        found = self._waiting.get(key)
        if found is None or self._pid != os.getpid():
            return self._cache.get(key)
        age_s = max(0.0, time.time() - found.at)
        return Entry(found.value, age_s, found.ttl_s is None or age_s < found.ttl_s)

    def set(
        self,
        key: str,
        value: bytes,
        ttl_s: float | None,
        stale_s: float = 0.0,
        afterwards: Callable[[], None] | None = None,
    ) -> None:
        """Have `value` stored: fresh for `ttl_s` seconds (None: for ever), kept for `stale_s` more.

        `afterwards` is called, by whatever thread, when other processes can see it, or when it will not be stored.
        """
        if self._pid != os.getpid():  # what waits here is the parent's to write, and so is the thread
            self._begin()
        with self._lock:
            before = self._waiting.get(key)
            size = self._bytes + len(value) - (len(before.value) if before is not None else 0)
            fits = size <= _MOST_BYTES
            if fits:
                self._bytes = size
                self._waiting[key] = Write(value, ttl_s, stale_s, time.time())
                if afterwards is not None:
                    self._afterwards.append(afterwards)
                if self._thread is None:
                    self._start()
        if not fits:
            if afterwards is not None:
                afterwards()
            return
        if not self._woken.is_set():
            self._woken.set()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="llmrouter-cache", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is on its way out, and `_flush_all` follows
            return
        self._thread = thread

    def _run(self) -> None:
        """Write what waits whenever woken; end when nothing has come for a while, so that nobody has to close us."""
        pause = threading.Event()
        while self._woken.wait(_IDLE_S) or not self._retired():
            pause.wait(_GATHER_S)
            self._woken.clear()  # before the batch is taken: what comes meanwhile wakes us again
            self.flush()

    def flush(self) -> None:
        """Write what waits, now."""
        with self._writing:
            with self._lock:
                batch, due, self._afterwards = dict(self._waiting), self._afterwards, []
            if not batch:
                return
            self._cache.set_all(batch)
            with self._lock:
                for key, written in batch.items():
                    if self._waiting.get(key) is written:
                        del self._waiting[key]
                self._bytes = sum(len(each.value) for each in self._waiting.values())
            for afterwards in due:  # still one at a time, so that `close` waits for them
                afterwards()

    def _retired(self) -> bool:
        """Let the thread end unless there is work again; return whether it may."""
        with self._lock:
            if self._waiting:
                return False
            self._thread = None
            return True

    def close(self) -> None:
        """Write what waits and close the cache. Using it again opens it again."""
        if self._pid == os.getpid():
            self.flush()
        self._cache.close()


_writers: Final[weakref.WeakSet[WriteBehind]] = weakref.WeakSet()


def _flush_all() -> None:
    for cache in list(_writers):
        cache.close()


atexit.register(_flush_all)
