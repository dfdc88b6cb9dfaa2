"""Blocking sockets that end in time.

httpx's timeouts are per operation: a server that sends one byte a second is never late, and nothing can interrupt a
blocked read from outside. So every read, write and connect of our network backend is clipped to the deadline of the
call that runs in this thread, and another thread may cut it short (`thread_bound.py`). In the asynchronous world the
event loop cancels, and none of this is needed.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import httpcore2

from llmrouter.providers.thread_bound import Interrupt, bound

T = TypeVar("T")

_WRITE_SLICE = 64 * 1024  # bytes handed to the socket between two looks at the clock


def _enter(interrupt: Interrupt, wake: Callable[[], object]) -> None:
    if not interrupt.enter(wake):
        raise httpcore2.ReadError("interrupted")


def _clip(timeout: float | None, late: type[Exception]) -> float | None:
    if bound.until is None:
        return timeout
    remaining = bound.until - time.monotonic()
    if remaining <= 0:
        raise late("the attempt's time is over")
    return remaining if timeout is None else min(timeout, remaining)


def _apart(work: Callable[[], T], limit: float | None, late: str, unwanted: Callable[[T], object]) -> T:
    """Return `work()`, done by a thread that is left behind after `limit` seconds, or when this one is interrupted.

    What it comes to all the same is handed to `unwanted`. Raises what `work` raises, ConnectTimeout with the text
    `late`, and ConnectError.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            with suppress(InvalidStateError):
                result.set_exception(error)
            return
        try:
            result.set_result(found)
        except InvalidStateError:
            unwanted(found)

    interrupt = bound.interrupt
    if interrupt is not None:
        _enter(interrupt, result.cancel)
    threading.Thread(target=run, name="llmrouter-socket", daemon=True).start()
    try:
        return result.result(limit)
    except TimeoutError:
        if result.cancel():
            raise httpcore2.ConnectTimeout(late) from None
        return result.result()  # it has just ended
    except CancelledError:
        raise httpcore2.ConnectError("interrupted") from None
    finally:
        if interrupt is not None:
            interrupt.leave()


class _BoundedStream(httpcore2.NetworkStream):
    """A socket whose operations end with this thread's deadline."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream
        self._held = b""  # written, not sent yet

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._held:
            self.write(b"", timeout)
        limit, interrupt = _clip(timeout, httpcore2.ReadTimeout), bound.interrupt
        if interrupt is None:
            return self._stream.read(max_bytes, limit)
        _enter(interrupt, self._shut_down)
        try:
            return self._stream.read(max_bytes, limit)
        finally:
            interrupt.leave()

    def _shut_down(self) -> None:
        connected = self._stream.get_extra_info("socket")
        if connected is not None:
            with suppress(OSError):  # it has ended by itself
                connected.shutdown(socket.SHUT_RDWR)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # httpcore writes a request's head, its body and then nothing: sent together, they wake the server up once.
        waiting = self._held + buffer
        if buffer and len(waiting) < _WRITE_SLICE:
            self._held = waiting
            return
        self._held = b""
        for start in range(0, len(waiting), _WRITE_SLICE):
            self._send(waiting[start : start + _WRITE_SLICE], _clip(timeout, httpcore2.WriteTimeout))

    def _send(self, piece: bytes, limit: float | None) -> None:
        interrupt = bound.interrupt
        if interrupt is None:
            self._stream.write(piece, limit)
            return
        _enter(interrupt, self._shut_down)
        try:
            self._stream.write(piece, limit)
        finally:
            interrupt.leave()

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        limit = _clip(timeout, httpcore2.ConnectTimeout)
        shake = partial(self._stream.start_tls, ssl_context, server_hostname, limit)
        return _BoundedStream(_opened(shake, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class BoundedBackend(httpcore2.NetworkBackend):
    """Opens connections whose name resolution, connect and every later operation end with this thread's deadline."""

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Open a connection. Raises httpcore's ConnectError and ConnectTimeout."""
        limit = _clip(timeout, httpcore2.ConnectTimeout)
        until = None if limit is None else time.monotonic() + limit
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in _resolve(host, port, limit):
            # One connect limit for all of a host's addresses: the standard library would grant it to each of them.
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise httpcore2.ConnectTimeout(f"no connection to {host} in time")
            try:
                connect = partial(self._sockets.connect_tcp, address, port, left, local_address, socket_options)
                stream = _opened(connect, left)
            except httpcore2.ConnectTimeout as error:
                failure = error
            except httpcore2.ConnectError as error:
                failure = httpcore2.ConnectError(f"cannot connect to {host}:{port}: {_said(error)}")
                failure.__cause__ = error
            else:
                return _BoundedStream(stream)
        raise failure


def _opened(work: Callable[[], httpcore2.NetworkStream], limit: float | None) -> httpcore2.NetworkStream:
    """Return what `work` opens within `limit`. Nothing wakes a thread that connects: in a race it is left behind."""
    if bound.interrupt is None:
        return work()
    return _apart(work, limit, "no connection in time", lambda stream: stream.close())


def _said(error: Exception) -> str:
    """Return what the system says of a failure, without its number."""
    system = error.__cause__ or error.__context__
    return getattr(system, "strerror", None) or str(error) or type(error).__name__


def _resolve(host: str, port: int, limit: float | None) -> list[str]:
    """Return the addresses of `host`; a resolver that hangs is left behind after `limit` seconds."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = _apart(ask, limit, f"looking up {host} took too long", lambda _found: None)
    except OSError as error:
        raise httpcore2.ConnectError(f"cannot look up {host}: {error.strerror or error}") from error
    return [str(entry[4][0]) for entry in found]
