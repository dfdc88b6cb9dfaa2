"""The heartbeat: renews what this process holds in a shared store, so that leases can be short.

One daemon thread, which starts with the first thing held and ends when nothing has been held for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable


class Heartbeat:
    """Calls each `renew(now)` every `period_s` seconds. Threads may share it; a forked process starts with none."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._held: dict[object, Callable[[float], object]] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def add(self, renew: Callable[[float], object]) -> object:
        """Renew from now on, the first time after one period; return what `remove` takes."""
        if os.getpid() != self._pid:  # the parent renews what the parent holds, and its thread is not here
            self._reset()
        held = object()
        with self._lock:
            self._held[held] = renew
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="llmrouter-leases", daemon=True
                )
                self._thread.start()
        return held

    def remove(self, held: object) -> None:
        """Renew no more; a second removal is ignored."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._held.pop(held, None)

    def stop(self) -> None:
        """End the thread. What is held stays listed, and is renewed again after the next `add`."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._period_s):
            with self._lock:
                if stop.is_set():
                    return
                if not self._held:
                    self._thread = None
                    return
                renewals = list(self._held.values())
            for renew in renewals:
                renew(time.time())
