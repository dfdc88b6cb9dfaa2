"""One open stream of a provider, decoded as it is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from loguru import logger

from llmrouter.errors import LLMRouterError, StreamInterruptedError
from llmrouter.frozen import quickly_made
from llmrouter.pipeline.guard import Admission
from llmrouter.pipeline.halves import Halves, whole
from llmrouter.pipeline.rung import Prepared, raise_as_ours, read
from llmrouter.pipeline.runtime import END, End, Runtime
from llmrouter.types import Completion, Delta, Text, Usage

T = TypeVar("T")

_BITE: Final = 2048  # bytes decoded at a time: some ten events
_LINGER_S: Final = 0.05  # how long the end of the body may take after the answer's last word


class Bound(NamedTuple):
    """A limit: its name for errors, when it passes (monotonic), and how many seconds it had from its beginning."""

    name: str
    until: float
    seconds: float


@quickly_made
@dataclass(frozen=True, slots=True)
class Received:
    """A complete answer as it came: decoded, with the response's headers and the seconds that it took.

    `latency_s` is the time to a stream's first content; None: it came whole.
    """

    completion: Completion
    headers: Mapping[str, str]
    seconds: float
    latency_s: float | None = None


class Reading:
    """The deltas of one attempt's stream, each waited for within a limit, and the answer at its end."""

    def __init__(self, runtime: Runtime, prepared: Prepared, wire: Any, admission: Admission) -> None:
        self._runtime = runtime
        self._wire = wire
        self._rung = prepared.rung
        self._decoder = prepared.rung.provider.codec.decoder(wire.headers)
        self._halves = Halves()
        self._rest: Any = b""  # what has arrived and is not decoded yet
        self._closed = False
        self.prepared = prepared
        self.admission = admission
        self.started = time.monotonic()
        self.first: Sequence[Delta] = ()  # what was read before the stream was handed on
        self.latency_s: float | None = None
        self.text: list[str] = []

    async def pull(self, bound: Bound, idle_s: float | None = None) -> Sequence[Delta] | End:
        """Return the next deltas, at least one, or END.

        Waits as long as `bound` allows, and at most `idle_s` seconds for any bytes. Raises our errors only.
        """
        while not self._decoder.ended:
            if not self._rest:
                arrived = await self._arriving(bound, idle_s)
                if arrived is END:
                    break
                self._rest = arrived
            deltas = self._halves.joined(self._read(self._decoder.feed, self._bite()))
            if deltas:
                self.text.extend(delta.text for delta in deltas if isinstance(delta, Text))
                return deltas
        else:
            await self._drain()
        return self._halves.rest() or END

    async def _arriving(self, bound: Bound, idle_s: float | None) -> Any:
        """Wait for the next piece of the body, or END."""
        left_s = max(0.0, bound.until - time.monotonic())
        if idle_s is not None and idle_s < left_s:
            left_s, bound = idle_s, Bound("idle", 0.0, idle_s)
        try:
            return await self._runtime.next(self._wire, within=left_s)
        except Exception as error:  # noqa: BLE001 - re-raised, in our terms where we know it
            if self._is_whole():  # what failed after the last word does not concern the answer
                return END
            raise_as_ours(self._rung, error, bound.name, bound.seconds)

    def _bite(self) -> Any:
        """Take what is decoded next: of a large piece its beginning, so that its first word does not wait for all."""
        taken, self._rest = self._rest, b""
        if isinstance(taken, bytes) and len(taken) > _BITE:
            taken, self._rest = taken[:_BITE], taken[_BITE:]
        return taken

    def _is_whole(self) -> bool:
        try:
            self._read(self._decoder.finish)
        except LLMRouterError:
            return False
        return True

    async def _drain(self) -> None:
        """Read the end of the body, which follows the terminal event: only then can another call use the connection."""
        until = time.monotonic() + _LINGER_S
        try:
            while await self._runtime.next(self._wire, within=max(until - time.monotonic(), 0.0)) is not END:
                pass
        except Exception:  # noqa: BLE001 - the answer is whole; `close` drops the connection instead
            return

    def _read(self, decode: Callable[..., T], *args: Any) -> T:
        try:
            return read(self._rung, decode, *args)
        except StreamInterruptedError as error:
            error.partial = error.partial or self.partial
            raise

    @property
    def partial(self) -> str:
        """The text received until now."""
        return "".join(self.text)

    def usage_so_far(self) -> Usage | None:
        """What the provider has reported until now, for a stream that does not reach its end."""
        return self._decoder.usage_so_far()

    def received(self) -> Received:
        """Return the whole answer. Raises StreamInterruptedError when the terminal event never came."""
        completion = whole(self._read(self._decoder.finish))
        return Received(completion, self._wire.headers, time.monotonic() - self.started, self.latency_s)

    async def close(self) -> None:
        """Drop the connection, once; what goes wrong there is nobody's concern any more."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._runtime.close(self._wire)
        except Exception as error:  # noqa: BLE001 - the answer is in; a connection that closes badly may not spoil it
            logger.debug("closing a stream of {} failed: {}", self.prepared.rung.target, type(error).__name__)
