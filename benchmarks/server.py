"""The loopback server: a bare asyncio protocol that answers with canned bytes.

It parses no more of a request than where it ends and what it asks for, so that the clients are what is measured. Run
as a process of its own (`python -m benchmarks.server`), it prints its port and ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.wire import EVENTS, WHOLE, framed

# How a stream comes: in one HTTP chunk, unless the path of the base URL says something else.
CHUNKED: Final = b"/chunked"  # at once, but each event in an HTTP chunk of its own
TRICKLE: Final = b"/trickle"  # each event in an HTTP chunk and a packet of its own
_PAUSE_S: Final = 0.0005
_CHUNKED: Final = {name: b"".join(framed(events)) for name, events in EVENTS.items()}
_BURSTS: Final = {name: b"".join(framed([b"".join(events)])) for name, events in EVENTS.items()}


class CannedProtocol(asyncio.Protocol):
    """One connection: keep-alive, one request after another."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._request()) is not None:
            self._answer(*request)

    def _request(self) -> tuple[bytes, bytes] | None:
        """Take one whole request off the buffer: its first line and body; None until it is here."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end])
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        return head.split(b"\r\n", 1)[0], body

    def _answer(self, line: bytes, body: bytes) -> None:
        if b"/messages" in line:
            protocol = "anthropic"
        elif b"enerateContent" in line:
            protocol = "google"
        else:
            protocol = "openai"
        stream = b"streamGenerateContent" in line or b'"stream":true' in body or b'"stream": true' in body
        if not stream:
            self._transport.write(WHOLE[protocol])
        elif TRICKLE in line:
            self._trickle(iter(framed(EVENTS[protocol])))
        else:
            self._transport.write((_CHUNKED if CHUNKED in line else _BURSTS)[protocol])

    def _trickle(self, parts: Iterator[bytes]) -> None:
        part = next(parts, None)
        if part is not None:
            self._transport.write(part)
            asyncio.get_running_loop().call_later(_PAUSE_S, self._trickle, parts)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(CannedProtocol, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in a process of its own; give its address."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()  # closes its input, and so ends it


if __name__ == "__main__":
    asyncio.run(_serve())
