"""Characters that a server has cut in two: what is handed on is whole, and can be printed and sent back."""

from __future__ import annotations

import pytest

from llmrouter import InvalidRequestError, Text
from tests.chains import Mode, ask, chain, each_mode, each_protocol
from tests.conftest import FaultServers
from tests.servers.http1 import Request
from tests.servers.protocols import OPENAI, Answer, Call, Protocol
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
