"""Characters that a server has cut in two: what is handed on is whole, and can be printed and sent back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from llmrouter import Image, InvalidRequestError, Message, Text, Tool, ToolCall
from llmrouter.types import Private
from tests.chains import Mode, ask, chain, each_mode, each_protocol, failing
from tests.conftest import FaultServers
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, OPENAI, Answer, Call, Protocol
from tests.servers.replies import Reply, raw_reply, sse
from tests.worlds import Face

EMOJI = "\N{GRINNING FACE}"
FIRST, SECOND = b"\\ud83d", b"\\ude00"  # as JSON writes it
CASES = {  # what comes, and what it means
    "both halves": (FIRST, SECOND, f"Well{EMOJI} done"),
    "the first half alone": (FIRST, b"", "Well\ufffd done"),
    "the second half alone": (b"", SECOND, "Well\ufffd done"),
}


def cut(protocol: Protocol, first: bytes, second: bytes) -> Reply:
    """A stream of two pieces, with a half at the end of the first and at the start of the second."""
    chunks = protocol.chunks(Answer("WellONE TWOdone"))
    return sse([each.replace(b"ONE", first).replace(b" TWO", second + b" ") for each in chunks], protocol.headers)


@each_protocol
@pytest.mark.parametrize("case", CASES)
def test_a_stream_hands_on_whole_characters(
    face: Face, fault_server: FaultServers, protocol: Protocol, case: str
) -> None:
    first, second, meant = CASES[case]
    server = fault_server(cut(protocol, first, second))
    with face.router(chain((protocol, server))) as router, face.stream(router, "r", "hello") as stream:
        pieces = list(stream)
        response = stream.response
    assert "".join(pieces) == response.content == meant
    "".join(pieces).encode()
    for piece in pieces:
        piece.encode()  # each can be printed by itself


@each_protocol
@each_mode
def test_half_a_character_at_the_end_of_an_answer_can_be_sent_back(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    def answer(request: Request) -> Reply:
        replies = {True: protocol.stream("Well.ONE"), False: protocol.complete("Well.ONE")}[request.streamed]
        pieces = [each.replace(b"ONE", FIRST) for each in replies.pieces]
        return sse(pieces, protocol.headers) if request.streamed else raw_reply(b"".join(pieces), "application/json")

    server = fault_server(answer)
    with face.router(chain((protocol, server))) as router:
        reply = ask(face, router, mode)
        ask(
            face, router, mode, [{"role": "user", "content": "hello"}, reply.message, {"role": "user", "content": "on"}]
        )
    assert reply.content == "Well.\ufffd"
    assert len(server.requests) == 2


@each_protocol
def test_half_a_character_that_ends_a_stream_is_told_in_its_last_piece(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    pieces = [each.replace(b"ONE", FIRST) for each in protocol.chunks("Well.ONE")]
    with face.router(chain((protocol, fault_server(sse(pieces, protocol.headers))))) as router:
        events = face.events(router, "r", "hello")
    assert "".join(event.text for event in events if isinstance(event, Text)) == events[-1].response.content


THOUGHT: dict[str, Callable[[str], Any]] = {
    "anthropic": lambda text: [{"type": "thinking", "thinking": text, "signature": "s"}],
    "google": lambda text: [{"text": text, "thought": True}],
    "openai": lambda text: {"reasoning_content": text},
    "responses": lambda text: [{"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}],
}


@each_protocol
@each_mode
def test_half_a_character_in_a_private_part_is_told_with_its_place_before_any_request(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply())
    data = THOUGHT[protocol.name]("hm \ud83d")
    answer = Message("assistant", "Well.", private=(Private("other", "whole"), Private("first", data)))
    with face.router(chain((protocol, server))) as router:
        error = failing(InvalidRequestError, face, router, mode, [Message("user", "hello"), answer])
    assert "messages[1].private[1] holds half of a character" in str(error)
    assert not server.requests


HALVED: dict[str, dict[str, Any]] = {
    "a name": {"messages": [Message("user", "hello", name="\ud83d")]},
    "a URL": {"messages": [Message("user", (Image(url="https://a.invalid/\ud83d"),))]},
    "a call of a tool": {"messages": [Message("user", "x"), Message("assistant", "", (ToolCall("c", "\ud83d", {}),))]},
    "a tool": {"messages": "hello", "tools": [Tool("look", "at \ud83d")]},
    "parameters": {"messages": "hello", "tools": [Tool("look", "", {"type": "object", "title": "\ud83d"})]},
    "a schema": {"messages": "hello", "schema": {"type": "object", "title": "\ud83d"}},
    "a stop word": {"messages": "hello", "stop": ["\ud83d"]},
}


@pytest.mark.parametrize("given", HALVED.values(), ids=HALVED)
def test_half_a_character_anywhere_in_a_call_is_told_before_any_request(
    face: Face, fault_server: FaultServers, given: dict[str, Any]
) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router:
        error = failing(InvalidRequestError, face, router, "chat", **given)
    assert "holds half of a character" in str(error)
    assert not server.requests


@pytest.mark.parametrize("case", CASES)
@each_mode
def test_thoughts_that_a_server_has_cut_can_be_sent_back(
    face: Face, fault_server: FaultServers, case: str, mode: Mode
) -> None:
    first, second, meant = CASES[case]
    thought, halves = b"WHAT IT THINKS", (b"Well" + first, second + b" done")

    def answer(request: Request) -> Reply:
        reply = ANTHROPIC.reply(Answer("So.", reasoning=thought.decode()))(request)
        cut = halves if request.streamed else (b"".join(halves),)
        pieces = [
            each.replace(thought, half) for each in reply.pieces for half in (cut if thought in each else cut[:1])
        ]
        return replace(reply, pieces=pieces)

    server = fault_server(answer)
    with face.router(chain((ANTHROPIC, server))) as router:
        reply = ask(face, router, mode)
        ask(face, router, mode, [Message("user", "hello"), reply.message, Message("user", "on")])
    assert meant in str(reply.message.private)
    assert meant in json.dumps(server.requests[1].json, ensure_ascii=False)


def test_the_arguments_of_a_tool_are_made_whole(face: Face, fault_server: FaultServers) -> None:
    pieces = OPENAI.chunks(Answer("", calls=(Call(arguments={"city": "OsloONE TWO"}),)))
    halves = [each.replace(b"ONE", FIRST).replace(b" TWO", SECOND) for each in pieces]
    assert sum(FIRST in each or SECOND in each for each in halves) > 0
    with face.router(chain((OPENAI, fault_server(sse(halves, OPENAI.headers))))) as router:
        reply = face.events(router, "r", "hello")[-1].response
    assert reply.tool_calls[0].arguments == {"city": f"Oslo{EMOJI}"}


def test_half_a_character_in_a_text_to_embed_is_told_before_any_request(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.embeds())
    config = chain((OPENAI, server))
    config["routes"]["r"]["model"] = "first/text-embedding-3-small"
    with face.router(config) as router, pytest.raises(InvalidRequestError, match=r"texts\[1\]"):
        face.embed(router, "r", ["whole", "half \ud83d"])
    assert not server.requests
