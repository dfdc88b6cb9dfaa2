"""httpx's clients, without what no SDK of ours asks of them at each call.

For every request httpx parses the URL, merges cookies and query, builds the headers three times, and sends it through
flows for authentication, redirects and hooks. Our clients have none of these: a redirect would carry the key elsewhere,
and a cookie would tell one caller's request from another's. Whatever is asked for beyond that goes httpx's own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import httpx2

BEGUN: Final = "answer_begun"  # set on what goes wrong while the body of an answer is read
_MOST_URLS: Final = 256  # that a client remembers; an SDK asks for a handful


_Pairs: TypeAlias = list[tuple[bytes, bytes]]


class _Builder:
    """Builds requests that are a URL, headers and bytes."""

    def __init__(self, defaults: httpx2.Headers) -> None:
        self._defaults = [(name.lower(), (name, value)) for name, value in defaults.raw]
        self._urls: dict[str, httpx2.URL] = {}

    def built(self, method: str, url: httpx2.URL | str, headers: Any, options: dict[str, Any]) -> httpx2.Request | None:
        """Return the request; None where the options ask for more."""
        content, timeout = options.pop("content", None), options.pop("timeout", None)
        plain = isinstance(content, bytes) and isinstance(timeout, httpx2.Timeout)
        if not plain or any(value is not None for value in options.values()):
            return None
        whole = self._known(url) if isinstance(url, str) else url
        request = httpx2.Request(
            method,
            whole,
            headers=self._headers(headers, whole, len(content)),
            stream=httpx2.ByteStream(content),  # given `content`, httpx would go over the headers three times
            extensions={"timeout": timeout.as_dict()},
        )
        request.read()
        return request

    def _headers(self, given: Any, url: httpx2.URL, length: int) -> _Pairs:
        asked = _pairs(given)
        names = {name.lower() for name, _ in asked}
        pairs: _Pairs = [] if b"host" in names else [(b"Host", url.netloc)]
        pairs += [pair for name, pair in self._defaults if name not in names]
        pairs += asked
        if names.isdisjoint((b"content-length", b"transfer-encoding")):
            pairs.append((b"Content-Length", b"%d" % length))
        return pairs

    def _known(self, url: str) -> httpx2.URL:
        found = self._urls.get(url)
        if found is None:
            found = httpx2.URL(url)
            if found.is_absolute_url and len(self._urls) < _MOST_URLS:
                self._urls[url] = found
        return found


def _pairs(headers: Any) -> _Pairs:
    """Return headers as an SDK gives them, in bytes."""
    if isinstance(headers, httpx2.Headers):
        return headers.raw
    given = headers.items() if isinstance(headers, Mapping) else headers or ()
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in given]
    except (AttributeError, UnicodeEncodeError):  # httpx knows what else they may be
        return httpx2.Headers(headers).raw


class LeanClient(httpx2.Client):
    """The blocking client."""

    def __init__(self, transport: httpx2.BaseTransport) -> None:
        super().__init__(transport=transport, follow_redirects=False, trust_env=False)
        self._lean, self._builder = transport, _Builder(self.headers)

    def build_request(
        self, method: str, url: httpx2.URL | str, *, headers: Any = None, **options: Any
    ) -> httpx2.Request:
        """Return the request that httpx would build."""
        built = self._builder.built(method, url, headers, dict(options))
        return super().build_request(method, url, headers=headers, **options) if built is None else built

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send a request, and read the answer unless it is to be a stream."""
        if options or self.is_closed:
            return super().send(request, stream=stream, **options)
        response = self._lean.handle_request(request)
        response.request = request
        if not stream:
            try:
                response.read()
            except BaseException as failure:
                vars(failure)[BEGUN] = True
                response.close()
                raise
        return response


class LeanAsyncClient(httpx2.AsyncClient):
    """The asynchronous client."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        super().__init__(transport=transport, follow_redirects=False, trust_env=False)
        self._lean, self._builder = transport, _Builder(self.headers)

    def build_request(
        self, method: str, url: httpx2.URL | str, *, headers: Any = None, **options: Any
    ) -> httpx2.Request:
        """Return the request that httpx would build."""
        built = self._builder.built(method, url, headers, dict(options))
        return super().build_request(method, url, headers=headers, **options) if built is None else built

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send a request, and read the answer unless it is to be a stream."""
        if options or self.is_closed:
            return await super().send(request, stream=stream, **options)
        response = await self._lean.handle_async_request(request)
        response.request = request
        if not stream:
            try:
                await response.aread()
            except BaseException as failure:
                vars(failure)[BEGUN] = True
                await response.aclose()
                raise
        return response
