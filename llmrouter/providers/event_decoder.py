"""What the decoders of server-sent events have in common: reading events one by one, and an error that comes late."""

from __future__ import annotations

from abc import ABC, abstractmethod

from llmrouter.errors import LLMRouterError, MalformedResponseError
from llmrouter.providers.failures import excerpt
from llmrouter.providers.sse import EventStream, ServerEvent
from llmrouter.types import Completion, Delta


def refuse_foreign(events: EventStream) -> None:
    """Raise MalformedResponseError for a body that has ended and was no event stream, such as a page of a proxy."""
    start = events.foreign()
    if start:
        shown = excerpt(start, 80)
        raise MalformedResponseError(f"the stream is not server-sent events; it starts with {shown!r}", body=shown)


class EventDecoder(ABC):
    """A `StreamDecoder` (see `base`) of server-sent events; a subclass says what one event means, and what all mean.

    An error never swallows the deltas that came before it in the same chunk: these are handed on first, the decoder
    has then `ended`, and `finish` raises the error.
    """

    def __init__(self) -> None:
        self.ended = False
        self._events = EventStream()
        self._broken: LLMRouterError | None = None  # the error that `finish` raises

    def feed(self, chunk: bytes) -> list[Delta]:
        """Return the deltas that `chunk`, cut anywhere, completes.

        Raises the ProviderError of an error event, and MalformedResponseError for what is not the protocol.
        """
        deltas: list[Delta] = []
        try:
            for event in self._events.feed(chunk):
                if self.ended:
                    break
                self._event(event, deltas)
        except LLMRouterError as error:
            if not deltas:
                raise
            self._broken, self.ended = error, True
        return deltas

    def finish(self) -> Completion:
        """Return the whole answer.

        Raises StreamInterruptedError when the protocol's end never came, MalformedResponseError for no stream at all.
        """
        if self._broken is not None:
            raise self._broken
        if not self.ended:
            self._flush()
            refuse_foreign(self._events)
        return self._completion()

    def _flush(self) -> None:
        """Read the event that the end of the stream left without its blank line."""
        for event in self._events.flush():
            if not self.ended:
                self._event(event, [])

    @abstractmethod
    def _event(self, event: ServerEvent, deltas: list[Delta]) -> None:
        """Take in one event, and append what it adds to `deltas`."""

    @abstractmethod
    def _completion(self) -> Completion:
        """Return what all events come to. Raises StreamInterruptedError when the last one is missing."""
