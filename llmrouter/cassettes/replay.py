"""Plays a recorded answer: in its pieces, at once or as slowly as it came, whole or with a fault in it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any, Final

import httpx2

from llmrouter.cassettes.fault import Fault
from llmrouter.cassettes.recording import NO_RESPONSE
from llmrouter.pipeline.runtime import AsyncioRuntime, BlockingRuntime, drive
from llmrouter.providers.thread_bound import bound

_EVENT: Final = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)", re.DOTALL)
_FOREVER_S: Final = 3600.0  # what a stall without any limit lasts
_CUT: Final = "the connection broke before the answer was complete"


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next, after how many seconds: a piece of the body, or an error. A stall lasts until the limit."""

    seconds: float
    what: bytes | httpx2.TransportError


class Replay:
    """One recorded answer on its way to an SDK. `read_s` is the request's own limit between two pieces."""

    def __init__(self, recorded: Mapping[str, Any], fault: Fault | None, *, realtime: bool, read_s: float | None):
        self._recorded, self._fault, self._realtime, self._read_s = recorded, fault, realtime, read_s
        self._timing: Mapping[str, Any] = recorded.get("timing") or {}
        self._steps = self._plan()

    def response(self) -> httpx2.Response:
        """Return the response for a blocking client. Raises what was recorded in a response's place."""
        self.wait(self._first_s())
        return self._response()

    async def aresponse(self) -> httpx2.Response:
        """Return the response for an asynchronous client. Raises what was recorded in a response's place."""
        await self.await_(self._first_s())
        return self._response()

    def wait(self, seconds: float) -> None:
        """Let time pass. Raises ReadTimeout where the request's limit, or this thread's deadline, comes first."""
        until = bound.until
        left = [limit for limit in (self._read_s, until and until - time.monotonic()) if limit is not None]
        shortest = max(0.0, min(left, default=_FOREVER_S))
        if seconds > 0:
            drive(BlockingRuntime().sleep(min(seconds, shortest)))
        if seconds > shortest:
            raise httpx2.ReadTimeout("no answer in time")

    async def await_(self, seconds: float) -> None:
        """Let time pass; the caller's own limit cancels it."""
        if seconds > 0:
            await AsyncioRuntime().sleep(min(seconds, self._read_s or _FOREVER_S))
        if self._read_s is not None and seconds > self._read_s:
            raise httpx2.ReadTimeout("no answer in time")

    def _first_s(self) -> float:
        return self._timing.get("first_ms", 0) / 1000 if self._realtime else 0.0

    def _response(self) -> httpx2.Response:
        status = self._recorded["status"]
        if status["code"] == NO_RESPONSE:
            raise failure(status["message"])
        headers = [(name, value) for name, values in self._recorded["headers"].items() for value in values]
        reason = {"reason_phrase": status["message"].encode("ascii", "replace")} if status["message"] else {}
        return httpx2.Response(status["code"], headers=headers, stream=_Played(self, self._steps), extensions=reason)

    def _plan(self) -> list[Step]:
        """Return the steps of the body, as recorded, then as the fault changes them."""
        body: bytes = self._recorded["body"]["string"] or b""
        sizes, delays = _pieces(self._timing, len(body))
        fault = self._fault
        end = len(body) if fault is None or fault.status is not None else _events_end(body, fault.events)
        steps = []
        for stop, size, delay in zip(accumulate(sizes), sizes, delays, strict=True):
            piece = body[stop - size : min(stop, end)]
            if piece:
                steps.append(Step(delay / 1000 if self._realtime else 0.0, piece))
        last = self._last()
        return steps if last is None else [*steps, last]

    def _last(self) -> Step | None:
        """Return the error that ends the body; None where it ends well."""
        fault = self._fault
        if fault is not None and fault.cut_after is not None:
            return Step(0.0, httpx2.RemoteProtocolError(_CUT))
        if fault is not None and fault.stall_after is not None:
            return Step(_FOREVER_S if self._realtime else 0.0, httpx2.ReadTimeout("no answer in time"))
        broken = self._timing.get("broken")
        return None if broken is None else Step(0.0, failure(broken))


def _events_end(body: bytes, events: int) -> int:
    """Return where the first `events` events of a stream end; an answer that is no stream has none."""
    ends = [found.end() for found in islice(_EVENT.finditer(body), events)]
    return ends[-1] if ends else 0


def _pieces(timing: Mapping[str, Any], length: int) -> tuple[Sequence[int], Sequence[float]]:
    """Return the sizes and delays of the recorded pieces; one piece where they are not known, or no longer fit."""
    sizes, delays = timing.get("sizes") or [], timing.get("delays_ms") or []
    if sum(sizes) == length and len(sizes) == len(delays):
        return sizes, delays
    return [length], [sum(delays)]


def failure(name: str) -> httpx2.TransportError:
    """Return the failure of this name, as a recorded one is raised again."""
    found = getattr(httpx2, name, None)
    known = isinstance(found, type) and issubclass(found, httpx2.TransportError)
    return (found if known else httpx2.RemoteProtocolError)(f"recorded: {name}")  # type: ignore[misc]


class _Played(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The recorded body as a stream of either world."""

    def __init__(self, replay: Replay, steps: Sequence[Step]) -> None:
        self._replay, self._steps = replay, steps

    def __iter__(self) -> Iterator[bytes]:
        for step in self._steps:
            self._replay.wait(step.seconds)
            yield _content(step)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._steps:
            await self._replay.await_(step.seconds)
            yield _content(step)


def _content(step: Step) -> bytes:
    if isinstance(step.what, bytes):
        return step.what
    raise step.what
