"""Spoilt answers through a whole router: a Response or an error of ours, never a bare KeyError, and never a hang."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from llmrouter import CircuitOpenError, LLMRouterError, Response
from tests.servers.faults import FaultServer
from tests.servers.protocols import PROTOCOLS, Answer, Call, Protocol
from tests.servers.replies import Reply
from tests.servers.wire import cut
from tests.wire.test_codecs import mutated
from tests.worlds import Face

Spoiler: TypeAlias = Callable[[list[bytes], random.Random], bytes]

ANSWERS: Final = (
    Answer("Hello to all of you.", reasoning="They greet me.", reasoning_tokens=3, cache_read=5),
    Answer(calls=(Call(), Call("clock", {}, "call_2")), reasoning="I need both."),
    Answer("Cut off he", finish="length"),
)
WORDS: Final = st.one_of(st.sampled_from(["stop", "STOP", "error", "", "OTHER", "pause_turn"]), st.text(max_size=12))


def _changed(body: Any, chance: random.Random) -> bytes:
    return json.dumps(mutated(body, chance)).encode()


def _truncated(events: list[bytes], chance: random.Random) -> bytes:
    whole = b"".join(events)
    return whole[: chance.randrange(len(whole))]


def _one_event_changed(events: list[bytes], chance: random.Random) -> bytes:
    place = chance.randrange(len(events))
    head, found, payload = events[place].partition(b"data: ")
    if found and payload.startswith(b"{"):
        events = [*events[:place], head + found + _changed(json.loads(payload), chance) + b"\n\n", *events[place + 1 :]]
    return b"".join(events)


def _shuffled(events: list[bytes], chance: random.Random) -> bytes:
    """Events lost, repeated and out of order, with unknown ones between them."""
    unknown = b'event: novelty\ndata: {"type": "novelty", "index": 0, "delta": {"type": "odd"}}\n\n'
    return b"".join(chance.choices([*events, unknown], k=len(events)))


SPOILERS: Final = (_truncated, _one_event_changed, _shuffled)


@contextmanager
def _routed(protocol: Protocol, replies: list[Reply]) -> Iterator[tuple[Face, Any]]:
    """Open a face and a router in front of a server that answers with what is put into `replies`."""
    with FaultServer(lambda _request: replies.pop()) as server:
        config = protocol.config(server.url, retry={"attempts": 1}, deadline="10s", breaker={"failures": 100_000})
        config["prices"] = {protocol.target: {"input": 1, "output": 1}}
        face = Face("async")  # its event loop would be the one to hang
        with face.router(config) as router:
            yield face, router
        assert face.close() == []


def _outcome(ask: Callable[[], Any]) -> Response | LLMRouterError:
    try:
        answer = ask()
    except CircuitOpenError:
        raise AssertionError("the target was not asked") from None
    except LLMRouterError as error:
        return error
    assert isinstance(answer, Response)
    return answer


each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@each_protocol
def test_a_spoilt_answer_is_read_or_is_an_error_of_ours(protocol: Protocol) -> None:
    replies: list[Reply] = []
    with _routed(protocol, replies) as (face, router):

        @few
        @given(
            answer=st.sampled_from(ANSWERS), seed=st.integers(0, 2**32), status=st.sampled_from([200, 200, 400, 503])
        )
        def spoilt(answer: Answer, seed: int, status: int) -> None:
            body = _changed(protocol.body(answer, protocol.model), random.Random(seed))
            replies.append(Reply(status, protocol.headers, (body,)))
            _outcome(lambda: face.chat(router, "r", "hello"))

        spoilt()


@each_protocol
def test_a_spoilt_stream_is_read_or_is_an_error_of_ours(protocol: Protocol) -> None:
    replies: list[Reply] = []
    with _routed(protocol, replies) as (face, router):

        @few
        @given(answer=st.sampled_from(ANSWERS), seed=st.integers(0, 2**32), spoil=st.sampled_from(SPOILERS))
        def spoilt(answer: Answer, seed: int, spoil: Spoiler) -> None:
            body = spoil(protocol.chunks(answer), random.Random(seed))
            headers = {**protocol.headers, "content-type": "text/event-stream"}
            replies.append(Reply(200, headers, cut(body, seed), chunked=True))
            _outcome(lambda: face.events(router, "r", "hello")[-1].response)

        spoilt()


_FINISH: Final[dict[str, Callable[[dict[str, Any], str], None]]] = {
    "openai": lambda body, word: body["choices"][0].update(finish_reason=word),
    "responses": lambda body, word: body.update(status="incomplete", incomplete_details={"reason": word}),
    "anthropic": lambda body, word: body.update(stop_reason=word),
    "google": lambda body, word: body["candidates"][0].update(finishReason=word),
}


@each_protocol
def test_an_unknown_finish_reason_is_told_as_the_provider_said_it(protocol: Protocol) -> None:
    replies: list[Reply] = []
    with _routed(protocol, replies) as (face, router):

        @few
        @given(word=WORDS)
        def unknown(word: str) -> None:
            body = protocol.body(Answer("Hello."), protocol.model)
            _FINISH[protocol.name](body, word)
            replies.append(Reply(200, protocol.headers, (json.dumps(body).encode(),)))
            found = _outcome(lambda: face.chat(router, "r", "hello"))
            if isinstance(found, Response) and word:
                assert (found.content, found.provider_finish_reason) == ("Hello.", word)

        unknown()
