"""Hedging: the next rung is started beside a slow one, for a bounded share of all calls."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

BURST: Final = 5.0  # the most hedges that quiet times can save up for a slow one


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """Start the next rung after `after_s` seconds without an answer, for at most the share `max_extra` of calls."""

    after_s: float
    max_extra: float = 0.05


class Extra:
    """Counts one route's calls and hedges: hedges <= max(1, `max_extra` x calls). Threads may share it."""

    def __init__(self, max_extra: float) -> None:
        self._share = max_extra
        self._lock = threading.Lock()
        self._saved = 0.0
        self.calls = 0
        self.hedges = 0

    def call(self) -> None:
        """Count a call, when it starts."""
        with self._lock:
            self.calls += 1
            self._saved = min(BURST, self._saved + self._share)

    def hedge(self) -> bool:
        """Count a hedge if one more is within bounds; return whether it is. The first one always is."""
        with self._lock:
            first = not self.hedges and self._share > 0
            if not first and self._saved < 1 - 1e-9:  # twenty times 5 % is a little less than one
                return False
            self._saved -= 1
            self.hedges += 1
            return True
