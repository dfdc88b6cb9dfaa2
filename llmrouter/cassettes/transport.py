"""Between the SDKs and the network: the transports of httpx, patched for as long as a cassette is in use.

vcrpy's own patch holds an answer back until it is complete and keeps it as one block. Ours hands a stream on while it
is recorded, with the size and the delay of each piece beside it, so that a replay can give the same pieces, wait as
long, or break off in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Final
from unittest.mock import patch

import httpx2
from vcr.request import Request  # type: ignore[import-untyped]  # vcrpy has no types

from llmrouter.cassettes.recording import Recording
from llmrouter.cassettes.replay import Replay
from llmrouter.cassettes.tape import Tape, carrying

_SYNC: Final = httpx2.HTTPTransport.handle_request
_ASYNC: Final = httpx2.AsyncHTTPTransport.handle_async_request


@contextmanager
def patched(tape: Tape, *, realtime: bool) -> Iterator[None]:
    """Let every request of httpx2 (under all SDKs) and of httpx (under litellm) go through `tape`."""

    def handle_request(transport: Any, request: Any) -> httpx2.Response:
        body = b"".join(request.stream)
        request.stream = httpx2.ByteStream(body)  # reading it used it up
        found, seen = _answer(tape, request, body, realtime=realtime)
        if found is not None:
            return found.response()
        recording = Recording(tape, seen)
        try:
            return recording.watch(_SYNC(transport, _uncompressed(request)))
        except httpx2.TransportError as error:
            recording.fail(error)
            raise

    async def handle_async_request(transport: Any, request: Any) -> httpx2.Response:
        body = b"".join([part async for part in request.stream])
        request.stream = httpx2.ByteStream(body)
        found, seen = _answer(tape, request, body, realtime=realtime)
        if found is not None:
            return await found.aresponse()
        recording = Recording(tape, seen)
        try:
            return recording.watch(await _carried(transport, _uncompressed(request)))
        except httpx2.TransportError as error:
            recording.fail(error)
            raise

    with ExitStack() as patches:
        patches.enter_context(patch.object(httpx2.HTTPTransport, "handle_request", handle_request))
        patches.enter_context(patch.object(httpx2.AsyncHTTPTransport, "handle_async_request", handle_async_request))
        for owner, name, function in _httpx(tape):
            patches.enter_context(patch.object(owner, name, function))
        yield


async def _carried(transport: Any, request: httpx2.Request) -> httpx2.Response:
    """Send a request that we record: vcrpy's patch of aiohttp, which may be underneath, is to let it pass."""
    mark = carrying.set(True)
    try:
        return await _ASYNC(transport, request)
    finally:
        carrying.reset(mark)


def _answer(tape: Tape, request: httpx2.Request, body: bytes, *, realtime: bool) -> tuple[Replay | None, Any]:
    """Return the recorded answer, None where the request is to be sent; and the request as vcrpy sees it."""
    seen = Request(request.method, str(request.url), body, dict(request.headers))
    recorded, fault = tape.take(seen)
    if recorded is None:
        return None, seen
    limit = request.extensions.get("timeout", {}).get("read")
    return Replay(recorded, fault, realtime=realtime, read_s=limit), seen


def _uncompressed(request: httpx2.Request) -> httpx2.Request:
    """Ask for an answer that is not compressed, so that its pieces are those in which it was written."""
    if not request.headers.get("authorization", "").startswith("AWS4"):  # it signs the other headers
        request.headers["accept-encoding"] = "identity"
    return request


def _httpx(tape: Tape) -> Iterator[tuple[Any, str, Any]]:
    """Give vcrpy's patches for httpx. Not all of them: an application under test is itself called through ASGI."""
    try:
        httpx = import_module("httpx")
    except ImportError:  # it is here only if something other than our SDKs brought it
        return
    from vcr.stubs import httpx_stubs  # type: ignore[import-untyped]

    blocking, asynchronous = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request
    yield httpx.HTTPTransport, "handle_request", httpx_stubs.vcr_handle_request(tape, blocking, httpx)
    replacement = httpx_stubs.vcr_handle_async_request(tape, asynchronous, httpx)
    yield httpx.AsyncHTTPTransport, "handle_async_request", replacement
