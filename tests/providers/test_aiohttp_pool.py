"""aiohttp under httpx: what the asynchronous world's connections promise beside what every fault test asks of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from llmrouter.providers.base import ProviderSettings
from llmrouter.providers.http import async_client

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"


class Canned:
    """A server that gives every request the same bytes, and counts connections."""

    def __init__(self, reply: bytes = REPLY, *, wait_s: float = 0.0, then_close: bool = False) -> None:
        self.reply, self.wait_s, self.then_close = reply, wait_s, then_close
        self.opened = 0
        self.open = 0
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                await asyncio.sleep(self.wait_s)
                writer.write(self.reply)
                if self.then_close:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open -= 1
            writer.close()


def against(server: Canned, use: Callable[[httpx2.AsyncClient, str], Awaitable[None]], **settings: int) -> None:
    """Run `use(client, url)` with a client of ours and the server listening."""

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"
        async with listening, async_client(ProviderSettings("p", "openai", **settings)) as client:  # type: ignore[arg-type]
            await use(client, url)

    asyncio.run(run())


def test_a_connection_serves_one_request_after_another() -> None:
    server = Canned()

    async def use(client: httpx2.AsyncClient, url: str) -> None:
        for _ in range(3):
            assert (await client.get(url)).content == b"ok"

    against(server, use)
    assert server.opened == 1


def test_no_more_connections_than_the_pool_allows() -> None:
    server = Canned(wait_s=0.02)

    async def use(client: httpx2.AsyncClient, url: str) -> None:
        await asyncio.gather(*(client.get(url) for _ in range(6)))

    against(server, use, max_connections=2)
    assert server.opened == 2


def test_idle_connections_beyond_keepalive_are_closed() -> None:
    server = Canned(wait_s=0.02)

    async def use(client: httpx2.AsyncClient, url: str) -> None:
        await asyncio.gather(*(client.get(url) for _ in range(5)))
        await asyncio.sleep(0.05)
        assert server.open == 2

    against(server, use, keepalive=2)
    assert server.opened == 5


def test_a_full_pool_is_a_matter_of_its_own_limit() -> None:
    server = Canned(wait_s=0.3)

    async def use(client: httpx2.AsyncClient, url: str) -> None:
        limits = httpx2.Timeout(5, connect=0.05, pool=5)
        replies = await asyncio.gather(*(client.get(url, timeout=limits) for _ in range(2)))
        assert [reply.content for reply in replies] == [b"ok", b"ok"]

    against(server, use, max_connections=1)


def test_a_silent_server_is_a_read_timeout() -> None:
    async def use(client: httpx2.AsyncClient, url: str) -> None:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(url, timeout=httpx2.Timeout(0.05, connect=5))

    against(Canned(wait_s=1.0), use)


def test_what_came_before_a_break_is_handed_on() -> None:
    async def use(client: httpx2.AsyncClient, url: str) -> None:
        async with client.stream("GET", url) as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"half"
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(pieces)

    against(Canned(CUT, then_close=True), use)


def test_a_body_left_early_does_not_serve_the_next_request() -> None:
    server = Canned(CUT)

    async def use(client: httpx2.AsyncClient, url: str) -> None:
        async with client.stream("GET", url):
            pass
        server.reply = REPLY
        assert (await client.get(url)).content == b"ok"

    against(server, use)
    assert server.opened == 2


def test_the_headers_are_httpx_s_alone() -> None:
    server = Canned()

    async def use(client: httpx2.AsyncClient, url: str) -> None:
        await client.post(url, content=b"", headers=[(b"user-agent", b"me"), (b"x-name", "ü".encode())])

    against(server, use)
    sent = server.heads[0].lower()
    assert sent.count(b"user-agent") == 1
    assert b"aiohttp" not in sent
    assert "x-name: ü".encode() in sent


def test_an_address_of_ipv6_is_one() -> None:
    async def use(client: httpx2.AsyncClient, url: str) -> None:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://[::1]:9/")

    against(Canned(), use)


def _drop_in_a_child(client: httpx2.AsyncClient) -> None:
    child = os.fork()
    if child == 0:
        client._transport._pool._session = None  # type: ignore[attr-defined]  # what is dropped is collected
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_leaves_the_connections_of_its_parent_alone() -> None:
    server = Canned()

    async def use(client: httpx2.AsyncClient, url: str) -> None:
        await client.get(url)
        _drop_in_a_child(client)
        assert (await client.get(url)).content == b"ok"

    against(server, use)
    assert server.opened == 1
