"""The corridor: each rung's cache, single flight and attempts, for answers that come whole.

Written once for both worlds; every wait goes through the Runtime.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmrouter.errors import (
    AllTargetsFailedError,
    CacheMissError,
    DeadlineExceededError,
    LLMRouterError,
)
from llmrouter.pipeline.asking import Answer, Asking
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.chain import Walk
from llmrouter.pipeline.connections import Connections
from llmrouter.pipeline.flight import Crashed, Flight, Flights, Gone, Landed
from llmrouter.pipeline.guard import Guard
from llmrouter.pipeline.observer import Ended, Observer, Operation, Recorder, outcome_of
from llmrouter.pipeline.rung import Prepared, prepare
from llmrouter.pipeline.runtime import Runtime
from llmrouter.pipeline.settle import Books, judge
from llmrouter.pipeline.traffic import Traffic
from llmrouter.pipeline.unfinished import outcome_of_error
from llmrouter.policy.leases import POLL_S, Lease
from llmrouter.store import codec
from llmrouter.types import Attempt, Completion, Response, Usage

if TYPE_CHECKING:
    from llmrouter.store.behind import WriteBehind
    from llmrouter.tokens.counter import TokenCounter


class Pipeline:
    """Everything that the calls of one router share."""

    def __init__(self, runtime: Runtime, cache: WriteBehind, counter: TokenCounter, traffic: Traffic) -> None:
        self.runtime = runtime
        self.traffic = traffic
        self.connections = Connections(runtime)
        self.cache = cache
        self.counter = counter
        self.books = Books(counter)
        self.asking = Asking(runtime, self.connections, self.books)
        self.flights: Flights[Answer] = Flights()
        self.observers: tuple[Observer, ...] = ()
        self.recorder: Recorder | None = None
        self.closing: tuple[Callable[[], None], ...] = ()  # of what else holds files or a port
        self.guards: tuple[Guard, ...] = traffic.guards

    async def chat(self, call: Call) -> Response[Any]:
        """Return the answer of the first rung that gives one, or an expired one that may stand in for a spent chain.

        Raises what `Walk.run` raises.
        """
        walk = self.walk(call)
        try:
            response = await walk.run(partial(self._rung, walk), _nothing_to_drop)
        except LLMRouterError as error:
            stale = self.stale(walk, error)
            if stale is None:
                self.unanswered(walk, "failed", error)
                raise
            response = stale
        except BaseException as error:
            self.unanswered(walk, outcome_of_error(error), error)
            raise
        if len(response.attempts) < len(walk.attempts):  # what lost a race was booked after the answer had come
            response = replace(response, attempts=tuple(walk.attempts))
        self.answered(walk, response)
        return response

    def walk(self, call: Call) -> Walk[Prepared]:
        """Return a walk down the call's chain, its clock started."""
        ready = partial(prepare, call, counter=self.counter)
        if call.plan.hedge is not None:
            call.plan.hedge.called()
        return Walk(self.runtime, call, ready, self.guards, self.traffic.order(call), recorder=self.recorder)

    def answered(self, walk: Walk[Any], response: Response[Any], operation: Operation = "chat") -> None:
        """Tell the observers of a call that has its answer."""
        walk.report()
        end = Ended(walk.call, outcome_of(response), walk.attempts, response.latency_s, response, operation=operation)
        for observer in self.observers:
            observer.ended(end)

    def unanswered(
        self, walk: Walk[Any], outcome: str, error: BaseException | None, operation: Operation = "chat"
    ) -> None:
        """Tell the observers of a call that ended without an answer."""
        walk.report()
        seconds = time.monotonic() - walk.started
        end = Ended(walk.call, outcome, walk.attempts, seconds, error=error, operation=operation)
        for observer in self.observers:
            observer.ended(end)

    async def _rung(self, walk: Walk[Prepared], prepared: Prepared) -> Response[Any]:
        if prepared.key is None:
            answer = await walk.attempt(prepared, partial(self.asking.once, walk))
            return self.response(walk, prepared, answer)
        found = self.cached(walk, prepared)
        if found is not None:
            return found
        return await self._lead_or_follow(walk, prepared, prepared.key)

    async def _lead_or_follow(self, walk: Walk[Prepared], prepared: Prepared, key: str) -> Response[Any]:
        """Ask, if no identical call of this router is under way; else wait for that call, and take its answer."""
        owner = walk.owner
        while True:
            leads, flight = self.flights.join(key, owner)
            if leads:
                return await self._lead(walk, prepared, key, flight)
            if flight.owner == owner:  # a stream that the caller holds open: nobody waits for themselves
                answer = await walk.attempt(prepared, partial(self.asking.once, walk))
                return self.response(walk, prepared, answer)
            outcome = await self.follow(walk, prepared, flight)
            if outcome is not None:
                return self.replayed(walk, prepared, outcome, reason="shared")

    async def follow(self, walk: Walk[Prepared], prepared: Prepared, flight: Flight[Answer]) -> Answer | None:
        """Return the leader's answer; None when this call has to ask itself. Raises a copy of the leader's error."""
        limit_s = walk.limit_s(prepared)
        try:
            outcome = await self.runtime.wait(flight.future, within=limit_s)
        except TimeoutError:
            raise DeadlineExceededError(
                f"an identical call under way had no answer within {limit_s:.3g}s", walk.attempts
            ) from None
        if isinstance(outcome, Crashed):
            outcome.reraise()
        return outcome.value if isinstance(outcome, Landed) else None

    async def _lead(self, walk: Walk[Prepared], prepared: Prepared, key: str, flight: Flight[Answer]) -> Response[Any]:
        lease: Lease | None = None
        try:
            found = await self.lease_or_answer(walk, prepared, key)
            if isinstance(found, Answer):
                self.flights.land(key, flight, Landed(found))
                return self.replayed(walk, prepared, found, reason="shared")
            lease = found
            answer = await walk.attempt(prepared, partial(self.asking.once, walk))
            lease = self.remember(walk.call, prepared, answer, lease)
        except Exception as error:
            self.flights.land(key, flight, Crashed(error))
            raise
        except BaseException:  # cancelled or interrupted: a follower takes over
            self.flights.land(key, flight, Gone())
            raise
        finally:
            self.give_back(lease)
        self.flights.land(key, flight, Landed(answer))
        return self.response(walk, prepared, answer)

    async def lease_or_answer(self, walk: Walk[Prepared], prepared: Prepared, key: str) -> Answer | Lease | None:
        """Wait until no other process asks the same: return the lease on asking, or the answer that the other one got.

        That answer comes through the cache. None: the other process took longer than this call may wait, which then
        asks beside it, without a lease.
        """
        if walk.call.options.cache == "refresh":
            return None
        name, until = f"flight-{key}", time.monotonic() + walk.limit_s(prepared)
        while (lease := self.traffic.leases.take(name, time.time())) is None and time.monotonic() < until:
            await self.runtime.sleep(POLL_S)
        try:  # the other process, if there was one, wrote its answer before it gave the lease back
            answer = self._fresh(walk.call, prepared)
        except BaseException:
            self.give_back(lease)
            raise
        if answer is None:
            return lease
        self.give_back(lease)
        return answer

    @staticmethod
    def give_back(lease: Lease | None) -> None:
        """Let other processes ask again."""
        if lease is not None:
            lease.give_back(time.time())

    def cached(self, walk: Walk[Prepared], prepared: Prepared) -> Response[Any] | None:
        """Return the answer from this rung's own entry, or None. Raises CacheMissError at the end of `cache="only"`."""
        mode = walk.call.options.cache
        if mode == "refresh" or prepared.key is None:
            return None
        answer = self._fresh(walk.call, prepared)
        if answer is not None:
            return self.replayed(walk, prepared, answer)
        if mode == "only":
            raise CacheMissError(f"no answer of {prepared.rung.target} in the cache for this request")
        return None

    def _fresh(self, call: Call, prepared: Prepared) -> Answer | None:
        entry = self.cache.get(prepared.key) if prepared.key is not None else None
        completion = codec.load(entry.value) if entry is not None and entry.fresh else None
        return None if completion is None else self._stored(call, completion)

    def remember(self, call: Call, prepared: Prepared, answer: Answer, lease: Lease | None = None) -> Lease | None:
        """Write an answer to the cache, unless it is of a kind that is not cached.

        `lease` is given back once other processes can read the answer, and None returned. Where nothing is written,
        `lease` itself is returned: the caller gives it back.
        """
        if prepared.key is None or call.cache is None or answer.completion.finish_reason not in ("stop", "tool_calls"):
            return lease
        try:
            value = codec.dump(replace(answer.completion, usage=answer.usage))
        except (TypeError, ValueError):  # the provider's raw body holds something that is not JSON
            return lease
        afterwards = None if lease is None else partial(self.give_back, lease)
        self.cache.set(prepared.key, value, call.cache.ttl_s, call.cache.stale_if_error_s, afterwards)
        return None

    def stale(self, walk: Walk[Prepared], error: LLMRouterError) -> Response[Any] | None:
        """Return an expired answer that may stand in for a spent chain, the first rung's first; else None."""
        spent = walk.spent_chain or isinstance(error, AllTargetsFailedError | DeadlineExceededError)
        policy = walk.call.cache
        if not spent or policy is None or not policy.stale_if_error_s:
            return None
        for prepared in walk.prepared:
            entry = self.cache.get(prepared.key) if prepared.key is not None else None
            completion = codec.load(entry.value) if entry is not None else None
            answer = None if completion is None else self._stored(walk.call, completion)
            if answer is not None:
                return self.replayed(walk, prepared, answer, reason="stale")
        return None

    @staticmethod
    def _stored(call: Call, completion: Completion) -> Answer | None:
        """Return a stored completion as an answer; None when it no longer stands (the schema's model changed)."""
        try:
            parsed = judge(call, completion)
        except LLMRouterError:
            return None
        return Answer(completion, parsed, completion.usage or Usage(estimated=True), 0.0)

    @staticmethod
    def response(
        walk: Walk[Prepared], prepared: Prepared, answer: Answer, *, cached: bool = False, stale: bool = False
    ) -> Response[Any]:
        """Return the Response of a call that got `answer` from `prepared`'s rung; `cached`: at no cost of its own."""
        completion = answer.completion
        return Response(
            content=completion.message.text,
            message=completion.message,
            finish_reason=completion.finish_reason,
            provider_finish_reason=completion.provider_finish_reason,
            model=completion.model,
            target=prepared.rung.target,
            route=walk.call.plan.name,
            usage=answer.usage,
            cost_usd=0.0 if cached else answer.cost_usd,
            latency_s=time.monotonic() - walk.started,
            parsed=answer.parsed,
            reasoning=completion.reasoning,
            cached=cached,
            stale=stale,
            attempts=tuple(walk.attempts),
            request_id=completion.request_id,
            logprobs=completion.logprobs,
            trimmed=prepared.trim,
            raw=completion.raw,
        )

    def replayed(
        self, walk: Walk[Prepared], prepared: Prepared, answer: Answer, *, reason: str | None = None
    ) -> Response[Any]:
        """Return the Response of an answer that cost nothing; `reason` says where it came from, as in Attempt."""
        target = prepared.rung.target
        walk.attempts.append(Attempt(target, "cached", reason=reason, usage=answer.usage, cost_nano=0))
        return self.response(walk, prepared, answer, cached=True, stale=reason == "stale")

    async def close(self) -> None:
        """Close the clients and write what was learned."""
        await self.connections.close()
        self.counter.factors.flush()
        self.cache.close()  # before the traffic: the last answer written gives its lease back
        self.traffic.close()
        for close in self.closing:
            await self.runtime.offload(close)


async def _nothing_to_drop(_lost: Response[Any]) -> None:
    """A whole answer that lost a race holds nothing; it is booked already."""
