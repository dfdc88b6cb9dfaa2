"""aiohttp under httpx: connections for the asynchronous world at a third of the cost.

httpx's own pool parses HTTP in Python and looks at every connection for every request. This one stands in its place
inside httpx's transport, so that everything above it (the SDKs, redirects, decompression, error classes, cassettes)
stays as it is: requests and responses are httpcore's, and so are the exceptions.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

import aiohttp
import httpcore2
from yarl import URL

_KEEP_IDLE_S: Final = 5.0  # as httpx
_AUTOMATIC: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # headers that only httpx decides on

# The first match counts, so classes stand before their bases.
_MEANING: Final[tuple[tuple[type[Exception], type[Exception]], ...]] = (
    (aiohttp.ConnectionTimeoutError, httpcore2.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpcore2.ReadTimeout),
    (aiohttp.ClientConnectorError, httpcore2.ConnectError),
    (aiohttp.ServerDisconnectedError, httpcore2.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpcore2.RemoteProtocolError),
    (aiohttp.ClientConnectionError, httpcore2.ReadError),
    (aiohttp.ClientResponseError, httpcore2.RemoteProtocolError),
    (aiohttp.InvalidURL, httpcore2.UnsupportedProtocol),
    (ValueError, httpcore2.LocalProtocolError),  # a header that cannot be sent
)


@contextmanager
def _as_httpcore() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        meaning = next((theirs for ours, theirs in _MEANING if isinstance(error, ours)), None)
        if meaning is None:
            raise
        cause = getattr(error, "certificate_error", error)  # the standard library's own, which says what is wrong
        raise meaning(_said(error)) from cause


def _said(error: Exception) -> str:
    """Return what happened, in the words of the blocking world where they are the same."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"cannot look up {error.host}: {error.os_error.strerror or error.os_error}"
    if type(error) is aiohttp.ClientConnectorError:  # those below it are of TLS
        return f"cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}"
    return str(error) or type(error).__name__


def _reason(error: OSError) -> str:
    """Return the system's words: several addresses that were tried are told of as one."""
    known = os.strerror(error.errno) if error.errno else None
    return known or error.strerror or str(error)


class _Connector(aiohttp.TCPConnector):
    """Keeps at most `keepalive` idle connections, which aiohttp has no option for.

    It does so by two private names of aiohttp's; a test that counts connections fails if they move.
    """

    def __init__(self, keepalive: int, **options: Any) -> None:
        super().__init__(**options)
        self._most_idle = keepalive

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        full = sum(map(len, self._conns.values())) >= self._most_idle
        super()._release(key, protocol, should_close=should_close or full)


class AiohttpPool:
    """A connection pool with the interface of httpcore's. Belongs to one event loop, on which it is first used."""

    def __init__(self, ssl_context: ssl.SSLContext, max_connections: int, keepalive: int) -> None:
        self._ssl, self._most, self._keepalive = ssl_context, max_connections, keepalive
        self._session: aiohttp.ClientSession | None = None
        self._ending: AsyncIterator[None] | None = None
        self._busy = 0  # requests under way, those that wait for a connection included

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send a request; the response's stream is to be closed. Raises httpcore's exceptions."""
        if self._session is None:
            self._session = self._open()
            self._ending = _closed_with_its_loop(self._session)
            await anext(self._ending)
        limits = self._limits(request.extensions.get("timeout", {}))
        self._busy += 1
        try:
            with _as_httpcore():
                response = await self._session.request(
                    request.method.decode("ascii"),
                    _url(request.url),
                    headers=[(name.decode("latin-1"), value.decode()) for name, value in request.headers],
                    data=b"".join([piece async for piece in request.stream]) or None,  # type: ignore[union-attr]
                    skip_auto_headers=_AUTOMATIC,
                    allow_redirects=False,
                    timeout=limits,
                )
        except BaseException:
            self._busy -= 1
            raise
        return httpcore2.Response(
            response.status,
            headers=list(response.raw_headers),
            content=_Body(response, self._done),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (response.reason or "").encode("ascii", "ignore"),
            },
        )

    def _limits(self, limits: Mapping[str, float | None]) -> aiohttp.ClientTimeout:
        # aiohttp's `connect` covers looking up the host, which must count, and waiting for a free connection, which
        # has a limit of its own.
        connect = limits.get("connect")
        found = connect if self._busy < self._most else limits.get("pool")
        return aiohttp.ClientTimeout(connect=found, sock_connect=connect, sock_read=limits.get("read"))

    def _open(self) -> aiohttp.ClientSession:
        connector = _Connector(self._keepalive, ssl=self._ssl, limit=self._most, keepalive_timeout=_KEEP_IDLE_S)
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        )
        _sessions.add(session)
        return session

    def _done(self) -> None:
        self._busy -= 1

    async def aclose(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            _sessions.discard(session)
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


async def _closed_with_its_loop(session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Close `session` when its loop ends, if nobody has: a loop that ends closes the generators begun on it."""
    try:
        yield
    finally:
        await session.close()


class _Body:
    """The body of a response, in pieces as large as what has arrived; calls `done` once when it is closed."""

    def __init__(self, response: aiohttp.ClientResponse, done: Callable[[], None]) -> None:
        self._response = response
        self._done: Callable[[], None] | None = done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        with _as_httpcore():
            try:
                while piece := await content.readany():
                    yield piece
            except aiohttp.ClientError:
                # aiohttp fails a broken body at once; what came before the break is still an answer's beginning. It
                # can be had by a private method alone: a test of what a broken answer keeps fails if that moves.
                rest = content._read_nowait(-1)
                if rest:
                    yield rest
                raise

    async def aclose(self) -> None:
        self._response.close()  # drops a connection whose body was not read to its end; else it is back in the pool
        done, self._done = self._done, None
        if done is not None:
            done()


def _url(url: httpcore2.URL) -> URL:
    host = url.host.decode("ascii")
    port = "" if url.port is None else f":{url.port}"
    name = f"[{host}]" if ":" in host else host
    return URL(f"{url.scheme.decode('ascii')}://{name}{port}{url.target.decode('ascii')}", encoded=True)


# A child process must not touch its parent's connections, not even by collecting them: closing one takes it off the
# parent's event loop, whose selector both share. So the child keeps them, untouched.
_sessions: WeakSet[aiohttp.ClientSession] = WeakSet()
_left_behind: list[aiohttp.ClientSession] = []


def _after_fork() -> None:
    _left_behind.extend(_sessions)
    _sessions.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
