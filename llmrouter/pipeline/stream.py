"""A call whose answer is handed on while it comes.

`StreamCore` is a plain object with two coroutine methods, deliberately not an async generator: those are closed late,
by whoever happens to collect them. It opens at the first `next()`; until the first content the walk retries and falls
back as for a complete answer, after it `on_break` decides.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from llmrouter.errors import LLMRouterError, ProviderError, StreamInterruptedError
from llmrouter.pipeline.asking import Answer
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.chain import Walk
from llmrouter.pipeline.flight import Crashed, Flight, Gone, Landed
from llmrouter.pipeline.reading import Bound, Reading
from llmrouter.pipeline.rung import Prepared
from llmrouter.pipeline.runtime import END, End
from llmrouter.pipeline.unfinished import outcome_of_error
from llmrouter.policy.leases import Lease
from llmrouter.types import Done, Event, Reasoning, Response, Restart, Text, ToolCallDelta

if TYPE_CHECKING:
    from llmrouter.pipeline.pipeline import Pipeline

_REPLAY_CHARACTERS = 48  # the size of a piece when a stored answer is replayed as a stream


class StreamCore:
    """One streamed call. `next()` gives its events one by one, Done last, then END; `close()` may come at any time."""

    def __init__(self, pipeline: Pipeline, call: Call) -> None:
        self._pipeline = pipeline
        self._call = call
        self._walk: Walk[Prepared] | None = None
        self._reading: Reading | None = None
        self._leading: dict[str, tuple[Flight[Answer], Lease | None]] = {}  # one, or two while a hedge runs
        self._pending: deque[Event] = deque()
        self.response: Response[Any] | None = None
        self.ended = False
        self.handed_out = False  # whether text went to a reader from whom nothing can be taken back

    @property
    def opened(self) -> bool:
        """Whether anything has been asked of a provider yet."""
        return self._walk is not None

    async def next(self) -> Event | End:
        """Return the next event, END after the last. Raises what `Walk.run` raises, and nothing follows an error.

        StreamInterruptedError when the stream breaks after its first content and does not start again.
        """
        try:
            while not self._pending:
                if self.ended:
                    return END
                await self._advance()
        except BaseException as error:
            await self._fail(outcome_of_error(error), error)
            raise
        return self._pending.popleft()

    async def close(self) -> None:
        """Drop the stream: its connection is closed now, and what was received is booked."""
        await self._fail("abandoned", None)

    def abandon(self) -> None:
        """Close a stream that nobody holds any more."""
        self._pipeline.runtime.detach(self.close())

    async def _advance(self) -> None:
        if self._walk is None:
            self._walk = self._pipeline.walk(self._call)
            await self._open(self._walk)
        elif self._reading is not None:
            await self._read(self._walk, self._reading)

    async def _open(self, walk: Walk[Prepared]) -> None:
        """Walk the chain until a rung's first content is here, or a stored answer."""
        try:
            found = await walk.run(partial(self._rung, walk), self._discard)
        except LLMRouterError as error:
            found_stale = self._pipeline.stale(walk, error)
            if found_stale is None:
                raise
            found = found_stale
        if isinstance(found, Response):
            self._replay(found)
        else:
            self._reading = found
            self._pending.extend(found.first)

    async def _rung(self, walk: Walk[Prepared], prepared: Prepared) -> Reading | Response[Any]:
        pipeline = self._pipeline
        if prepared.key is not None:
            stored = pipeline.cached(walk, prepared) or await self._lead_or_follow(walk, prepared, prepared.key)
            if stored is not None:
                return stored
        try:
            return await walk.attempt(prepared, partial(pipeline.asking.open, walk))
        except Exception as error:
            self._land(prepared, Crashed(error))
            raise
        except BaseException:
            self._land(prepared, Gone())
            raise

    async def _lead_or_follow(self, walk: Walk[Prepared], prepared: Prepared, key: str) -> Response[Any] | None:
        """Return the complete answer of an identical call under way; None when this stream is to ask itself.

        A stream is only as fast as its reader, so nobody waits for a stream that they hold open themselves.
        """
        pipeline, owner = self._pipeline, walk.owner
        while True:
            leads, flight = pipeline.flights.join(key, owner)
            if leads:
                return await self._lead(walk, prepared, key, flight)
            if flight.owner == owner:
                return None
            answer = await pipeline.follow(walk, prepared, flight)
            if answer is not None:
                return pipeline.replayed(walk, prepared, answer, reason="shared")

    async def _lead(
        self, walk: Walk[Prepared], prepared: Prepared, key: str, flight: Flight[Answer]
    ) -> Response[Any] | None:
        """Return the answer that another process has just got; None when this stream is to ask, for all who follow."""
        self._leading[key] = flight, None
        try:
            found = await self._pipeline.lease_or_answer(walk, prepared, key)
        except BaseException:
            self._land(prepared, Gone())
            raise
        if isinstance(found, Answer):
            self._land(prepared, Landed(found))
            return self._pipeline.replayed(walk, prepared, found, reason="shared")
        self._leading[key] = flight, found
        return None

    async def _read(self, walk: Walk[Prepared], reading: Reading) -> None:
        """Read on: the next deltas, or the end; a break is handled as `on_break` says."""
        timeouts = reading.prepared.timeouts
        try:
            deltas = await reading.pull(Bound("total", reading.started + timeouts.total, timeouts.total), timeouts.idle)
            if deltas is not END:
                self._pending.extend(deltas)
                return
            received = reading.received()
        except LLMRouterError as error:
            await self._broken(walk, reading, error)
            return
        await self._pipeline.runtime.protect(reading.close())
        self._reading = None
        try:
            answer = self._pipeline.asking.accept(walk, reading.prepared, received, reading.admission)
        except LLMRouterError as error:  # whole, and of no use: not its schema, or cut where `on:` forbids it
            self._land(reading.prepared, Gone())
            if self._call.plan.on_break != "restart" or self.handed_out:
                raise
            await self._start_over(walk, reading, error, error)
            return
        self._remember(reading.prepared, answer)
        self._land(reading.prepared, Landed(answer))
        self._finish(self._pipeline.response(walk, reading.prepared, answer))

    async def _broken(self, walk: Walk[Prepared], reading: Reading, error: LLMRouterError) -> None:
        """Handle a stream that broke after its first content: raise, or start again on the next rung."""
        pipeline = self._pipeline
        await pipeline.runtime.protect(reading.close())
        pipeline.asking.abandon(walk, reading, "failed", error)
        self._reading = None
        self._land(reading.prepared, Gone())
        if self._call.plan.on_break != "restart":
            raise _interrupted(reading, error)
        if self.handed_out:
            raise _interrupted(reading, error, "; text was already handed out, read .events() to follow a restart")
        await self._start_over(walk, reading, error, _interrupted(reading, error))

    async def _start_over(
        self, walk: Walk[Prepared], reading: Reading, error: LLMRouterError, in_vain: LLMRouterError
    ) -> None:
        """Start again on the next rung and tell the reader; raise `in_vain` where there is none."""
        rung = reading.prepared.rung
        walk.failed(rung, error)
        if not walk.step():
            raise in_vain
        walk.restart_clock()
        await self._open(walk)
        target = self._reading.prepared.rung.target if self._reading is not None else rung.target
        self._pending.appendleft(Restart(target, error))

    def _replay(self, response: Response[Any]) -> None:
        """Hand on a stored answer in pieces."""
        if response.reasoning:
            self._pending.append(Reasoning(response.reasoning))
        text = response.content
        self._pending.extend(Text(text[i : i + _REPLAY_CHARACTERS]) for i in range(0, len(text), _REPLAY_CHARACTERS))
        self._pending.extend(
            ToolCallDelta(index, call.id, call.name, call.arguments_json)
            for index, call in enumerate(response.message.tool_calls)
        )
        self._finish(response)

    def _finish(self, response: Response[Any]) -> None:
        self.response = response
        self.ended = True
        self._pending.append(Done(response))
        if self._walk is not None:
            self._pipeline.answered(self._walk, response)

    def _land(self, prepared: Prepared, outcome: Landed[Answer] | Crashed | Gone) -> None:
        if prepared.key is not None and prepared.key in self._leading:
            flight, lease = self._leading.pop(prepared.key)
            self._pipeline.give_back(lease)
            self._pipeline.flights.land(prepared.key, flight, outcome)

    def _remember(self, prepared: Prepared, answer: Answer) -> None:
        """Write the answer to the cache, which takes over the lease on asking for it."""
        flight, lease = self._leading.get(prepared.key or "", (None, None))
        left = self._pipeline.remember(self._call, prepared, answer, lease)
        if flight is not None and prepared.key is not None:
            self._leading[prepared.key] = flight, left

    async def _discard(self, lost: Reading | Response[Any]) -> None:
        """Drop a stream, or an answer, whose rung lost the race of a hedge."""
        if isinstance(lost, Reading) and self._walk is not None:
            self._pipeline.asking.abandon(self._walk, lost, "cancelled")
            await self._pipeline.runtime.protect(lost.close())
            self._land(lost.prepared, Gone())

    async def _fail(self, outcome: str, error: BaseException | None) -> None:
        """End the stream before its end: close, book what was received, let followers go on."""
        self._pending.clear()
        if self.ended:
            return
        self.ended = True
        reading, self._reading = self._reading, None
        try:
            if reading is not None and self._walk is not None:
                self._pipeline.asking.abandon(self._walk, reading, outcome, error)
                await self._pipeline.runtime.protect(reading.close())
        finally:  # closing may be cancelled once more: some cancel until they are obeyed
            self._let_go()
            if self._walk is not None:
                self._pipeline.unanswered(self._walk, outcome, error)

    def _let_go(self) -> None:
        """Let those who follow this stream's flights go on."""
        while self._leading:
            key, (flight, lease) = self._leading.popitem()
            self._pipeline.give_back(lease)
            self._pipeline.flights.land(key, flight, Gone())


def _interrupted(reading: Reading, error: LLMRouterError, advice: str = "") -> LLMRouterError:
    """Return a broken stream's error; whatever broke it, the text received until then is in `partial`."""
    if isinstance(error, StreamInterruptedError):
        return error
    words = error.message if isinstance(error, ProviderError) else str(error)
    interrupted = StreamInterruptedError(f"the stream broke: {words}{advice}", target=reading.prepared.rung.target)
    interrupted.partial = reading.partial
    interrupted.__cause__ = error
    return interrupted
