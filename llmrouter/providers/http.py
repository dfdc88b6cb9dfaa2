"""HTTP under the SDKs: one way to build their `http_client`, to bound it in time, and to read its failures.

httpx's timeouts are per operation: a server that sends one byte a second is never late. In the blocking world nothing
can interrupt a socket from outside, so our network backend clips every read, write and connect to the deadline of the
call that runs in this thread (`bounded_until`). In the asynchronous world the event loop cancels, and none of this is
needed.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpcore2
import httpx2

from llmrouter.errors import APIConnectionError, LLMRouterError, MalformedResponseError, RequestTimeoutError
from llmrouter.providers.base import ProviderSettings, WireTimeouts

_WRITE_SLICE = 64 * 1024  # bytes handed to the socket between two looks at the clock


class _Bound(threading.local):
    """The monotonic time at which this thread's current call must be over; None: unbounded."""

    until: float | None = None


_bound = _Bound()


def bounded_until(until: float | None) -> float | None:
    """Set this thread's deadline (seconds on the monotonic clock, None for none); return the one before, to restore."""
    before, _bound.until = _bound.until, until
    return before


def _clip(timeout: float | None, late: type[Exception]) -> float | None:
    if _bound.until is None:
        return timeout
    remaining = _bound.until - time.monotonic()
    if remaining <= 0:
        raise late("the attempt's time is over")
    return remaining if timeout is None else min(timeout, remaining)


class _BoundedStream(httpcore2.NetworkStream):
    """A socket whose operations end with this thread's deadline."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _clip(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_SLICE):
            piece = buffer[start : start + _WRITE_SLICE]
            self._stream.write(piece, _clip(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        limit = _clip(timeout, httpcore2.ConnectTimeout)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _BoundedBackend(httpcore2.NetworkBackend):
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
        limit = _clip(timeout, httpcore2.ConnectTimeout)
        until = None if limit is None else time.monotonic() + limit
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in _resolve(host, port, limit):
            # One connect limit for all of a host's addresses: the standard library would grant it to each of them.
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise httpcore2.ConnectTimeout(f"no connection to {host} in time")
            try:
                stream = self._sockets.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _BoundedStream(stream)
        raise failure


def _resolve(host: str, port: int, limit: float | None) -> list[str]:
    """Return the addresses of `host`; a resolver that hangs is left behind after `limit` seconds."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    answer: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put([str(entry[4][0]) for entry in found])
        except OSError as error:
            answer.put(error)

    threading.Thread(target=ask, name="llmrouter-resolve", daemon=True).start()
    try:
        result = answer.get(timeout=limit)
    except queue.Empty:
        raise httpcore2.ConnectTimeout(f"looking up {host} took too long") from None
    if isinstance(result, OSError):
        raise httpcore2.ConnectError(f"cannot look up {host}: {result.strerror or result}") from result
    return result


@functools.lru_cache(maxsize=8)
def _ssl_context(ca_bundle: str | None) -> ssl.SSLContext:
    # Reading the certificates takes tens of milliseconds; clients share the result.
    return ssl.create_default_context(cafile=ca_bundle) if ca_bundle else httpx2.create_ssl_context()


def _transport_options(settings: ProviderSettings) -> dict[str, Any]:
    limits = httpx2.Limits(max_connections=settings.max_connections, max_keepalive_connections=settings.keepalive)
    return {"verify": _ssl_context(settings.ca_bundle), "limits": limits, "proxy": settings.proxy}


class BoundedTransport(httpx2.HTTPTransport):
    """httpx's transport over our network backend."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # The pool takes a backend, but httpx's transport has no parameter that hands one on; a test that a slow
        # server is bounded fails if this stops working.
        self._pool._network_backend = _BoundedBackend()


def sync_client(settings: ProviderSettings, cls: type[httpx2.Client] = httpx2.Client) -> httpx2.Client:
    """Return a blocking SDK client's `http_client`: bounded in time, redirects (with our key) not followed."""
    transport = BoundedTransport(**_transport_options(settings))
    return cls(transport=transport, follow_redirects=False, trust_env=False)


def async_client(settings: ProviderSettings, cls: type[httpx2.AsyncClient] = httpx2.AsyncClient) -> httpx2.AsyncClient:
    """Return an asynchronous SDK client's `http_client`; redirects (with our key) are not followed."""
    transport = httpx2.AsyncHTTPTransport(**_transport_options(settings))
    return cls(transport=transport, follow_redirects=False, trust_env=False)


def sdk_timeout(timeouts: WireTimeouts) -> httpx2.Timeout:
    """Return the limits of one request in the form that every SDK takes as `timeout=`."""
    return httpx2.Timeout(timeouts.read, connect=timeouts.connect)


class ByteStream:
    """The body of a streamed response as an iterator of byte chunks, closed at once by `close()`."""

    def __init__(self, response: httpx2.Response) -> None:
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._chunks: Iterator[bytes] = response.iter_bytes()

    def __iter__(self) -> ByteStream:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Drop the connection; may be called twice."""
        self._response.close()


class AsyncByteStream:
    """The asynchronous twin of ByteStream; `close()` is awaited."""

    def __init__(self, response: httpx2.Response) -> None:
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._chunks = response.aiter_bytes()

    def __aiter__(self) -> AsyncByteStream:
        return self

    async def __anext__(self) -> bytes:
        return await self._chunks.__anext__()

    async def close(self) -> None:
        """Drop the connection; may be called twice."""
        await self._response.aclose()


def read_json(content: bytes, what: str = "the answer") -> Any:
    """Decode a JSON body. Raises MalformedResponseError that shows how the body starts."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        start = content[:80].decode("utf-8", "replace")
        raise MalformedResponseError(f"{what} is not JSON; it starts with {start!r}", body=start) from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def translate_transport(error: Exception) -> LLMRouterError | None:
    """Map an httpx failure, or an SDK error caused by one, to ours; None when no httpx failure is behind it."""
    failure = next((link for link in _chain(error) if isinstance(link, httpx2.HTTPError | httpx2.InvalidURL)), None)
    if failure is None:
        return None
    if isinstance(failure, httpx2.TimeoutException):
        return _timeout(failure)
    if isinstance(failure, httpx2.DecodingError):
        return MalformedResponseError(f"the body cannot be decoded: {failure}")
    untrusted = next((link for link in _chain(error) if isinstance(link, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        return APIConnectionError(
            f"the server's certificate is not trusted: {untrusted.verify_message}; "
            "if it is your own authority's, set ca_bundle on the provider"
        )
    return APIConnectionError(str(failure) or type(failure).__name__)


def _timeout(failure: httpx2.TimeoutException) -> RequestTimeoutError:
    if isinstance(failure, httpx2.ConnectTimeout):
        limit, text = "connect", "no connection in time"
    elif isinstance(failure, httpx2.PoolTimeout):
        limit, text = "connect", "no free connection in the pool in time"
    else:
        limit, text = "attempt", "no answer in time"
    error = RequestTimeoutError(text)
    error.limit = limit
    return error
