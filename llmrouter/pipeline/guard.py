"""Leave to make an attempt: what breaker, limits and spend have in common.

Each guard is asked right before a request is sent, and told afterwards what came of it. A guard decides in memory or in
a small store and never waits; where waiting helps it says how long, and the walk waits if that fits the deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from llmrouter.errors import LLMRouterError
from llmrouter.frozen import quickly_made
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.rung import Ready
from llmrouter.types import Usage


@quickly_made
@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to.

    `error` None: it succeeded. `usage` and `cost_nano` (nano-USD) None: nothing was billed, or the price is unknown
    (then `usage` tells). `headers` are the response's, None when there was no response. `latency_s` is the
    time to the whole answer, or to a stream's first content; None when nothing came.
    """

    error: BaseException | None = None
    usage: Usage | None = None
    cost_nano: int | None = None
    headers: Mapping[str, str] | None = None
    latency_s: float | None = None


Settle: TypeAlias = Callable[[Result], None]


class BusyError(Exception):
    """Not now: after `wait_s` seconds it may go. `refusal` is raised where that is too long.

    `sleep_s` is when to ask again, earlier where a place in a queue has to be kept; None: after `wait_s`. Whoever does
    not ask again calls `leave`, which gives that place up; more than once is fine.
    """

    def __init__(
        self,
        wait_s: float,
        refusal: LLMRouterError,
        sleep_s: float | None = None,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(wait_s)
        self.wait_s, self.refusal, self.leave = wait_s, refusal, leave
        self.sleep_s = wait_s if sleep_s is None else sleep_s


class Guard(Protocol):
    """One reason why an attempt may not be made now."""

    def admit(self, call: Call, prepared: Ready, now: float, *, last_resort: bool) -> Settle | None:
        """Give leave for one attempt, and return what is to be called with its result (None: nothing).

        `now` is on the monotonic clock; `last_resort` says that the chain has no other rung to ask. Raises an
        LLMRouterError to refuse, or BusyError. Nothing may be held when it raises.
        """
        ...


class Admission:
    """Leave to make one attempt. `settle` may be called again; only the first time counts.

    `settled` tells whether it was called, which is whether the attempt is over.
    """

    __slots__ = ("_parts", "settled")

    def __init__(self, parts: Sequence[Settle] = ()) -> None:
        self._parts = tuple(parts)
        self.settled = False

    def settle(self, result: Result) -> None:
        """Tell every guard what the attempt came to."""
        parts, self._parts = self._parts, ()
        self.settled = True
        for part in parts:
            part(result)


def admit(guards: Sequence[Guard], call: Call, prepared: Ready, *, last_resort: bool) -> Admission:
    """Ask all guards; when one refuses, those that had agreed take it back. Raises what the refusing guard raises."""
    parts: list[Settle] = []
    now = time.monotonic()
    try:
        for guard in guards:
            part = guard.admit(call, prepared, now, last_resort=last_resort)
            if part is not None:
                parts.append(part)
    except BaseException as error:
        Admission(parts).settle(Result(NotSentError(error)))
        raise
    return Admission(parts)


class NotSentError(Exception):
    """The attempt was never made: another guard refused it. Nobody's failure."""

    def __init__(self, refusal: BaseException) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
