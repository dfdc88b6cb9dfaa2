"""A loopback server that misbehaves to order, and remembers what it saw.

Sockets and threads only, so that every byte and every close is ours. A script says what each request is answered:

    with FaultServer([reset_before_headers(), OPENAI.answer()]) as server:
        ...
    assert len(server.requests) == 2

A list is spent request by request (then 418); one entry alone answers all; a function decides by the request.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self, TypeAlias

from tests.servers import http1
from tests.servers.http1 import Request
from tests.servers.replies import Reply, spent

Answerer: TypeAlias = Callable[[Request], "Step"]
Step: TypeAlias = Reply | Answerer
Script: TypeAlias = Step | Sequence[Step]

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST


@dataclass(frozen=True, slots=True)
class EarlyClose:
    """A client that went away before its answer was whole: when (monotonic seconds), and after how many pieces."""

    at: float
    request: Request
    pieces: int


class ClientGoneError(Exception):
    """The client closed the connection while it was being answered."""


class StoppedError(Exception):
    """The server is shutting down."""


def in_turn(steps: Sequence[Step]) -> Answerer:
    """Answer with one step after the other, then refuse."""
    remaining = iter(steps)
    lock = threading.Lock()

    def answer(_request: Request) -> Step:
        with lock:
            return next(remaining, None) or spent()

    return answer


def by_model(**scripts: Script) -> Answerer:
    """Answer each model by its own script; in the names, `_` stands for any of `-`, `.` and `_`."""
    answerers = {name: answerer(script) for name, script in scripts.items()}

    def answer(request: Request) -> Step:
        name = request.model.replace("-", "_").replace(".", "_")
        return answerers[name](request) if name in answerers else spent()

    return answer


def by_path(scripts: Mapping[str, Script]) -> Answerer:
    """Answer by the first key that the path contains, each by its own script."""
    answerers = {part: answerer(script) for part, script in scripts.items()}

    def answer(request: Request) -> Step:
        return next((a(request) for part, a in answerers.items() if part in request.path), None) or spent()

    return answer


def answerer(script: Script) -> Answerer:
    """Return the function that a script stands for."""
    if isinstance(script, Reply):
        return lambda _request: script
    return script if callable(script) else in_turn(script)


class FaultServer:
    """See the module. Everything public may be read from any thread while the server runs.

    `requests` are all requests in order, `early_closes` the clients that left before their answer was whole,
    `failed_handshakes` counts TLS handshakes that the client broke off.
    """

    def __init__(self, script: Script = (), *, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answerer(script)
        self._tls = tls
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._live: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._numbers = count(1)
        self.requests: list[Request] = []
        self.early_closes: list[EarlyClose] = []
        self.failed_handshakes = 0
        self.connections = 0  # accepted so far
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._waker, self._woken = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name="fault-server", daemon=True)
        self._acceptor.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, or https on localhost with TLS; no slash at the end."""
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections are open at this moment, idle ones included."""
        with self._changed:
            return len(self._live)

    @property
    def models(self) -> list[str]:
        """The model of each request, in order."""
        return [request.model for request in self.requests]

    def script(self, script: Script) -> None:
        """Answer by another script from now on."""
        self._answer = answerer(script)

    @contextmanager
    def aside(self, script: Script) -> Iterator[None]:
        """Answer by another script for as long as the context lasts, and forget what was asked meanwhile."""
        before, self._answer = self._answer, answerer(script)
        yield
        self._answer = before
        self.requests.clear()

    def wait_for(self, condition: Callable[[Self], bool], seconds: float = 2.0) -> bool:
        """Wait until `condition(server)` holds; return whether it does within `seconds`."""
        until = time.monotonic() + seconds
        while not condition(self):
            with self._changed:
                if not self._changed.wait(min(0.02, until - time.monotonic())) and time.monotonic() >= until:
                    break
        return condition(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop every connection and end every thread; may be called twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._waker.send(b"!")
        self._acceptor.join()
        with self._changed:
            for connection in self._live.values():
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # wakes a thread that reads or writes
        for thread in self._threads:
            thread.join()
        for opened in (self._listener, self._waker, self._woken):
            opened.close()

    # -------------------------------------------------------------------------------------------- connections

    def _accept(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._woken], [], [])
            if self._woken in ready:
                return
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = next(self._numbers)
            with self._changed:
                self.connections, self._live[number] = number, connection
                self._changed.notify_all()
            thread = threading.Thread(target=self._serve, args=(number,), name=f"fault-server-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, number: int) -> None:
        try:
            connection = self._secured(number)
            reader = http1.Reader(connection)
            while (parts := reader.read()) is not None:
                request = Request(*parts, at=time.monotonic(), connection=number)
                self._note(self.requests, request)
                if not self._reply(connection, request):
                    break
        except (OSError, StoppedError):
            pass
        finally:
            with self._changed:
                self._live.pop(number).close()
                self._changed.notify_all()

    def _secured(self, number: int) -> socket.socket:
        with self._changed:
            plain = self._live[number]
        if self._tls is None:
            return plain
        secured = self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with self._changed:
            self._live[number] = secured
        try:
            secured.do_handshake()
        except OSError:
            self.failed_handshakes += 1
            raise
        return secured

    def _note(self, where: list[Request] | list[EarlyClose], what: Request | EarlyClose) -> None:
        with self._changed:
            where.append(what)  # type: ignore[arg-type]  # each list gets its own kind
            self._changed.notify_all()

    # -------------------------------------------------------------------------------------------- one answer

    def _reply(self, connection: socket.socket, request: Request) -> bool:
        """Answer; return whether the connection lives on."""
        step: Step = self._answer
        while not isinstance(step, Reply):
            step = step(request)
        sending = _Sending(connection, step, self._stopping)
        try:
            sending.run()
        except (ClientGoneError, OSError):
            if self._stopping.is_set():
                raise StoppedError from None
            self._note(self.early_closes, EarlyClose(time.monotonic(), request, sending.pieces))
            return False
        if step.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return step.ending == "keep"


class _Sending:
    """One reply on its way out; notices at once when the client leaves."""

    def __init__(self, connection: socket.socket, reply: Reply, stopping: threading.Event) -> None:
        self._connection = connection
        self._reply = reply
        self._stopping = stopping
        self._budget = reply.cut_bytes
        self.pieces = 0

    def run(self) -> None:
        """Send it all, or what its faults let through. Raises ClientGoneError, OSError or StoppedError."""
        reply = self._reply
        self._pause(reply.silent_for)
        if not reply.answers:
            return
        pieces = reply.pieces if reply.chunked else tuple(reply.pieces)
        self._send_head(pieces if isinstance(pieces, tuple) and not reply.chunked else ())
        for piece in pieces:
            self._maybe_stall()
            if self.pieces == reply.cut or self._budget == 0:
                return
            self._send_piece(piece)
        self._maybe_stall()
        if reply.chunked and reply.last_chunk and self._budget != 0 and self.pieces != reply.cut:
            self._connection.sendall(b"0\r\n\r\n")

    def _maybe_stall(self) -> None:
        if self._reply.stall and self._reply.stall[0] == self.pieces:
            self._pause(self._reply.stall[1])

    def _send_head(self, pieces: tuple[bytes, ...]) -> None:
        framing = (
            {"transfer-encoding": "chunked"}
            if self._reply.chunked
            else {"content-length": str(sum(len(piece) for piece in pieces))}
        )
        head = http1.head(self._reply.status, {**self._reply.headers, **framing})
        step = 1 if self._reply.head_interval else len(head)
        for start in range(0, len(head), step):
            self._pause(self._reply.head_interval)
            self._connection.sendall(head[start : start + step])

    def _send_piece(self, piece: bytes) -> None:
        self._pause(self._reply.delay)
        if self._budget is not None:
            piece = piece[: self._budget]
            self._budget -= len(piece)
        if piece:  # an empty chunk would end the body
            self._connection.sendall(http1.chunk(piece) if self._reply.chunked else piece)
        self.pieces += 1

    def _pause(self, seconds: float) -> None:
        """Wait, but no longer than the client stays; without a wait, only look whether it is still there."""
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self._connection], [], [], left)
            if self._stopping.is_set():
                raise StoppedError
            if not ready:
                return
            self._check_presence()
            if not left:
                return
            self._stopping.wait(min(left, 0.01))  # a pipelined request is waiting: do not spin

    def _check_presence(self) -> None:
        if isinstance(self._connection, ssl.SSLSocket):
            raise ClientGoneError  # nobody pipelines here: what arrives during an answer is the closing alert or EOF
        if not self._connection.recv(1, socket.MSG_PEEK):
            raise ClientGoneError


# ------------------------------------------------------------------------------------------------ no server at all


@contextmanager
def refused_port() -> Iterator[int]:
    """A port of this machine that refuses connections for as long as the context lasts."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, never listening
        yield int(reserved.getsockname()[1])


@contextmanager
def unanswered_port() -> Iterator[int]:
    """A port whose connections are never accepted: connecting hangs, as with a dead host."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [_knock(listener.getsockname()) for _ in range(4)]  # the kernel's queue is full after one or two
        try:
            yield int(listener.getsockname()[1])
        finally:
            for knock in waiting:
                knock.close()


def _knock(address: tuple[str, int]) -> socket.socket:
    knock = socket.socket()
    knock.setblocking(False)
    with suppress(BlockingIOError):
        knock.connect(address)
    return knock
