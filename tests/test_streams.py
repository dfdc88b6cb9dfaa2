"""What a stream hands out, and what is left of it when its reader goes away."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest

from llmrouter import Done, Reasoning, Text, ToolCallDelta
from tests.chains import WORDS, ask, before, chain, each_protocol, within
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI, PROTOCOLS, Answer, Call, Protocol
from tests.worlds import Face

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)

# ------------------------------------------------------------------------------------------------ what comes


@every_protocol
def test_text_comes_word_by_word_and_then_done(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply("Hello from afar."))
    with face.router(chain((protocol, server))) as router:
        *pieces, done = face.events(router, "r", "hello")
    assert pieces == [Text("Hello"), Text(" from"), Text(" afar.")]
    assert isinstance(done, Done)


@every_protocol
def test_text_is_handed_on_as_soon_as_it_comes(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(
        protocol.stream("Hello from afar.").stalled(before(protocol.chunks("Hello from"), " from"), 0.5)
    )
    with face.router(chain((protocol, server))) as router, face.stream(router, "r", "hello") as stream, within(2.0):
        assert next(iter(stream)) == "Hello"


@every_protocol
def test_a_stream_ends_in_the_same_response_as_a_chat(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply(Answer("Hello from afar.", input_tokens=40, cache_read=30, output_tokens=9)))
    with face.router(chain((protocol, server))) as router:
        whole, streamed = ask(face, router, "chat"), ask(face, router, "stream")
    for field in (
        "content",
        "finish_reason",
        "provider_finish_reason",
        "model",
        "target",
        "usage",
        "cost_usd",
        "request_id",
    ):
        assert getattr(whole, field) == getattr(streamed, field), field


@every_protocol
def test_tool_calls_come_in_pieces_that_make_the_whole(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    calls = (Call(), Call("weather", {"city": "Rome"}, "call_2"))
    server = fault_server(protocol.reply(Answer("", calls=calls)))
    with face.router(chain((protocol, server))) as router:
        events = face.events(router, "r", "hello")
    pieces = [event for event in events if isinstance(event, ToolCallDelta)]
    for index, call in enumerate(events[-1].response.tool_calls):
        mine = [piece for piece in pieces if piece.index == index]
        assert "".join(piece.arguments_json for piece in mine) == call.arguments_json
        assert [piece.name for piece in mine if piece.name] == ["weather"]
    assert [call.arguments for call in events[-1].response.tool_calls] == [{"city": "Oslo"}, {"city": "Rome"}]


@every_protocol
def test_reasoning_is_an_event_of_its_own(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply(Answer("42.", reasoning="Let me think.")))
    with face.router(chain((protocol, server))) as router:
        events = face.events(router, "r", "hello")
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == "Let me think."
    assert (events[-1].response.reasoning, events[-1].response.content) == ("Let me think.", "42.")


@every_protocol
def test_plain_iteration_gives_text_alone(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply(Answer("42.", reasoning="Let me think.")))
    with face.router(chain((protocol, server))) as router:
        assert face.text(router, "r", "hello") == ["42."]


def test_the_response_before_the_end_is_a_clear_mistake(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply())))
    with face.router(config) as router, face.stream(router, "r", "hello") as stream:
        next(iter(stream))
        with pytest.raises(RuntimeError, match="has not ended"):
            _ = stream.response


def test_a_stream_sends_nothing_until_it_is_read(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router, face.stream(router, "r", "hello"):
        pass
    assert not server.requests


def test_a_stream_that_has_ended_stays_ended(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply("One."))))) as router:
        stream = face.stream(router, "r", "hello")
        assert list(stream) == ["One."]
        assert list(stream) == []
        stream.close()
        assert stream.response.content == "One."


@every_protocol
def test_one_connection_serves_stream_after_stream(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply("Hello from afar."))
    with face.router(chain((protocol, server))) as router:
        for _ in range(3):
            face.text(router, "r", "hello")
    assert server.connections == 1


# ------------------------------------------------------------------------------------------------ readers that leave


def endless(fault_server: FaultServers, protocol: Protocol) -> FaultServer:
    """A server whose stream falls silent after twenty of sixty words, for good."""
    return fault_server(protocol.stream(WORDS).stalled(before(protocol.chunks(WORDS), "w20"), 30))


def assert_left(server: FaultServer, router: Any, left_at: float) -> None:
    """The server saw the connection close within half a second, and the attempt was booked."""
    assert server.wait_for(lambda s: len(s.early_closes) == 1, 1.0)
    assert server.early_closes[0].at - left_at < 0.5
    assert router.total_cost > 0


@every_protocol
def test_closing_a_stream_closes_its_connection_and_books_it(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = endless(fault_server, protocol)
    with face.router(chain((protocol, server))) as router:
        stream = face.stream(router, "r", "hello")
        words = iter(stream)
        assert [next(words) for _ in range(3)] == ["w00", " w01", " w02"]
        left_at = time.monotonic()
        stream.close()
        assert_left(server, router, left_at)


@every_protocol
def test_an_exception_in_the_reader_closes_the_connection(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = endless(fault_server, protocol)
    with face.router(chain((protocol, server))) as router:
        with pytest.raises(ZeroDivisionError):
            stumble(face, router)
        assert_left(server, router, time.monotonic())


def stumble(face: Face, router: Any) -> None:
    """Read one word of a stream, and fail over it."""
    with face.stream(router, "r", "hello") as stream:
        for word in stream:
            _ = len(word) / 0


@each_protocol
def test_breaking_out_of_the_loop_closes_the_connection_once_nobody_holds_the_stream(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = endless(fault_server, protocol)
    with face.router(chain((protocol, server))) as router:
        if face.world == "sync":
            for _word in router.stream("r", "hello"):
                break
        else:

            async def read() -> None:
                async for _word in router.stream("r", "hello"):
                    break
                await asyncio.sleep(0.01)  # the loop must run for the close to happen

            face.run(read)
        left_at = time.monotonic()
        gc.collect()
        assert_left(server, router, left_at)


@each_protocol
@pytest.mark.parametrize("after", ["w00", "w20"], ids=["before the first token", "after twenty words"])
def test_cancelling_the_reader_closes_the_connection(
    fault_server: FaultServers, protocol: Protocol, after: str
) -> None:
    face = Face("async")
    server = fault_server(protocol.stream(WORDS).stalled(before(protocol.chunks(WORDS), after), 30))
    with face.router(chain((protocol, server))) as router:

        async def cancelled() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await consume(router)

        face.run(cancelled)
        assert_left(server, router, time.monotonic())
    assert not face.close()


async def consume(router: Any) -> None:
    """Read a stream to its end."""
    async for _word in router.stream("r", "hello"):
        pass


@each_protocol
def test_cancelling_a_chat_closes_its_connection_and_books_it(fault_server: FaultServers, protocol: Protocol) -> None:
    face = Face("async")
    server = fault_server(protocol.complete().after(30))
    with face.router(chain((protocol, server))) as router:

        async def cancelled() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await router.chat("r", "hello")

        face.run(cancelled)
        assert_left(server, router, time.monotonic())
    assert not face.close()


@every_protocol
def test_what_was_received_of_an_abandoned_stream_is_estimated(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = endless(fault_server, protocol)
    with face.router(chain((protocol, server))) as router:
        with face.stream(router, "r", "hello") as stream:
            words = iter(stream)
            for _ in range(20):
                next(words)
        few = router.total_cost
    assert 20 * 10e-6 / 10 < few < 20 * 100e-6  # PRICE: $10 per million tokens out, two tokens a word or so


def test_closing_twice_books_once(face: Face, fault_server: FaultServers) -> None:
    server = endless(fault_server, OPENAI)
    with face.router(chain((OPENAI, server))) as router:
        stream = face.stream(router, "r", "hello")
        next(iter(stream))
        stream.close()
        booked = router.total_cost
        stream.close()
        assert router.total_cost == booked > 0


def test_a_router_lives_on_after_an_abandoned_stream(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.stream(WORDS).stalled(9, 30), OPENAI.reply("Alive.")])
    with face.router(chain((OPENAI, server))) as router:
        with face.stream(router, "r", "hello") as stream:
            next(iter(stream))
        assert ask(face, router, "chat").content == "Alive."
