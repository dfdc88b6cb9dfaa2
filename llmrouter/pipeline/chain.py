"""One call's way down its chain: which rung is next, how often it is asked, and what stops the walk."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final, Generic, TypeVar

from loguru import logger

from llmrouter.columns import columns
from llmrouter.errors import (
    AllTargetsFailedError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    CacheMissError,
    CircuitOpenError,
    ContextLengthError,
    DeadlineExceededError,
    LimitExceededError,
    LLMRouterError,
    ProviderError,
    RateLimitError,
    ServerError,
    UnsupportedError,
)
from llmrouter.pipeline import playback
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.guard import Admission, BusyError, Guard, Result, admit
from llmrouter.pipeline.observer import Key, Recorder, UnderWay
from llmrouter.pipeline.plan import RungPlan
from llmrouter.pipeline.rung import Ready, lacking
from llmrouter.pipeline.runtime import Runtime
from llmrouter.policy.deadline import SHORTEST_ATTEMPT_S, Deadline
from llmrouter.policy.shared import new_owner
from llmrouter.types import Attempt, Usage

T = TypeVar("T")
_SPILL_AFTER_S: Final = 2.0  # the longest wait for room at a target that is not the last
_SAMPLERS: Final = frozenset({"temperature", "top_p", "seed"})


ReadyT = TypeVar("ReadyT", bound=Ready)


class Walk(Generic[ReadyT]):
    """One call on its way down its chain: where it stands, how long it may take, and the `attempts` so far.

    `prepare` makes a rung ready: fits and encodes what it is asked. `guards` give leave for each attempt, `order` is
    the order of the rungs (None: the file's), and `recorder` is told of attempts, when they begin and when they end.
    `run` may be called again to go on after a broken stream. Attempts that succeed are added by whoever makes them,
    because a stream knows its usage only at its end.
    """

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        prepare: Callable[[RungPlan], ReadyT],
        guards: Sequence[Guard] = (),
        order: Sequence[int] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._runtime, self._prepare = runtime, prepare
        self._guards = () if playback.replaying() else tuple(guards)  # nothing is asked, so nothing is learned
        self._recorder, self._reporting = recorder, threading.Lock()
        self._id = "" if recorder is None else new_owner()
        self._reported, self._numbers = 0, count()
        self._under_way: list[tuple[Key, Admission]] = []  # requests whose end the recorder does not know of yet
        self.call = call
        self.owner = runtime.owner()  # who made the call: rungs that race have a task or thread of their own
        self.started = time.monotonic()
        self.deadline = Deadline(self.started + call.deadline_s)
        self.attempts: list[Attempt] = []
        self.prepared: list[ReadyT] = []  # every rung that was reached, for entries that may stand in for an error
        self.first_error: LLMRouterError | None = None
        self.spent_chain = False  # whether every rung was tried and none is left
        self.rungs = call.plan.rungs if order is None else tuple(call.plan.rungs[index] for index in order)
        self._lacking = [lacking(call, rung) for rung in self.rungs]
        self._position = 0
        self._wait_before_s = 0.0  # how long was waited before the attempt that is recorded next
        self._hedge = call.plan.hedge
        self._too_small: int | None = None  # a window that was too small for the prompt, in tokens

    async def run(
        self,
        ask: Callable[[ReadyT], Coroutine[Any, Any, T]],
        discard: Callable[[T], Coroutine[Any, Any, None]] | None = None,
    ) -> T:
        """Return what `ask` makes of the first rung where it succeeds.

        `discard` drops a result that lost a race between two rungs; None: the route's hedge is not used. Raises
        AllTargetsFailedError when every rung failed (with one rung alone, that rung's own error), the error that the
        route's `on:` says to stop at, AuthenticationError or UnsupportedError when no rung can be asked at all, and
        DeadlineExceededError when the call's time is over.
        """
        if all(self._lacking):
            raise self._none_usable()
        while self._position < len(self.rungs):
            position, rung = self._position, self.rungs[self._position]
            reason = self._lacking[position] or self._outgrown(rung)
            if reason is not None:
                self.attempts.append(Attempt(rung.target, "skipped", reason=reason))
            else:
                try:
                    return await self._ask(position, ask, discard)
                except LLMRouterError as error:
                    self.failed(rung, error)
            self._position += 1
        self.spent_chain = True
        raise self._spent()

    async def _ask(
        self,
        position: int,
        ask: Callable[[ReadyT], Coroutine[Any, Any, T]],
        discard: Callable[[T], Coroutine[Any, Any, None]] | None,
    ) -> T:
        """Ask one rung; where the route hedges, the next one too when the first is slow."""
        ready, hedge = self._made_ready(self.rungs[position]), self._hedge
        rival = None if hedge is None else self._rival(position)
        if hedge is None or rival is None or discard is None:
            return await self._asked(ready, ask)
        return await self._runtime.race(
            lambda: self._asked(ready, ask),
            lambda: self._ask_rival(rival, ask),
            after_s=hedge.after_s,
            discard=discard,
        )

    async def _ask_rival(self, position: int, ask: Callable[[ReadyT], Coroutine[Any, Any, T]]) -> T:
        """Ask the rung at `position` beside a slow one; when it fails, it is not asked again."""
        if self._hedge is None or not self._hedge.may_start():
            raise LimitExceededError("the route's share of hedged calls is used up")
        rung = self.rungs[position]
        self._lacking[position] = "it was already asked beside the rung before it"
        try:
            return await self._asked(self._made_ready(rung), ask)
        except LLMRouterError as error:
            if not any(attempt.error is error for attempt in self.attempts):
                self._record(rung, error)
            raise

    async def _asked(self, ready: ReadyT, ask: Callable[[ReadyT], Coroutine[Any, Any, T]]) -> T:
        """Ask a rung; when its model turns out not to take a sampling parameter, ask again without it."""
        try:
            return await ask(ready)
        except BadRequestError as error:
            if not self._leave_out(ready.rung, error.refused_param):
                raise
        return await ask(self._made_ready(ready.rung))

    def _leave_out(self, rung: RungPlan, param: str | None) -> bool:
        """Remember that the rung's model does not take `param`; return whether the request is worth another try.

        Which models take samplers changes from release to release, faster than any list of ours; the answer without
        one is what the caller wanted, and the log says that it was left out.
        """
        if param not in _SAMPLERS or param in rung.refused or getattr(self.call.params(rung), param) is None:
            return False
        rung.refused.add(param)
        logger.warning(
            "{} {} | does not take {}, which is left out from now on", self.call.plan.name, rung.target, param
        )
        return True

    def _rival(self, position: int) -> int | None:
        """Return the place of the rung that may be asked beside the one at `position`; None: there is no other."""
        later = range(position + 1, len(self.rungs))
        return next((index for index in later if self._lacking[index] is None), None)

    def _made_ready(self, rung: RungPlan) -> ReadyT:
        ready = self._prepare(rung)
        self.prepared.append(ready)
        return ready

    def restart_clock(self) -> None:
        """Give the call its whole deadline again, for a stream that starts anew: it runs to the first token."""
        self.deadline = Deadline(time.monotonic() + self.call.deadline_s)

    def failed(self, rung: RungPlan, error: LLMRouterError) -> None:
        """Take note of the error that ended `rung`; raise it where it ends the walk."""
        if self.first_error is None:
            self.first_error = error
        if not any(attempt.error is error for attempt in self.attempts):
            self._record(rung, error)
        if isinstance(error, ContextLengthError):
            self._too_small = max(self._too_small or 0, error.max_tokens or rung.window or 0) or None
        if self.call.plan.actions.of(error, on_fallback=self._position > 0) == "stop":
            raise error

    def step(self) -> bool:
        """Go on to the rung after the current one; return whether there is one that may be asked."""
        self._position += 1
        return any(reason is None for reason in self._lacking[self._position :])

    async def attempt(self, ready: ReadyT, once: Callable[[ReadyT, float, Admission], Awaitable[T]]) -> T:
        """Return what `once(ready, limit in seconds, admission)` returns, asked as often as the rung's schedule says.

        `once` settles the admission when it succeeds, because only it knows what the answer cost.
        """
        rung, number = ready.rung, 0
        while True:
            number += 1
            admission = await self.admitted(ready)
            started, seen = time.monotonic(), len(self.attempts)
            try:
                result = await once(ready, self.limit_s(ready), admission)
            except LLMRouterError as error:
                admission.settle(Result(error))
                if not any(each.error is error for each in self.attempts[seen:]):  # `once` had nothing to record
                    self._record(rung, error, time.monotonic() - started)
                self.report()  # not only at the end: the process may be killed before the next attempt is over
                wait_s = self._wait_s(rung, error, number)
                if wait_s is None:
                    raise
                self._wait_before_s = wait_s
            except BaseException as error:
                admission.settle(Result(error))
                raise
            else:
                return result
            if wait_s > 0:
                await self._runtime.sleep(wait_s)

    async def admitted(self, ready: ReadyT) -> Admission:
        """Return leave for one attempt, waited for where that fits. Raises what a guard refuses with."""
        busy: BusyError | None = None
        try:
            while True:
                try:
                    return admit(self._guards, self.call, ready, last_resort=self._is_last_resort(ready))
                except BusyError as error:
                    busy = error
                if busy.wait_s + SHORTEST_ATTEMPT_S > self._patience_s(ready):
                    raise busy.refusal from None
                await self._runtime.sleep(busy.sleep_s)
        except BaseException:
            if busy is not None:
                busy.leave()
            raise

    def _is_last_resort(self, ready: Ready) -> bool:
        return self._rungs_left() <= 1 and ready.rung is self.rungs[self._position]  # a hedge is nobody's last hope

    def _patience_s(self, ready: Ready) -> float:
        """Return how long this attempt may wait for leave; not long while another rung is idle."""
        share_s = self.deadline.share_s(time.monotonic(), self._rungs_left())
        return share_s if self._is_last_resort(ready) else min(share_s, _SPILL_AFTER_S)

    def sent(self, ready: Ready, admission: Admission, usage: Callable[[], Usage]) -> None:
        """Tell the recorder of a request that goes out now; `usage` estimates what it costs at least."""
        if self._recorder is None or playback.replaying():  # nothing is paid
            return
        key = self._id, next(self._numbers)
        self._under_way.append((key, admission))
        self._recorder.sent(UnderWay(key, self.call, ready.rung.target, time.monotonic(), usage))

    def report(self) -> None:
        """Tell the recorder of the attempts that are over and that it does not know of yet."""
        if self._recorder is None or playback.replaying():  # nothing was paid
            return
        with self._reporting:  # two rungs that race have a thread each
            first, done = self._reported, self.attempts[self._reported :]
            self._reported += len(done)
            ended = [each for each in self._under_way if each[1].settled]
            for each in ended:
                self._under_way.remove(each)
        if done or ended:
            self._recorder.record(self.call, self._id, first, done, [key for key, _ in ended])

    def limit_s(self, prepared: Ready) -> float:
        """Return the seconds that an attempt which starts now may take. Raises DeadlineExceededError."""
        now = time.monotonic()
        limit_s = self.deadline.attempt_s(now, prepared.timeouts.attempt, self._rungs_left())
        if limit_s is None:
            raise self.late()
        return limit_s

    def late(self, during: str = "") -> DeadlineExceededError:
        """Return the error of a call whose time is over; `during` says what took it."""
        passed = f"the deadline of {self.call.deadline_s:g}s passed on route {self.call.plan.name!r}"
        return DeadlineExceededError(f"{passed}{during and ' ' + during}\n{self._table()}", self.attempts)

    def _record(self, rung: RungPlan, error: LLMRouterError, seconds: float = 0.0) -> None:
        if isinstance(error, UnsupportedError | CircuitOpenError | LimitExceededError | BudgetExceededError):
            self.attempts.append(Attempt(rung.target, "skipped", reason=str(error)))
            return
        request_id = error.request_id if isinstance(error, ProviderError) else None
        self.add(Attempt(rung.target, "failed", error, seconds=seconds, request_id=request_id))

    def add(self, attempt: Attempt) -> None:
        """Record an attempt, with the wait before it."""
        waited_s, self._wait_before_s = self._wait_before_s, 0.0
        self.attempts.append(replace(attempt, waited_s=waited_s) if waited_s else attempt)

    def _wait_s(self, rung: RungPlan, error: LLMRouterError, number: int) -> float | None:
        """Return how long to wait before this rung is asked again; None: it is not asked again."""
        if self.call.plan.actions.of(error, on_fallback=self._position > 0) != "retry":
            return None
        asked_s = error.retry_after if isinstance(error, RateLimitError | ServerError) else None
        wait_s = rung.schedule.delay_s(number, asked_s)
        if wait_s is None:
            return None
        share_s = self.deadline.share_s(time.monotonic(), self._rungs_left())
        return wait_s if wait_s + SHORTEST_ATTEMPT_S <= share_s else None

    def _rungs_left(self) -> int:
        return self._lacking[self._position :].count(None)

    def _outgrown(self, rung: RungPlan) -> str | None:
        if self._too_small is None or rung.window is None or rung.window > self._too_small:
            return None
        return f"its window of {rung.window} tokens is no larger than the one that was too small"

    def _none_usable(self) -> LLMRouterError:
        """Return the error of a chain in which no rung can be asked at all."""
        rungs = self.rungs
        self.attempts = [
            Attempt(rung.target, "skipped", reason=reason) for rung, reason in zip(rungs, self._lacking, strict=True)
        ]
        reasons = "; ".join(f"{attempt.target}: {attempt.reason}" for attempt in self.attempts)
        if any(rung.unusable for rung in rungs):
            return AuthenticationError(f"no target of route {self.call.plan.name!r} can be asked: {reasons}")
        if "embeddings" in self.call.needs:
            reasons += "; use an embedding model, such as openai/text-embedding-3-small or google/gemini-embedding-001"
        return UnsupportedError(f"no target of route {self.call.plan.name!r} can take this request: {reasons}")

    def _spent(self) -> LLMRouterError:
        """Return the error of a chain that has no rung left."""
        alone = len(self.call.plan.rungs) == 1 or isinstance(self.first_error, CacheMissError)
        if alone and self.first_error is not None:
            return self.first_error
        name = self.call.plan.name
        error = AllTargetsFailedError(f"every target of route {name!r} failed\n{self._table()}", self.attempts)
        error.__cause__ = self.first_error
        return error

    def _table(self) -> str:
        """Return the attempts as the text table that errors show."""
        rows = [("target", "error", "seconds", "waited")]
        for each in self.attempts:
            error = each.reason if each.error is None else f"{type(each.error).__name__}: {_said(each.error)}"
            rows.append((each.target, f"{each.outcome}: {error}", f"{each.seconds:.2f}", f"{each.waited_s:.2f}"))
        return "\n".join(f"  {line}" for line in columns(rows))


def _said(error: BaseException) -> str:
    text = error.message if isinstance(error, ProviderError) else str(error)
    line = " ".join(text.split())
    status = f" ({error.status})" if isinstance(error, ProviderError) and error.status is not None else ""
    return (line if len(line) <= 100 else line[:99] + "…") + status
