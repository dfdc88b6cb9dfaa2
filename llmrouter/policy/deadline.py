"""One deadline per call, shared by its waits, retries and rungs. Times are seconds on the monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHORTEST_ATTEMPT_S: Final = 0.02  # less than this is no chance for an answer, only load for the provider


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time by which the whole call must be over."""

    until: float

    def remaining_s(self, now: float) -> float:
        """Return the seconds left, 0 when it has passed."""
        return max(0.0, self.until - now)

    def share_s(self, now: float, rungs_left: int) -> float:
        """Return what one rung may use when `rungs_left` (itself included) are still to be served."""
        return self.remaining_s(now) / max(1, rungs_left)

    def attempt_s(self, now: float, attempt_limit_s: float, rungs_left: int) -> float | None:
        """Return the limit of an attempt that starts now, or None when it could not finish in time."""
        limit = min(attempt_limit_s, self.share_s(now, rungs_left))
        return limit if limit >= SHORTEST_ATTEMPT_S else None
