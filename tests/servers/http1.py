"""Just enough of HTTP/1.1 for the loopback servers: read one request, write one head, frame one chunk."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any

_MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in. Header names are lower case; `at` is in monotonic seconds, when it was complete."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]
    body: bytes
    at: float
    connection: int  # which connection of this server, counted from 1

    @property
    def json(self) -> Any:
        """The decoded body, None when it is empty."""
        return json.loads(self.body) if self.body else None

    @property
    def streamed(self) -> bool:
        """Whether the client asks for a stream, in the way of whichever protocol."""
        return "streamGenerateContent" in self.path or bool((self.json or {}).get("stream"))

    @property
    def model(self) -> str:
        """The model asked for: from the body, or from the path of Gemini and Bedrock; empty when there is none."""
        if "/models/" in self.path:
            return self.path.split("/models/")[1].split(":")[0]
        return str((self.json or {}).get("model", ""))


class Reader:
    """Reads requests from one connection, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def read(self) -> tuple[str, str, dict[str, str], bytes] | None:
        """Return method, path, headers and body of the next request; None when the client has gone."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = self._body(headers)
        return None if body is None else (method, path, headers, body)

    def _body(self, headers: Mapping[str, str]) -> bytes | None:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self._exactly(int(headers.get("content-length", "0")))
        parts: list[bytes] = []
        while (line := self._until(b"\r\n")) is not None:
            part = self._exactly(int(line.split(b";")[0], 16) + 2)
            if part is None or part == b"\r\n":
                return None if part is None else b"".join(parts)
            parts.append(part[:-2])
        return None

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._buffer:
            if not self._more():
                return None
        size = self._buffer.index(mark)
        found = self._take(size)
        self._take(len(mark))
        return found

    def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._more():
                return None
        return self._take(size)

    def _take(self, size: int) -> bytes:
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _more(self) -> bool:
        received = self._connection.recv(65536)
        self._buffer += received
        return bool(received) and len(self._buffer) < _MOST


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the status line and headers of a response."""
    lines = [
        f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Frame `data` as one chunk of a chunked body; empty data would end the body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
