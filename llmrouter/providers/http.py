"""HTTP under the SDKs: one way to build their `http_client`, to read what comes back, and to read its failures."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import httpx2

from llmrouter import shape
from llmrouter.errors import APIConnectionError, LLMRouterError, MalformedResponseError, RequestTimeoutError
from llmrouter.providers.base import ProviderSettings, WireReply, WireTimeouts
from llmrouter.providers.bounds import BoundedBackend
from llmrouter.providers.lean import BEGUN, LeanAsyncClient, LeanClient

if TYPE_CHECKING:
    from types import AsyncGeneratorType


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
        self._pool._network_backend = BoundedBackend()


def sync_client(settings: ProviderSettings, cls: type[LeanClient] = LeanClient) -> LeanClient:
    """Return a blocking SDK client's `http_client`: bounded in time, redirects (with our key) not followed."""
    return cls(BoundedTransport(**_transport_options(settings)))


def async_client(settings: ProviderSettings, cls: type[LeanAsyncClient] = LeanAsyncClient) -> LeanAsyncClient:
    """Return an asynchronous SDK client's `http_client`; redirects (with our key) are not followed."""
    transport = httpx2.AsyncHTTPTransport(**_transport_options(settings))
    if settings.proxy is None:  # aiohttp knows HTTP proxies only
        from llmrouter.providers.aiohttp_pool import AiohttpPool

        # The transport has no parameter that takes a pool; every asynchronous test fails if this stops working.
        pool: Any = AiohttpPool(_ssl_context(settings.ca_bundle), settings.max_connections, settings.keepalive)
        transport._pool = pool
    return cls(transport)


def whole_url(sdk: Any, path: str) -> str:
    """Return the address of `path`: of a relative one, an SDK parses three URLs at each call."""
    return f"{str(sdk.base_url).rstrip('/')}{path}"


def sdk_timeout(timeouts: WireTimeouts) -> httpx2.Timeout:
    """Return the limits of one request in the form that every SDK takes as `timeout=`."""
    pool = timeouts.read if timeouts.pool is None else timeouts.pool
    return httpx2.Timeout(timeouts.read, connect=timeouts.connect, pool=pool)


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
        # What it is, and not what typing calls it, which has no `ag_running`.
        self._chunks = cast("AsyncGeneratorType[bytes, None]", response.aiter_bytes())

    def __aiter__(self) -> AsyncByteStream:
        return self

    async def __anext__(self) -> bytes:
        return await self._chunks.__anext__()

    async def close(self) -> None:
        """Drop the connection; may be called twice."""
        try:
            # httpx's are generators within generators. Left half-way, the collector closes them in any order, from any
            # thread, and each that finds the one within it being closed complains on stderr.
            if not self._chunks.ag_running:
                await self._chunks.aclose()
        finally:
            await self._response.aclose()


def reply_of(response: httpx2.Response) -> WireReply:
    """Return a complete answer. Raises MalformedResponseError when it is not JSON."""
    return WireReply(read_json(response.content), _headers(response.headers))


def _headers(headers: httpx2.Headers) -> dict[str, str]:
    """Return `dict(headers)`, which looks up each of the thirty headers that providers send by going over all."""
    encoding, found = headers.encoding, dict[str, str]()
    for raw_name, raw_value in headers.raw:
        name, value = raw_name.decode(encoding).lower(), raw_value.decode(encoding)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def read_json(content: bytes, what: str = "the answer") -> Any:
    """Decode a JSON body. Raises MalformedResponseError that shows how the body starts."""
    try:
        return shape.parse(content)
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
    lost = APIConnectionError(str(failure) or type(failure).__name__)
    lost.answer_begun = getattr(failure, BEGUN, False)
    return lost


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
