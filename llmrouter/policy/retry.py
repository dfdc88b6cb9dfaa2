"""When to ask the same target again: tenacity's wait and stop objects as the schedule, our pipeline as the waiter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from tenacity.stop import stop_after_attempt
from tenacity.wait import (
    wait_chain,
    wait_exponential,
    wait_fixed,
    wait_incrementing,
    wait_random,
    wait_random_exponential,
)

if TYPE_CHECKING:
    from tenacity import RetryCallState
    from tenacity.wait import wait_base


@dataclass(slots=True)
class _State:
    """The one fact of tenacity's call state that its wait and stop objects read."""

    attempt_number: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often, and how long apart, one rung is asked. `attempts` counts the first one too."""

    attempts: int
    wait: wait_base
    stop: stop_after_attempt
    longest: wait_base  # the same waits without jitter

    def longest_wait_s(self, attempt: int) -> float:
        """Return the longest that the schedule may wait after `attempt` (from 1), in seconds."""
        return self.longest(cast("RetryCallState", _State(attempt)))

    def delay_s(self, attempt: int, retry_after: float | None) -> float | None:
        """Return the seconds to wait after `attempt` (from 1) failed; None when it was the last.

        `retry_after`, the provider's own word in seconds, wins over the schedule.
        """
        state = cast("RetryCallState", _State(attempt))
        if self.stop(state):
            return None
        return self.wait(state) if retry_after is None else retry_after


def schedule(
    attempts: int = 3,
    backoff: Literal["exponential", "linear", "constant"] = "exponential",
    initial_s: float = 0.5,
    max_s: float = 20.0,
    jitter: Literal["full", "none"] = "full",
) -> Schedule:
    """Return the schedule of a `retry:` block.

    Attempt n waits initial * 2^(n-1) (exponential), initial * n (linear) or initial (constant), at most `max_s`; with
    full jitter it is a uniform share of that, from 0 (Brooker, "Exponential Backoff And Jitter", 2015).
    """
    wait = _wait(backoff, initial_s, max_s, full_jitter=jitter == "full")
    longest = _wait(backoff, initial_s, max_s, full_jitter=False)
    return Schedule(attempts, wait, stop_after_attempt(attempts), longest)


def _wait(backoff: str, initial_s: float, max_s: float, *, full_jitter: bool) -> wait_base:
    if backoff == "exponential":
        kind = wait_random_exponential if full_jitter else wait_exponential
        return kind(multiplier=initial_s, max=max_s)
    if backoff == "linear":
        if not full_jitter:
            return wait_incrementing(start=initial_s, increment=initial_s, max=max_s)
        return wait_chain(*(wait_random(0, min(initial_s * n, max_s)) for n in range(1, 65)))
    flat = min(initial_s, max_s)
    return wait_random(0, flat) if full_jitter else wait_fixed(flat)
