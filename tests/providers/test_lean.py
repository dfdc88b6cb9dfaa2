"""The lean clients send what httpx itself would send, and leave to it whatever goes beyond that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, strategies as st

from llmrouter.providers.http import AsyncByteStream
from llmrouter.providers.lean import LeanAsyncClient, LeanClient

URL = "https://example.test/v1/chat?key=a%20b"
LIMITS = httpx2.Timeout(30, connect=5)


def answer(request: httpx2.Request) -> httpx2.Response:
    """Answer, with a cookie that nobody is to send back."""
    if request.url.path == "/moved":
        return httpx2.Response(307, headers={"location": "https://elsewhere.test/"})
    return httpx2.Response(200, json={"path": request.url.path}, headers={"set-cookie": "who=me"})


def lean(transport: httpx2.BaseTransport | None = None) -> LeanClient:
    return LeanClient(transport or httpx2.MockTransport(answer))


def plain() -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(answer), trust_env=False)


def shape(request: httpx2.Request) -> Any:
    """What a request is made of; the order of its headers means nothing."""
    return request.method, str(request.url), sorted(request.headers.raw), request.content, dict(request.extensions)


names = st.sampled_from(
    ["accept", "Accept", "User-Agent", "x-api-key", "X-Stainless-Lang", "connection", "Content-Type"]
)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@given(headers=st.dictionaries(names, values), content=st.binary(max_size=50), method=st.sampled_from(["POST", "post"]))
def test_a_request_is_the_one_that_httpx_builds(headers: dict[str, str], content: bytes, method: str) -> None:
    given_as: tuple[Any, ...] = (headers, httpx2.Headers(headers), list(httpx2.Headers(headers).multi_items()))
    with lean() as ours, plain() as theirs:
        for each in given_as:
            options: dict[str, Any] = {"headers": each, "content": content, "timeout": LIMITS}
            built = ours.build_request(method, URL, **options)
            assert shape(built) == shape(theirs.build_request(method, URL, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"a": 1}, "timeout": LIMITS},
        {"content": b"x", "timeout": LIMITS, "params": {"q": "1"}},
        {"content": b"x", "timeout": LIMITS, "cookies": {"c": "1"}},
        {"content": b"x", "timeout": 7.0},
        {"content": b"x"},
        {"data": {"a": "b"}, "timeout": LIMITS},
    ],
    ids=["json", "params", "cookies", "seconds", "the client's own limits", "form"],
)
def test_what_goes_beyond_is_built_by_httpx(options: dict[str, Any]) -> None:
    with lean() as ours, plain() as theirs:
        assert shape(ours.build_request("POST", URL, **options)) == shape(theirs.build_request("POST", URL, **options))


def test_a_url_object_will_do() -> None:
    with lean() as client:
        built = client.build_request("POST", httpx2.URL(URL), content=b"x", timeout=LIMITS)
    assert str(built.url) == URL


def test_an_answer_is_read_and_knows_its_request() -> None:
    with lean() as client:
        request = client.build_request("POST", URL, content=b"x", timeout=LIMITS)
        response = client.send(request)
    assert response.is_closed
    assert response.json() == {"path": "/v1/chat"}
    assert response.request is request


def test_a_stream_is_left_to_be_read() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one "
        yield b"two"

    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=pieces()))
    with lean(transport) as client:
        response = client.send(client.build_request("POST", URL, content=b"x", timeout=LIMITS), stream=True)
        assert not response.is_closed
        assert b"".join(response.iter_bytes()) == b"one two"


def test_a_cookie_is_not_sent_back() -> None:
    with lean() as client:
        for _ in range(2):
            request = client.build_request("POST", URL, content=b"x", timeout=LIMITS)
            client.send(request)
    assert "cookie" not in request.headers


def test_a_redirect_is_an_answer() -> None:
    with lean() as client:
        request = client.build_request("POST", "https://example.test/moved", content=b"x", timeout=LIMITS)
        assert client.send(request).status_code == 307


class _Broken(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that breaks off."""

    closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"half"
        raise httpx2.ReadError("cut")

    async def __aiter__(self) -> Any:
        yield b"half"
        raise httpx2.ReadError("cut")

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def test_an_answer_that_breaks_off_is_closed() -> None:
    body = _Broken()
    with lean(httpx2.MockTransport(lambda _: httpx2.Response(200, stream=body))) as client:
        request = client.build_request("POST", URL, content=b"x", timeout=LIMITS)
        with pytest.raises(httpx2.ReadError):
            client.send(request)
    assert body.closed


def test_a_closed_client_says_so() -> None:
    client = lean()
    request = client.build_request("POST", URL, content=b"x", timeout=LIMITS)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.send(request)


def test_the_asynchronous_client_does_the_same() -> None:
    async def asked() -> None:
        async with LeanAsyncClient(httpx2.MockTransport(answer)) as client:
            request = client.build_request("POST", URL, content=b"x", timeout=LIMITS)
            with plain() as theirs:
                assert shape(request) == shape(theirs.build_request("POST", URL, content=b"x", timeout=LIMITS))
            response = await client.send(request)
            assert response.json() == {"path": "/v1/chat"}
            assert response.request is request
            again = client.build_request("POST", URL, json={"a": 1})
            assert "cookie" not in again.headers
        with pytest.raises(RuntimeError, match="closed"):
            await client.send(request)

    asyncio.run(asked())


def test_an_answer_that_breaks_off_asynchronously_is_closed() -> None:
    body = _Broken()

    async def asked() -> None:
        async with LeanAsyncClient(httpx2.MockTransport(lambda _: httpx2.Response(200, stream=body))) as client:
            with pytest.raises(httpx2.ReadError):
                await client.send(client.build_request("POST", URL, content=b"x", timeout=LIMITS))

    asyncio.run(asked())
    assert body.closed


class _Pieces(httpx2.AsyncByteStream):
    """A body of two pieces, made by a generator that notes its end."""

    ended = False

    async def __aiter__(self) -> Any:
        try:
            yield b"one"
            yield b"two"
        finally:
            self.ended = True


def test_a_stream_that_is_closed_half_way_leaves_no_generator_to_the_collector() -> None:
    body = _Pieces()

    async def asked() -> None:
        chunks = AsyncByteStream(httpx2.Response(200, stream=body))
        assert await anext(chunks) == b"one"
        await chunks.close()
        assert body.ended

    asyncio.run(asked())


def test_a_stream_is_closed_while_somebody_waits_for_its_next_piece() -> None:
    class Silent(httpx2.AsyncByteStream):
        closed = asyncio.Event()

        async def __aiter__(self) -> Any:
            yield b"one"
            await self.closed.wait()

        async def aclose(self) -> None:
            self.closed.set()

    async def asked() -> None:
        chunks = AsyncByteStream(httpx2.Response(200, stream=Silent()))
        assert await anext(chunks) == b"one"
        waiting = asyncio.ensure_future(anext(chunks, b"nothing"))
        await asyncio.sleep(0)
        await chunks.close()
        assert await waiting == b"nothing"

    asyncio.run(asked())
