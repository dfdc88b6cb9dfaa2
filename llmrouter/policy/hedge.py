"""Hedging: the next rung is started beside a slow one, for a bounded share of all calls."""

from __future__ import annotations

from typing import Final

from llmrouter import forks

BURST: Final = 5.0  # the most hedges that quiet times can save up for a slow one


class Hedge:
    """One route's hedging: after `after_s` seconds without an answer, for at most the share `max_extra` of its calls.

    Hedges <= max(1, `max_extra` x calls): the first slow call may always be hedged. Threads may share it.
    """

    def __init__(self, after_s: float, max_extra: float = 0.05) -> None:
        self.after_s = after_s
        self.calls = 0
        self.hedges = 0
        self._share = max_extra
        self._saved = 0.0
        self._lock = forks.lock()

    def called(self) -> None:
        """Count a call, when it starts."""
        with self._lock:
            self.calls += 1
            self._saved = min(BURST, self._saved + self._share)

    def may_start(self) -> bool:
        """Count a hedge if there is room for one more; return whether there is."""
        with self._lock:
            first = not self.hedges and self._share > 0
            if not first and self._saved < 1 - 1e-9:  # twenty times 5 % is a little less than one
                return False
            self._saved -= 1
            self.hedges += 1
            return True
