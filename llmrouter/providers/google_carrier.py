"""Carries our bytes through google-genai, both ways.

The SDK knows the address, the headers and the credentials; its typed objects cost several times the network and lose
unknown fields, and leaving one of its asynchronous streams does not close the connection. So each client hands the SDK
an httpx client of its own kind, which puts our body into the SDK's request, keeps the response, and gives the SDK an
empty one to read. Both clients are used from one call at a time: the exchange travels in a context variable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
from google.genai import errors
from google.genai.types import AutomaticFunctionCallingConfig, GenerateContentConfig

from llmrouter.providers.base import WireCall, WireReply
from llmrouter.providers.failures import decoded
from llmrouter.providers.http import AsyncByteStream, ByteStream, reply_of, sdk_timeout
from llmrouter.providers.lean import LeanAsyncClient, LeanClient

if TYPE_CHECKING:
    from google.genai import Client

_PLACEHOLDER = "-"  # stands where the SDK wants contents; our body replaces it
_CONFIG = GenerateContentConfig(
    automatic_function_calling=AutomaticFunctionCallingConfig(disable=True),
    automatic_continuation=False,
)


@dataclass(slots=True)
class _Exchange:
    """One request of ours on its way through the SDK, and the response that came."""

    call: WireCall
    stream: bool
    response: httpx2.Response | None = None

    def parts(self, headers: Any) -> dict[str, Any]:
        """Return what the request is made of: the SDK's headers, with our body, headers and limits."""
        merged = httpx2.Headers(headers)
        merged.update(self.call.headers)
        content = json.dumps(self.call.body, ensure_ascii=False, separators=(",", ":"), default=dict)
        limits = sdk_timeout(self.call.timeouts)
        return {"headers": merged, "content": content.encode("utf-8", "replace"), "timeout": limits}

    def received(self) -> httpx2.Response:
        """Return the response. Raises RuntimeError when the SDK never asked for it."""
        if self.response is None:
            raise RuntimeError("google-genai sent no request through the client it was given")
        return self.response


_current: ContextVar[_Exchange | None] = ContextVar("llmrouter_google_exchange", default=None)


@contextmanager
def _exchanging(call: WireCall, *, stream: bool) -> Iterator[_Exchange]:
    exchange = _Exchange(call, stream)
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)


def _nothing(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, request=request, content=b"")


class Carrier(LeanClient):
    """The blocking client under the SDK."""

    def build_request(
        self, method: str, url: httpx2.URL | str, *, headers: Any = None, **options: Any
    ) -> httpx2.Request:
        """Build our exchange's request in place of the SDK's."""
        exchange = _current.get()
        parts = {"headers": headers, **options} if exchange is None else exchange.parts(headers)
        return super().build_request(method, url, **parts)

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it, keep the response, and give the SDK an empty one."""
        exchange = _current.get()
        if exchange is None:
            return super().send(request, **options)
        exchange.response = super().send(request, stream=exchange.stream)
        return _nothing(request)


class AsyncCarrier(LeanAsyncClient):
    """The asynchronous client under the SDK."""

    def build_request(
        self, method: str, url: httpx2.URL | str, *, headers: Any = None, **options: Any
    ) -> httpx2.Request:
        """Build our exchange's request in place of the SDK's."""
        exchange = _current.get()
        parts = {"headers": headers, **options} if exchange is None else exchange.parts(headers)
        return super().build_request(method, url, **parts)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it, keep the response, and give the SDK an empty one."""
        exchange = _current.get()
        if exchange is None:
            return await super().send(request, **options)
        exchange.response = await super().send(request, stream=exchange.stream)
        return _nothing(request)


def _failure(response: httpx2.Response) -> errors.APIError:
    """Return the SDK's own exception for a failed response whose body was read."""
    kind = errors.ServerError if response.status_code >= 500 else errors.ClientError
    return kind(response.status_code, decoded(response.content), response)


class GoogleClient:
    """Sends through a blocking genai client."""

    def __init__(self, sdk: Client, http: httpx2.Client) -> None:
        self._models = sdk.models
        self._sdk, self._http = sdk, http

    def send(self, call: WireCall) -> WireReply:
        """Ask for a complete answer, or for one batch of vectors."""
        with _exchanging(call, stream=False) as exchange:
            if call.operation == "embed":
                self._models.embed_content(model=call.model, contents=_PLACEHOLDER)
            else:
                self._models.generate_content(model=call.model, contents=_PLACEHOLDER, config=_CONFIG)
        response = self._checked(exchange.received())
        return reply_of(response)

    def open(self, call: WireCall) -> ByteStream:
        """Ask for a stream."""
        with _exchanging(call, stream=True) as exchange:
            for _ in self._models.generate_content_stream(model=call.model, contents=_PLACEHOLDER, config=_CONFIG):
                pass  # the request goes out with the first step; there is nothing to read
        return ByteStream(self._checked(exchange.received()))

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if response.is_success:
            return response
        response.read()
        raise _failure(response)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._sdk.close()


class AsyncGoogleClient:
    """Sends through an asynchronous genai client."""

    def __init__(self, sdk: Client, http: httpx2.AsyncClient) -> None:
        self._models = sdk.aio.models
        self._sdk, self._http = sdk, http

    async def send(self, call: WireCall) -> WireReply:
        """Ask for a complete answer, or for one batch of vectors."""
        with _exchanging(call, stream=False) as exchange:
            if call.operation == "embed":
                await self._models.embed_content(model=call.model, contents=_PLACEHOLDER)
            else:
                await self._models.generate_content(model=call.model, contents=_PLACEHOLDER, config=_CONFIG)
        response = await self._checked(exchange.received())
        return reply_of(response)

    async def open(self, call: WireCall) -> AsyncByteStream:
        """Ask for a stream."""
        with _exchanging(call, stream=True) as exchange:
            chunks = await self._models.generate_content_stream(model=call.model, contents=_PLACEHOLDER, config=_CONFIG)
            async for _ in chunks:
                pass  # the request goes out with the first step; there is nothing to read
        return AsyncByteStream(await self._checked(exchange.received()))

    async def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if response.is_success:
            return response
        await response.aread()
        raise _failure(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._sdk.aio.aclose()
