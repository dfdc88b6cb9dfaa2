"""How long a router lives, and who may share it: threads, tasks, event loops, forked processes."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import Any

import pytest

from llmrouter import AsyncRouter, Router
from tests.chains import THREE, ask, chain, each_protocol
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI, Protocol
from tests.worlds import Face


@each_protocol
def test_closing_a_router_closes_its_connections(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply())
    with face.router(chain((protocol, server))) as router:
        ask(face, router, "chat")
        assert server.open_connections == 1
    assert server.wait_for(lambda s: s.open_connections == 0)


@each_protocol
def test_a_closed_router_opens_again_when_it_is_asked(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply("Again."))
    with face.router(chain((protocol, server))) as router:
        ask(face, router, "chat")
        face.run(router.close)
        assert ask(face, router, "chat").content == "Again."


def test_a_router_may_be_closed_twice(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply())))) as router:
        ask(face, router, "chat")
        face.run(router.close)
        face.run(router.close)


@each_protocol
def test_calls_at_once_are_each_answered(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    def echo(request: Any) -> Any:
        number = next(word for word in request.body.decode().replace('"', " ").split() if word.startswith("number-"))
        return protocol.reply(number)

    server = fault_server(echo)
    with face.router(chain((protocol, server))) as router:
        replies = face.at_once([partial(router.chat, "r", f"number-{n} please") for n in range(16)])
    assert [reply.content for reply in replies] == [f"number-{n}" for n in range(16)]


@each_protocol
def test_a_blocking_router_works_under_a_running_loop(fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply("Here."))

    async def inside() -> str:
        with Router(chain((protocol, server))) as router:
            return router.chat("r", "hello").content + "".join(router.stream("r", "hello"))

    assert asyncio.run(inside()) == "Here.Here."


@each_protocol
def test_an_async_router_serves_loop_after_loop(fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply("Here."))
    router = AsyncRouter(chain((protocol, server)))

    async def asked() -> str:
        async with router:
            reply = await router.chat("r", "hello")
            return reply.content

    assert [asyncio.run(asked()) for _ in range(3)] == ["Here."] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on, forking beside threads warns")
@each_protocol
def test_after_a_fork_each_process_has_its_own_connection(fault_server: FaultServers, protocol: Protocol) -> None:
    server: FaultServer = fault_server(protocol.reply("Here."))
    with Router(chain((protocol, server))) as router:
        router.chat("r", "in the parent")
        child = os.fork()
        if child == 0:
            answered = False
            try:
                answered = router.chat("r", "in the child").content == "Here."
            finally:
                os._exit(0 if answered else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert router.chat("r", "in the parent again").content == "Here."
    used = {request.body.decode().split("in the ")[1].split('"')[0]: request.connection for request in server.requests}
    assert used["parent"] == used["parent again"] != used["child"]


def test_providers_may_be_mixed_in_one_router(face: Face, fault_server: FaultServers) -> None:
    rungs = [(protocol, fault_server(protocol.reply(protocol.name))) for protocol in THREE]
    config = chain(*rungs)
    with face.router(config) as router:
        targets = [f"{name}/{protocol.model}" for name, (protocol, _) in zip(config["providers"], rungs, strict=True)]
        replies = face.at_once([partial(router.chat, target, "hello") for target in targets * 4])
    assert [reply.content for reply in replies] == ["openai", "anthropic", "google"] * 4
