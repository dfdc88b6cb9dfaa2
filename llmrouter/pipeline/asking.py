"""One attempt: encode ▸ SDK ▸ decode, judged, priced and recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from llmrouter.errors import LLMRouterError, OutputInvalidError
from llmrouter.frozen import quickly_made
from llmrouter.pipeline import playback
from llmrouter.pipeline.chain import Walk
from llmrouter.pipeline.connections import Connections
from llmrouter.pipeline.guard import Admission, Result
from llmrouter.pipeline.halves import whole
from llmrouter.pipeline.plan import RungPlan
from llmrouter.pipeline.reading import Bound, Reading, Received
from llmrouter.pipeline.rung import Prepared, Ready, as_ours, raise_as_ours, read
from llmrouter.pipeline.runtime import END, Runtime
from llmrouter.pipeline.settle import Books, judge, usd_of
from llmrouter.pipeline.unfinished import Sent, outcome_of_error, reported
from llmrouter.policy.deadline import SHORTEST_ATTEMPT_S
from llmrouter.types import Attempt, Completion, Message, Usage


@quickly_made
@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that stands: judged and priced. `cost_usd` None: the price is unknown."""

    completion: Completion
    parsed: Any
    usage: Usage
    cost_usd: float | None


class Asking:
    """Makes attempts; shared by all calls of one router."""

    def __init__(self, runtime: Runtime, connections: Connections, books: Books) -> None:
        self._runtime, self._connections, self._books = runtime, connections, books

    async def once(self, walk: Walk[Prepared], prepared: Prepared, limit_s: float, admission: Admission) -> Answer:
        """Ask for a complete answer; one that fails its schema is asked for once more, with the validator's words."""
        received = await self._complete(walk, prepared, limit_s, admission)
        try:
            return self.accept(walk, prepared, received, admission)
        except OutputInvalidError as error:
            if received.completion.finish_reason == "length":  # the same question would be cut at the same place
                raise
            again = _asked_again(prepared, received.completion, error)
        admission = await walk.admitted(again)
        try:
            received = await self._complete(walk, again, walk.limit_s(prepared), admission)
        except BaseException as error:
            admission.settle(Result(error))
            raise
        return self.accept(walk, again, received, admission)

    def accept(self, walk: Walk[Prepared], prepared: Prepared, received: Received, admission: Admission) -> Answer:
        """Price and record what came back, which was billed either way; raise where the answer does not stand."""
        completion = received.completion
        usage = self._books.usage(prepared, completion)
        cost_nano = self._books.charge(prepared.rung, usage)
        latency_s = received.seconds if received.latency_s is None else received.latency_s
        admission.settle(Result(None, usage, cost_nano, received.headers, latency_s))
        record = Attempt(
            prepared.rung.target,
            "ok",
            seconds=received.seconds,
            usage=usage,
            cost_nano=cost_nano,
            request_id=completion.request_id,
        )
        try:
            parsed = judge(walk.call, completion)
        except LLMRouterError as error:
            as_ours(prepared.rung, error, "", None)
            walk.add(replace(record, outcome="failed", error=error))
            raise
        walk.add(record)
        return Answer(completion, parsed, usage, usd_of(cost_nano))

    def abandon(self, walk: Walk[Prepared], reading: Reading, outcome: str, error: BaseException | None = None) -> None:
        """Price and record a stream that did not reach its end: what was reported, else what was counted."""
        sent = Sent(walk, reading.prepared, reading.admission, reading.started)
        sent.over(self._books, outcome, error, reading.usage_so_far(), reading.partial)

    async def open(self, walk: Walk[Prepared], prepared: Prepared, limit_s: float, admission: Admission) -> Reading:
        """Open a stream and read until its first content, which is where the call commits to it."""
        timeouts = prepared.timeouts
        limit, within = (
            ("first_token", timeouts.first_token) if timeouts.first_token <= limit_s else ("attempt", limit_s)
        )
        client, left_s = await self.client(walk, prepared.rung, within)
        sent, reading = self.sent(walk, prepared, admission), None
        try:
            try:
                wire = await self._runtime.call(client.open, prepared.wire(left_s, stream=True), within=left_s)
            except Exception as error:  # noqa: BLE001 - re-raised, in our terms where we know it
                raise_as_ours(prepared.rung, error, limit, within)
            sent.answering = True
            reading = Reading(self._runtime, prepared, wire, admission)
            first = await reading.pull(Bound(limit, sent.started + left_s, within))
            if first is END:  # it may be whole without a word, such as a refusal; if it is not, this raises
                reading.received()
            else:
                reading.first = first
            reading.latency_s = time.monotonic() - sent.started
        except BaseException as error:  # booked first: closing may be cancelled once more
            sent.failed(self._books, error, None if reading is None else reading.usage_so_far())
            if reading is not None:
                await self._runtime.protect(reading.close())
            raise
        return reading

    def sent(self, walk: Walk[Any], ready: Ready, admission: Admission) -> Sent:
        """Take note of a request that goes out now."""
        walk.sent(ready, admission, partial(self._books.at_least, ready))
        return Sent(walk, ready, admission, time.monotonic())

    async def client(self, walk: Walk[Any], rung: RungPlan, within: float) -> tuple[Any, float]:
        """Return the provider's client, and what is left of `within` seconds when it is open.

        The first call imports an SDK, which takes a second: half of the limit stays for the provider all the same,
        unless the call's deadline comes before. Raises DeadlineExceededError when that passes meanwhile.
        """
        call, plan = walk.call, walk.call.plan
        playback.note(plan.name, rung.target, call.options)
        opened = self._connections.opened(rung.provider)
        if opened is not None and plan.warmed:
            return opened, within
        began = time.monotonic()
        try:
            client = await self._connections.client(rung.provider, within=walk.deadline.remaining_s(began))
        except TimeoutError:
            raise walk.late(f"while the SDK of {rung.provider.settings.name!r} was imported") from None
        now = time.monotonic()
        left_s = max(within / 2, within - (now - began))
        if not plan.warmed:  # only now: two imports at once would slow down the one that is needed first
            plan.warmed.append(True)
            self._connections.warm(each.provider for each in plan.rungs if each.unusable is None)
        return client, min(left_s, max(SHORTEST_ATTEMPT_S, walk.deadline.remaining_s(now)))

    async def _complete(
        self, walk: Walk[Prepared], prepared: Prepared, limit_s: float, admission: Admission
    ) -> Received:
        if prepared.timeouts.watched:
            return await self._watched(walk, prepared, limit_s, admission)
        client, left_s = await self.client(walk, prepared.rung, limit_s)
        sent, reply = self.sent(walk, prepared, admission), None
        try:
            try:
                reply = await self._runtime.call(client.send, prepared.wire(left_s, stream=False), within=left_s)
            except Exception as error:  # noqa: BLE001 - re-raised, in our terms where we know it
                raise_as_ours(prepared.rung, error, "attempt", limit_s)
            completion = whole(read(prepared.rung, prepared.rung.provider.codec.decode, reply))
        except BaseException as error:
            sent.failed(self._books, error, reported(prepared.rung, reply))
            raise
        return Received(completion, reply.headers, time.monotonic() - sent.started)

    async def _watched(
        self, walk: Walk[Prepared], prepared: Prepared, limit_s: float, admission: Admission
    ) -> Received:
        """Stream underneath a complete answer, so that the first-token and idle limits hold for it."""
        bound = Bound("attempt", time.monotonic() + limit_s, limit_s)
        reading = await self.open(walk, prepared, limit_s, admission)
        try:
            while await reading.pull(bound, prepared.timeouts.idle) is not END:
                pass
            return reading.received()
        except BaseException as error:
            self.abandon(walk, reading, outcome_of_error(error), error)
            raise
        finally:
            await self._runtime.protect(reading.close())


def _asked_again(prepared: Prepared, completion: Completion, error: OutputInvalidError) -> Prepared:
    from llmrouter.schema import reask

    turns = (completion.message, Message("user", reask(error.problems)))
    request = replace(prepared.request, messages=(*prepared.request.messages, *turns))
    body = prepared.rung.provider.codec.encode(request)
    return replace(prepared, request=request, body=body, measured=None)
