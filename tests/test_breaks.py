"""Answers that are broken on the way, servers that are not who they should be, and streams that end oddly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter import (
    APIConnectionError,
    ContentFilterError,
    LengthError,
    MalformedResponseError,
    OutputInvalidError,
    ProviderError,
    Restart,
    StreamInterruptedError,
    Text,
)
from tests.chains import (
    WORDS,
    Mode,
    ask,
    before,
    broken_off,
    chain,
    each_mode,
    each_protocol,
    failing,
    outcomes,
    within,
)
from tests.conftest import FaultServers
from tests.servers.faults import refused_port
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, Answer, Call, Protocol
from tests.servers.replies import Reply, broken_gzip, gzipped, html, invalid_utf8, raw_reply, recut, redirect, sse
from tests.servers.tls import Authority
from tests.worlds import Face

ONCE = {"attempts": 1}
UNHURRIED: dict[str, Any] = {"timeouts": {"attempt": "2m"}, "deadline": "4m"}

# ------------------------------------------------------------------------------------------------ bodies


def spoilt(protocol: Protocol) -> dict[str, Reply]:
    """Answers with status 200 that cannot be read."""
    body = json.loads(b"".join(protocol.complete().pieces))
    return {
        "gzip that breaks": broken_gzip(body),
        "a page of a proxy": html(),
        "JSON of somebody else": raw_reply(b'{"hello": "world"}', "application/json"),
        "a list": raw_reply(b"[]", "application/json"),
        "null": raw_reply(b"null", "application/json"),
        "deep nesting": raw_reply(b"[" * 100_000, "application/json"),
    }


@each_protocol
@pytest.mark.parametrize("way", spoilt(OPENAI))
def test_an_answer_that_cannot_be_read_is_malformed(
    face: Face, fault_server: FaultServers, protocol: Protocol, way: str
) -> None:
    server = fault_server(spoilt(protocol)[way])
    with face.router(chain((protocol, server), retry={"attempts": 2})) as router:
        error = failing(MalformedResponseError, face, router, "chat")
    assert error.target == f"first/{protocol.model}"
    assert len(server.requests) == 2


NO_STREAM = {
    "page": html(),
    "page that calls itself a stream": raw_reply(b"<html>\n<p>Please sign in.\n\n", "text/event-stream"),
    "page that calls itself JSON": raw_reply(b"<html>Please sign in.", "application/json"),
    "text": raw_reply(b"upstream timed out", "text/plain"),
}


@each_protocol
@pytest.mark.parametrize("way", NO_STREAM)
def test_what_is_no_stream_is_malformed(face: Face, fault_server: FaultServers, protocol: Protocol, way: str) -> None:
    server = fault_server(NO_STREAM[way])
    with face.router(chain((protocol, server), retry=ONCE)) as router:
        error = failing(MalformedResponseError, face, router, "stream")
    assert error.target == f"first/{protocol.model}"
    assert any(words in str(error) for words in ("<html>", "<!doctype", "upstream timed out"))


@each_protocol
@pytest.mark.parametrize("body", [b"", b"\n\n", b": wait\n\n", b"dat"])
def test_a_stream_that_ends_before_its_first_event_is_interrupted(
    face: Face, fault_server: FaultServers, protocol: Protocol, body: bytes
) -> None:
    server = fault_server(raw_reply(body, "text/event-stream"))
    with face.router(chain((protocol, server), retry=ONCE)) as router:
        failing(StreamInterruptedError, face, router, "stream")


@each_protocol
@pytest.mark.parametrize("way", ["nothing", "an empty answer"])
def test_a_stream_without_a_word_is_asked_for_again(
    face: Face, fault_server: FaultServers, protocol: Protocol, way: str
) -> None:
    silent = raw_reply(b"", "text/event-stream") if way == "nothing" else protocol.stream(Answer(""))
    server = fault_server([silent, protocol.reply("Here.")])
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, "stream").content == "Here."
    assert len(server.requests) == 2


@each_protocol
def test_a_stream_whose_gzip_breaks_is_interrupted(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    chunks = protocol.chunks(WORDS)
    server = fault_server(gzipped(chunks, protocol.headers, damaged_at=before(chunks, "w40")))
    with face.router(chain((protocol, server), retry=ONCE)) as router:
        received, error = broken_off(face, router)
    assert received == error.partial  # what arrives together with the damage is lost with it
    assert " ".join(WORDS.split()[:40]).startswith(received)
    assert isinstance(error.__cause__, MalformedResponseError)


@each_protocol
def test_chat_over_a_stream_whose_gzip_breaks_moves_on(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks(WORDS)
    broken = fault_server(gzipped(chunks, protocol.headers, damaged_at=before(chunks, "w40")))
    rungs = (protocol, broken), (protocol, fault_server(protocol.reply(WORDS)))
    with face.router(chain(*rungs, retry=ONCE, timeouts={"idle": "5s"})) as router:
        assert ask(face, router, "chat").content == WORDS


@each_protocol
def test_a_page_with_an_error_status_is_classed_by_its_status(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server([html(502), protocol.reply("Fine.")])
    with face.router(chain((protocol, server))) as router:
        reply = ask(face, router, "chat")
    assert reply.content == "Fine."
    assert reply.attempts[0].error.status == 502


@each_protocol
def test_invalid_utf8_never_passes_as_a_crash(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(invalid_utf8(json.loads(b"".join(protocol.complete().pieces))))
    with face.router(chain((protocol, server), retry=ONCE)) as router:
        failing(MalformedResponseError, face, router, "chat")


@each_protocol
def test_invalid_utf8_in_a_stream_becomes_the_replacement_character(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = [chunk.replace(b" afar.", b" a\xff.") for chunk in protocol.chunks("Hello from afar.")]
    server = fault_server(sse(chunks, protocol.headers))
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, "stream").content == "Hello from a\ufffd."


@each_protocol
@each_mode
def test_an_answer_of_ten_megabytes_comes_whole(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    text = "0123456789abcdef" * (10 * 2**20 // 16)
    server = fault_server(protocol.reply(text))
    with face.router(chain((protocol, server), **UNHURRIED)) as router:
        assert len(ask(face, router, mode).content) == len(text)


@each_protocol
def test_a_stream_of_a_hundred_thousand_chunks_comes_whole(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    text = " ".join(str(number) for number in range(100_000))
    server = fault_server(sse(recut(protocol.chunks(text), 4096), protocol.headers))
    with face.router(chain((protocol, server), **UNHURRIED)) as router:
        pieces = read_in_one_go(face, router)
    assert len(pieces) == 100_000
    assert "".join(pieces) == text


@each_protocol
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_stream_may_be_cut_anywhere_on_the_way(
    face: Face, fault_server: FaultServers, protocol: Protocol, size: int
) -> None:
    answer = Answer("Grüße aus Köln 🎉", calls=()) if size > 1 else Answer("é")
    server = fault_server(sse(recut(protocol.chunks(answer), size), protocol.headers))
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, "stream").content == answer.text


def read_in_one_go(face: Face, router: Any) -> list[str]:
    """Return the pieces of text, without a run of the event loop for each."""
    if face.world == "sync":
        return list(router.stream("r", "hello"))

    async def read() -> list[str]:
        return [piece async for piece in router.stream("r", "hello")]

    return list(face.run(read))


# ------------------------------------------------------------------------------------------------ who is there


@each_protocol
@each_mode
def test_a_redirect_to_another_host_is_not_followed(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    elsewhere = fault_server(protocol.reply("Give me your key."))
    server = fault_server(redirect(elsewhere.url.replace("127.0.0.1", "localhost") + "/v1/chat/completions"))
    with face.router(chain((protocol, server), retry=ONCE)) as router:
        failing(ProviderError, face, router, mode)
    assert (len(server.requests), elsewhere.connections) == (1, 0)


@each_protocol
@each_mode
def test_a_connection_that_is_refused_says_where_it_was_wanted(face: Face, protocol: Protocol, mode: Mode) -> None:
    with refused_port() as port:
        url = f"http://127.0.0.1:{port}"
        provider = {"kind": protocol.name, "base_url": url + protocol.root, "api_key": "none-of-yours"}
        config = {"providers": {"gone": provider}, "routes": {"r": {"model": "gone/any", "retry": ONCE}}}
        with face.router(config) as router:
            error = failing(APIConnectionError, face, router, mode)
    assert str(error) == f"cannot connect to 127.0.0.1:{port}: Connection refused (gone/any)"


@each_protocol
@each_mode
def test_a_certificate_that_nobody_trusts_is_refused_and_says_what_to_set(
    face: Face, fault_server: FaultServers, authority: Authority, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply(), tls=authority.server_context())
    with face.router(chain((protocol, server), retry=ONCE)) as router:
        error = failing(APIConnectionError, face, router, mode)
    assert "ca_bundle" in str(error)
    assert not server.requests


@each_protocol
@each_mode
def test_a_ca_bundle_makes_a_private_authority_trusted(
    face: Face, fault_server: FaultServers, authority: Authority, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply("Trusted."), tls=authority.server_context())
    config = chain((protocol, server))
    config["providers"]["first"]["ca_bundle"] = str(authority.ca_bundle)
    with face.router(config) as router:
        assert ask(face, router, mode).content == "Trusted."


@each_protocol
@each_mode
def test_a_name_that_does_not_resolve_is_a_connection_error(face: Face, protocol: Protocol, mode: Mode) -> None:
    with face.router(chain((protocol, "http://nowhere.invalid"), retry=ONCE)) as router, within(2.0):
        error = failing(APIConnectionError, face, router, mode)
    assert error.status is None


# ------------------------------------------------------------------------------------------------ odd ends


@each_protocol
def test_a_terminal_event_that_comes_twice_ends_the_stream_once(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks("Hello from afar.")
    server = fault_server(sse([*chunks, chunks[-1], chunks[-1]], protocol.headers))
    with face.router(chain((protocol, server))) as router:
        events = face.events(router, "r", "hello")
    assert events[-1].response.content == "Hello from afar."
    assert [type(event).__name__ for event in events].count("Done") == 1


@each_protocol
def test_chat_over_a_stream_whose_terminal_event_comes_twice_answers_once(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks("Hello from afar.")
    server = fault_server(sse([*chunks, chunks[-1], chunks[-1]], protocol.headers))
    with face.router(chain((protocol, server), timeouts={"idle": "5s"})) as router:
        reply = ask(face, router, "chat")
    assert (reply.content, len(reply.attempts)) == ("Hello from afar.", 1)


@each_protocol
@each_mode
def test_usage_that_never_comes_is_estimated_and_says_so(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply(Answer("Hello from afar.", usage=False)))
    with face.router(chain((protocol, server))) as router:
        reply = ask(face, router, mode)
    assert reply.usage.estimated
    assert 1 <= reply.input_tokens < 30
    assert 3 <= reply.output_tokens < 10
    assert reply.cost_usd > 0


@each_protocol
def test_an_error_inside_a_stream_that_has_begun_keeps_what_came(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks(WORDS)
    server = fault_server(sse([*chunks[: before(chunks, "w40")], protocol.error_event("overloaded")], protocol.headers))
    with face.router(chain((protocol, server))) as router:
        received, error = broken_off(face, router)
    assert received == error.partial == " ".join(WORDS.split()[:40])
    assert type(error.__cause__).__name__ == "OverloadedError"


@each_protocol
def test_an_error_inside_a_stream_before_its_first_word_is_retried(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks(WORDS)
    failed = sse([*chunks[: before(chunks, "w00")], protocol.error_event("overloaded")], protocol.headers)
    server = fault_server([failed, protocol.reply(WORDS)])
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, "stream").content == WORDS


@each_protocol
def test_a_stream_that_closes_properly_but_too_early_is_interrupted(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks(WORDS)
    server = fault_server(sse(chunks[: before(chunks, "w40")], protocol.headers))
    with face.router(chain((protocol, server))) as router:
        received, error = broken_off(face, router)
    assert received == error.partial == " ".join(WORDS.split()[:40])


@each_protocol
def test_a_reset_in_the_middle_is_an_interruption(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    chunks = protocol.chunks(WORDS)
    server = fault_server(protocol.stream(WORDS).delayed(0.001).reset_after(before(chunks, "w40")))
    with face.router(chain((protocol, server))) as router:
        received, error = broken_off(face, router)
    assert error.partial == received  # a reset may overtake the last bytes


def test_a_missing_last_chunk_after_done_is_no_break(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream(WORDS).without_last_chunk())
    with face.router(chain((OPENAI, server))) as router:
        assert ask(face, router, "stream").content == WORDS


@pytest.mark.parametrize("protocol", [OPENAI, ANTHROPIC], ids=lambda protocol: protocol.name)  # Gemini's come whole
def test_a_tool_call_that_breaks_off_is_never_handed_out(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    answer = Answer("", calls=(Call(arguments={"city": "Oslo, the capital of Norway"}),))
    chunks = protocol.chunks(answer)
    server = fault_server(protocol.stream(answer).cut_after(before(chunks, "Oslo") + 1))
    with face.router(chain((protocol, server))) as router:
        failing(StreamInterruptedError, face, router, "stream")


# ------------------------------------------------------------------------------------------------ restarts


def test_a_restart_is_not_tried_where_no_rung_is_left(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream(WORDS).cut_after(9))
    with face.router(chain((OPENAI, server), on_break="restart")) as router:
        error = failing(StreamInterruptedError, face, router, "stream")
    assert error.partial.startswith("w00 w01")
    assert len(server.requests) == 1


def test_a_restart_may_be_restarted(face: Face, fault_server: FaultServers) -> None:
    rungs: list[Any] = [
        (protocol, fault_server(protocol.stream(WORDS).cut_after(before(protocol.chunks(WORDS), "w20"))))
        for protocol in (OPENAI, ANTHROPIC)
    ]
    with face.router(chain(*rungs, (GOOGLE, fault_server(GOOGLE.reply(WORDS))), on_break="restart")) as router:
        events = face.events(router, "r", "hello")
    restarts = [event.target.partition("/")[0] for event in events if isinstance(event, Restart)]
    assert restarts == ["second", "third"]
    assert events[-1].response.content == WORDS


def test_a_stream_that_was_restarted_books_both_attempts(face: Face, fault_server: FaultServers) -> None:
    cut = fault_server(OPENAI.stream(WORDS).cut_after(before(OPENAI.chunks(WORDS), "w40")))
    whole = fault_server(ANTHROPIC.reply(Answer(WORDS, input_tokens=10, output_tokens=120)))
    with face.router(chain((OPENAI, cut), (ANTHROPIC, whole), on_break="restart")) as router:
        reply = ask(face, router, "stream")
        total = router.total_cost
    broken, done = reply.attempts
    assert broken.usage.estimated
    assert broken.cost_usd > 0
    assert (done.usage.output_tokens, reply.cost_usd) == (120, done.cost_usd)
    assert total == pytest.approx(broken.cost_usd + done.cost_usd)


LABEL = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
OF_NO_USE: dict[str, tuple[Answer, dict[str, Any], type[ProviderError]]] = {  # whole, and not what was asked for
    "not its schema": (Answer("{}"), {}, OutputInvalidError),
    "cut at max_tokens": (Answer('{"label": ', finish="length"), {"on": {"length": "next"}}, LengthError),
}


@each_protocol
@pytest.mark.parametrize("case", OF_NO_USE)
def test_a_restart_may_follow_a_whole_answer_that_is_of_no_use(
    face: Face, fault_server: FaultServers, protocol: Protocol, case: str
) -> None:
    answer, route, kind = OF_NO_USE[case]
    useless, good = fault_server(protocol.reply(answer)), fault_server(OPENAI.reply(Answer('{"label": "a"}')))
    config = chain((protocol, useless), (OPENAI, good), on_break="restart", cache="1h", **route)
    with face.router(config) as router:
        events = face.events(router, "r", "hello", schema=LABEL)
    (restart,) = [event for event in events if isinstance(event, Restart)]
    reply = events[-1].response
    assert isinstance(restart.error, kind)
    assert (reply.parsed, outcomes(reply)) == ({"label": "a"}, [("first", "failed"), ("second", "ok")])
    assert "".join(event.text for event in events[events.index(restart) :] if isinstance(event, Text)) == reply.content


@pytest.mark.parametrize("on_break", ["error", "restart"])
@pytest.mark.parametrize("case", OF_NO_USE)
def test_text_that_was_handed_out_is_not_taken_back_for_a_better_answer(
    face: Face, fault_server: FaultServers, case: str, on_break: str
) -> None:
    answer, route, kind = OF_NO_USE[case]
    useless, spare = fault_server(OPENAI.reply(answer)), fault_server()
    config = chain((OPENAI, useless), (ANTHROPIC, spare), on_break=on_break, **route)
    with face.router(config) as router, face.stream(router, "r", "hello", schema=LABEL) as stream:
        iterator = iter(stream)
        next(iterator)
        with pytest.raises(kind):
            list(iterator)
    assert not spare.requests


def test_an_answer_that_a_policy_blocks_is_not_asked_for_elsewhere(face: Face, fault_server: FaultServers) -> None:
    blocked, spare = fault_server(OPENAI.reply(Answer("Well", finish="content_filter"))), fault_server()
    with face.router(chain((OPENAI, blocked), (ANTHROPIC, spare), on_break="restart")) as router:
        failing(ContentFilterError, face, router, "stream")
    assert not spare.requests
