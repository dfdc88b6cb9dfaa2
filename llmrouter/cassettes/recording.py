"""Writes an exchange down while it passes: the answer is handed on as it comes, and is on the tape once it was read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx2

from llmrouter.cassettes.tape import Piece, Tape
from llmrouter.pipeline.playback import asked

NO_RESPONSE: Final = 0  # the status of an exchange that brought none; its message is the failure's name


class Recording:
    """One request that is sent, and what comes back."""

    def __init__(self, tape: Tape, request: Any) -> None:
        self._tape, self._request, self._whose = tape, request, asked.get()
        self._last = time.monotonic()
        self._response: dict[str, Any] = {}
        self._pieces: list[Piece] = []
        self._first_s = 0.0
        self._ended = False

    def watch(self, response: httpx2.Response) -> httpx2.Response:
        """Return `response`, which is written down while it is read."""
        headers: dict[str, list[str]] = {}
        for name, value in response.headers.multi_items():
            headers.setdefault(name, []).append(value)
        self._response = {"status": {"code": response.status_code, "message": response.reason_phrase}}
        self._response["headers"] = headers
        self._first_s = self._waited_s()
        response.stream = _Watched(self, response.stream)
        self._tape.unfinished.add(self)
        return response

    def piece(self, content: bytes) -> bytes:
        """Take down a piece of the body."""
        self._pieces.append((self._waited_s(), content))
        return content

    def fail(self, error: httpx2.TransportError) -> None:
        """Take down that no response came, or that it broke off."""
        name = type(error).__name__
        if not self._response:
            self._response = {"status": {"code": NO_RESPONSE, "message": name}, "headers": {}}
            self._first_s = self._waited_s()
        self.end(broken=name)

    def end(self, broken: str | None = None) -> None:
        """Put the exchange on the tape; what comes after the first time does nothing."""
        self._tape.unfinished.discard(self)
        if self._ended:
            return
        self._ended = True
        whose = self._whose
        named = {} if whose is None else {"route": whose.route, "target": whose.target}
        if whose is not None and whose.overrides:
            named["overrides"] = list(whose.overrides)  # type: ignore[assignment]
        body, pieces = self._decoded()
        response = {**self._response, **named, "body": {"string": body}}
        self._tape.append(self._request, {**response, "taken": (self._first_s, pieces, broken)})

    def _decoded(self) -> tuple[bytes, list[Piece]]:
        """Return the body, and its pieces; those of a compressed body say nothing, and become one."""
        body = b"".join(content for _, content in self._pieces)
        headers = {name.lower(): ", ".join(values) for name, values in self._response["headers"].items()}
        if not body or "content-encoding" not in headers:
            return body, self._pieces
        encoding = {"content-encoding": headers["content-encoding"]}
        body = httpx2.Response(200, headers=encoding, content=body).content
        return body, [(sum(delay for delay, _ in self._pieces), body)]

    def _waited_s(self) -> float:
        before, self._last = self._last, time.monotonic()
        return self._last - before


class _Watched(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The body of a response, of either world, that is written down."""

    def __init__(self, recording: Recording, stream: Any) -> None:
        self._recording, self._stream = recording, stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            for content in self._stream:
                yield self._recording.piece(content)
        except httpx2.TransportError as error:
            self._recording.fail(error)
            raise
        self._recording.end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for content in self._stream:
                yield self._recording.piece(content)
        except httpx2.TransportError as error:
            self._recording.fail(error)
            raise
        self._recording.end()

    def close(self) -> None:
        """Drop the connection; what was not read is not on the tape."""
        self._stream.close()
        self._recording.end()

    async def aclose(self) -> None:
        """Drop the connection; what was not read is not on the tape."""
        await self._stream.aclose()
        self._recording.end()
