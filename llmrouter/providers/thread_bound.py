"""What bounds the call that runs in this thread: a time by which it must be over, and who may cut it short.

The pipeline sets it, and the blocking network backend keeps to it (`bounds.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final


class Interrupt:
    """Cuts short what one thread is blocked in, from another thread."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._wake: Callable[[], object] | None = None

    def ask(self) -> None:
        """Make the thread's current network operation, and every later one, fail at once."""
        self.asked.set()
        wake = self._wake
        if wake is not None:
            wake()

    def enter(self, wake: Callable[[], object]) -> bool:
        """Note how to wake the thread up from what it is about to block in; return whether it still may."""
        self._wake = wake
        return not self.asked.is_set()

    def leave(self) -> None:
        """Note that the thread is no longer blocked: its connection may serve somebody else next."""
        self._wake = None


class _Bound(threading.local):
    """Each thread sees its own: seconds on the monotonic clock, None for no end; and None where nobody interrupts."""

    until: float | None = None
    interrupt: Interrupt | None = None


bound: Final = _Bound()
