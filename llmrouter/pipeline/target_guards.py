"""The guards of targets: breakers, limits and latencies, asked before each attempt and told what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from llmrouter.errors import LimitExceededError, LLMRouterError, RequestTimeoutError, StreamInterruptedError
from llmrouter.pipeline.guard import BusyError, NotSentError, Result, Settle
from llmrouter.policy.breaker import Admission, Blocked, Breaker, Circuit
from llmrouter.policy.limits import Limiter, Reservation, Scope

if TYPE_CHECKING:
    from llmrouter.pipeline.call import Call
    from llmrouter.pipeline.rung import Ready
    from llmrouter.policy.learned import Learned
    from llmrouter.policy.select import Latencies
    from llmrouter.tokens.counter import TokenCounter

USUAL_OUTPUT: Final = 1000  # tokens reserved for an answer that the caller does not bound; the rest is booked after it
_MOST_WAITING: Final = 4096


class BreakerGuard:
    """Leaves failing targets alone."""

    def __init__(self, breaker: Breaker, circuit: Callable[[Call, Ready], Circuit]) -> None:
        self._breaker, self._circuit = breaker, circuit

    def admit(self, call: Call, prepared: Ready, now: float, *, last_resort: bool) -> Settle | None:
        """See Guard. Raises CircuitOpenError; BusyError while the target has asked for time."""
        del now  # breakers are shared by processes, and so by the wall clock
        found = self._breaker.allow(self._circuit(call, prepared), time.time(), last_resort=last_resort)
        if isinstance(found, Blocked):
            raise BusyError(found.retry_after_s, found.error()) if found.rests else found.error()
        return partial(self._settle, found)

    def _settle(self, admission: Admission, result: Result) -> None:
        now, error = time.time(), result.error
        if error is None:
            self._breaker.succeeded(admission, now)
        elif isinstance(error, LLMRouterError):
            self._breaker.failed(admission, error, now)
        else:  # cancelled, never sent, or a fault of our own
            self._breaker.abandoned(admission, now)


class LimitGuard:
    """Keeps to the pace that the file sets, and to what providers say of their own limits."""

    def __init__(
        self, limiter: Limiter, learned: Learned, scope: Callable[[Call, Ready], Scope], counter: TokenCounter
    ) -> None:
        self._limiter, self._learned, self._scope, self._counter = limiter, learned, scope, counter
        self._waiting: dict[int, Reservation] = {}  # places in a queue, by the identity of what waits

    def admit(self, call: Call, prepared: Ready, now: float, *, last_resort: bool) -> Settle | None:
        """See Guard. Raises LimitExceededError where it never fits, else BusyError while there is no room."""
        del now  # limits are shared by processes, and so by the wall clock
        scope, wall, target = self._scope(call, prepared), time.time(), prepared.rung.target
        tokens = 1 if scope.tokens is None else self._tokens(prepared, scope.tokens)
        if not last_resort:  # what a provider said may be out of date; the last rung is asked all the same
            wait_s = self._learned.wait_s(target, tokens, wall)
            if wait_s > 0:
                refusal = LimitExceededError(f"{target} said that its own limit is full for another {wait_s:.1f}s")
                refusal.retry_after = wait_s
                raise BusyError(wait_s, refusal)
        reservation = self._reserve(call, prepared, scope, tokens, wall)
        self._learned.sent(target, tokens)
        return partial(self._settle, reservation, target)

    def _reserve(self, call: Call, prepared: Ready, scope: Scope, tokens: int, wall: float) -> Reservation:
        waiting = self._waiting.pop(id(prepared), None)
        if waiting is not None and (waiting.scope is not scope or waiting.tokens != tokens):
            waiting = None  # of something that gave up and had this address before
        found = self._limiter.reserve(scope, tokens, wall, patience_s=call.deadline_s, waiting=waiting)
        if found.granted:
            return found
        if not found.queued:
            raise found.error()
        if len(self._waiting) >= _MOST_WAITING:  # those who gave up; whoever still waits queues again
            self._waiting.clear()
        self._waiting[id(prepared)] = found
        raise BusyError(found.wait_s, found.error(), found.sleep_s, partial(self._leave, id(prepared)))

    def _leave(self, waiter: int) -> None:
        """Take whoever gave up out of the queue, where they would hold up the others for a second."""
        waiting = self._waiting.pop(waiter, None)
        if waiting is not None:
            self._limiter.cancel(waiting, time.time())

    def _settle(self, reservation: Reservation, target: str, result: Result) -> None:
        now, error = time.time(), result.error
        if result.headers is not None:
            self._learned.observe(target, result.headers, now)
        if isinstance(error, NotSentError):
            self._limiter.cancel(reservation, now)
        elif isinstance(error, RequestTimeoutError | StreamInterruptedError):
            self._limiter.settle(reservation, now, tokens=None)  # the provider may be at work on it still
        elif result.usage is not None:
            self._limiter.settle(reservation, now, tokens=result.usage.total_tokens)
        else:  # a refusal takes no tokens
            self._limiter.settle(reservation, now, tokens=None if error is None else 0)

    def _tokens(self, prepared: Ready, most: int) -> int:
        """Return the tokens to reserve: prompt and answer, but no more than a limit holds if the prompt fits it.

        An answer that only its model bounds is reserved as a usual one: the bound would leave room for nothing else.
        """
        prompt, bound = prepared.prompt_tokens(self._counter), prepared.output_bound()
        answer = USUAL_OUTPUT if bound is None or bound == prepared.rung.max_output else bound
        return max(prompt, min(prompt + answer, most))


class LatencyGuard:
    """Refuses nobody: takes the time of each attempt, for `strategy: fastest`."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies

    def admit(self, call: Call, prepared: Ready, now: float, *, last_resort: bool) -> Settle | None:
        """See Guard."""
        del last_resort
        if call.plan.strategy != "fastest":
            return None
        target = prepared.rung.target

        def settle(result: Result) -> None:
            ended = time.monotonic()
            if result.error is None:
                seconds = result.latency_s if result.latency_s is not None else ended - now
                self._latencies.answered(target, seconds, ended)
            elif isinstance(result.error, Exception):
                self._latencies.failed(target, ended - now, ended)

        return settle
