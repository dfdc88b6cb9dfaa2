"""Server-sent events from bytes in any chunking (WHATWG HTML, 9.2.6 "Interpreting an event stream")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

_FIELDS: Final = (b"data", b"event", b"id", b"retry", b"error")


class ServerEvent(NamedTuple):
    """One event: its name (`message` when the stream gives none) and its data, lines joined by newlines."""

    name: str
    data: str


@dataclass(slots=True)
class EventStream:
    """Splits a byte stream into events; feed it chunks as they come, cut anywhere."""

    _rest: list[bytes] = field(default_factory=list)  # of a line that is not whole; joined once, it may be megabytes
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    _started: bool = False
    _known: bool = False  # whether any line was one of an event stream
    _strange: bytes = b""  # the first line that was not, while none was

    def foreign(self) -> str:
        """Return how a body starts that has been no event stream at all (a page of a proxy), empty for any other."""
        return "" if self._known else self._strange.decode("utf-8", "replace")

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that `chunk` completes. Invalid UTF-8 becomes U+FFFD, as the standard says."""
        lines = self._lines(chunk)
        events: list[ServerEvent] = []
        for line in lines:
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def flush(self) -> list[ServerEvent]:
        """Return the event that the stream's end leaves unterminated, if it has data.

        The standard drops it; providers' last event (`[DONE]`, a final usage) is too valuable to lose for a newline.
        """
        rest, self._rest = b"".join(self._rest), []
        return [event for event in (self._line(rest), self._line(b"")) if event is not None]

    def _lines(self, chunk: bytes) -> list[bytes]:
        rest = self._rest
        if self._started and b"\n" not in chunk and b"\r" not in chunk and not (rest and rest[-1].endswith(b"\r")):
            rest.append(chunk)
            return []
        data = b"".join((*rest, chunk))
        if not self._started and data:
            if b"\xef\xbb\xbf".startswith(data):  # a byte-order mark, not yet whole
                self._rest = [data]
                return []
            data, self._started = data.removeprefix(b"\xef\xbb\xbf"), True
        *lines, last = self._split(data)
        self._rest = [last]
        return lines

    @staticmethod
    def _split(data: bytes) -> list[bytes]:
        if b"\r" not in data:  # every provider's case
            return data.split(b"\n")
        # A final "\r" may be the first half of "\r\n": keep it until the next byte decides.
        held = b"\r" if data.endswith(b"\r") else b""
        data = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, last = data.split(b"\n")
        return [*lines, last + held]

    def _line(self, line: bytes) -> ServerEvent | None:
        line = line.removesuffix(b"\r")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data" or name == b"error":  # llama.cpp reports a failure in a field of its own
            self._data.append(value.decode("utf-8", "replace"))
            self._known = True
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
            self._known = True
        elif not self._known:
            self._judge(line, name)
        return None

    def _judge(self, line: bytes, name: bytes) -> None:
        """Tell a comment, another field, or the start of one that was cut, from what is no event stream."""
        self._known = any(field.startswith(name) for field in _FIELDS)
        if not self._known and not line.isspace():
            self._strange = self._strange or line

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        return ServerEvent(name, "\n".join(data)) if data else None
