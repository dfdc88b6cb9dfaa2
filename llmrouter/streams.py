"""Stream and AsyncStream: an answer as it comes, for readers of either world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from llmrouter.closing import AsyncClosing, Closing
from llmrouter.pipeline.runtime import END, End, drive
from llmrouter.pipeline.stream import StreamCore
from llmrouter.types import Event, Message, Response, Text


class _OpenStream:
    """What Stream and AsyncStream have in common."""

    def __init__(self, core: StreamCore) -> None:
        self._core = core

    @property
    def response(self) -> Response[Any]:
        """The whole answer, once the stream has ended. Raises RuntimeError before that."""
        if self._core.response is None:
            raise RuntimeError("the stream has not ended: read it to its end before asking for .response")
        return self._core.response

    @property
    def message(self) -> Message:
        """The answer's message, once the stream has ended."""
        return self.response.message

    def _text(self, event: Event) -> str | None:
        """Return the text of an event for a reader of plain text, to whom nothing can be taken back."""
        if not isinstance(event, Text):
            return None
        self._core.handed_out = True
        return event.text

    def __del__(self) -> None:
        if self._core.opened and not self._core.ended:
            self._core.abandon()


class Stream(_OpenStream, Closing):
    """An answer as it comes: iterate for text, or over `.events()`; `.response` once ended. Belongs to one thread.

    As a context manager, or by `close()`, the connection is closed at once.
    """

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while (event := drive(self._core.next())) is not END:
            text = self._text(event)
            if text is not None:
                return text
        raise StopIteration

    def events(self) -> Iterator[Event]:
        """Iterate over typed events: Text, Reasoning, ToolCallDelta, Restart, and Done at the end."""
        return _Events(self)

    def close(self) -> None:
        """Drop the stream; nothing happens when it has ended."""
        drive(self._core.close())


class _Events:
    """The events of a Stream, which it keeps alive."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event: Event | End = drive(self._stream._core.next())
        if event is END:
            raise StopIteration
        return event


class AsyncStream(_OpenStream, AsyncClosing):
    """An answer as it comes: `async for` for text, or over `.events()`; `.response` once ended. Belongs to one task.

    Under `async with`, or by `await close()`, the connection is closed at once.
    """

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while (event := await self._core.next()) is not END:
            text = self._text(event)
            if text is not None:
                return text
        raise StopAsyncIteration

    def events(self) -> AsyncIterator[Event]:
        """Iterate over typed events: Text, Reasoning, ToolCallDelta, Restart, and Done at the end."""
        return _AsyncEvents(self)

    async def close(self) -> None:
        """Drop the stream; nothing happens when it has ended."""
        await self._core.close()


class _AsyncEvents:
    """The events of an AsyncStream, which it keeps alive."""

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._stream._core.next()
        if event is END:
            raise StopAsyncIteration
        return event
