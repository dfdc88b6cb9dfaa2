"""The face drives real routers in both worlds, over real sockets."""

from __future__ import annotations

from functools import partial

import pytest

from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI, PROTOCOLS, Protocol
from tests.worlds import Face

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)


@each_protocol
def test_a_chat_brings_the_answer(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply("Hello from afar."))
    with face.router(protocol.config(server.url)) as router:
        assert face.chat(router, "r", "hello").content == "Hello from afar."
    assert server.models == [protocol.model]


@each_protocol
def test_a_stream_brings_the_words(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply("Hello from afar."))
    with face.router(protocol.config(server.url)) as router:
        assert face.text(router, "r", "hello") == ["Hello", " from", " afar."]


def test_a_stream_ends_with_its_response(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("Hello from afar."))
    with face.router(OPENAI.config(server.url)) as router:
        events = face.events(router, "r", "hello")
    assert events[-1].response.content == "Hello from afar."


def test_calls_can_be_made_at_once(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("Hello."))
    with face.router(OPENAI.config(server.url)) as router:
        replies = face.at_once([partial(router.chat, "r", f"hello {n}") for n in range(4)])
    assert [reply.content for reply in replies] == ["Hello."] * 4


@each_protocol
def test_a_stream_that_is_left_closes_its_connection(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.stream("Hello from afar.").stalled(len(protocol.chunks("Hello from afar.")) - 1, 30))
    with face.router(protocol.config(server.url)) as router:
        with face.stream(router, "r", "hello") as stream:
            assert next(iter(stream)) == "Hello"
        assert server.wait_for(lambda s: len(s.early_closes) == 1)
