"""The SDK that Google has ended: its old protocol, and, where it is installed, the SDK itself against loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from llmrouter.errors import (
    APIConnectionError,
    BadRequestError,
    LLMRouterError,
    MalformedResponseError,
    RateLimitError,
    RequestTimeoutError,
    UnsupportedError,
)
from llmrouter.providers.base import ProviderSettings as Settings, WireCall, WireTimeouts
from llmrouter.providers.google_generativeai import LegacyCodec, LegacyProvider, provider
from llmrouter.types import Message, Params, Request, Schema, Secret, Tool, ToolCall, Usage
from tests.conftest import FaultServers
from tests.servers.faults import refused_port
from tests.servers.protocols import GOOGLE
from tests.servers.replies import Reply, broken_json, html, json_reply, silence

CODEC = LegacyCodec("old")
MODEL = "gemini-2.5-flash"
WEATHER = Tool("weather", "d", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
INSTALLED = find_spec("google.generativeai") is not None if find_spec("google") else False
needs_sdk = pytest.mark.skipif(not INSTALLED, reason="the extra google-generativeai is not installed")


def body(model: str = MODEL, *messages: Message, **more: Any) -> dict[str, Any]:
    return CODEC.encode(Request(model, messages or (Message("user", "hello"),), **more))


# ------------------------------------------------------------------------------------------------ protocol


def test_schemas_are_written_in_openapi() -> None:
    asked = body(tools=(WEATHER,), schema=Schema({"type": "object", "properties": {"n": {"type": "integer"}}}))
    (declared,) = asked["tools"][0]["functionDeclarations"]
    assert declared["parameters"] == {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}},
        "required": ["city"],
    }
    assert asked["generationConfig"]["responseSchema"]["properties"] == {"n": {"type": "INTEGER"}}
    assert "responseJsonSchema" not in asked["generationConfig"]


def test_a_tool_without_parameters_declares_none() -> None:
    (declared,) = body(tools=(Tool("now", "tells the time"),))["tools"][0]["functionDeclarations"]
    assert declared == {"name": "now", "description": "tells the time"}


def test_a_choice_of_types_is_refused_with_the_way_out() -> None:
    either = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}}
    with pytest.raises(UnsupportedError, match="use kind google"):
        body(tools=(Tool("pick", "d", either),))


def test_calls_carry_no_signatures() -> None:
    asked = body("gemini-3.8-flash", Message("user", "hi"), Message("assistant", "", (ToolCall("a", "weather"),)))
    assert asked["contents"][1]["parts"] == [{"functionCall": {"id": "a", "name": "weather", "args": {}}}]


def test_no_reasoning_is_no_setting() -> None:
    assert "generationConfig" not in body(params=Params(reasoning="none"))


@pytest.mark.parametrize(
    ("params", "word"), [(Params(reasoning="high"), "reasoning"), (Params(seed=1), "seed"), (Params(), None)]
)
def test_what_the_old_protocol_lacks_is_said(params: Params, word: str | None) -> None:
    lack = made("http://127.0.0.1:1").lacks(Request(MODEL, (Message("user", "hi"),), params))
    assert lack is None if word is None else word in (lack or "")


def test_there_are_no_embeddings() -> None:
    assert CODEC.embed_batch == 0
    with pytest.raises(UnsupportedError):
        CODEC.encode_embed("embedding-001", ["a"], None)


@pytest.mark.skipif(INSTALLED, reason="the extra is installed")
def test_without_the_extra_it_is_unusable_and_says_how_to_get_it() -> None:
    reason = made("http://127.0.0.1:1").unusable()
    assert reason is not None
    assert "pip install 'llmrouter[google-generativeai]'" in reason
    with pytest.raises(UnsupportedError, match="pip install"):
        made("http://127.0.0.1:1").connect("sync")


# ------------------------------------------------------------------------------------------------ the SDK


def made(url: str, **more: Any) -> LegacyProvider:
    return provider(Settings("old", "google-generativeai", base_url=url, api_key=Secret("the-key"), **more))


def asked(read: float = 5.0, **more: Any) -> WireCall:
    return WireCall("chat", MODEL, body(MODEL, Message("user", "Grüß dich"), **more), WireTimeouts(2.0, read))


@pytest.fixture
def connect() -> Iterator[Callable[[str], Any]]:
    clients: list[Any] = []

    def opened(url: str) -> Any:
        clients.append(made(url).connect("sync"))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()


Connect = Callable[[str], Any]


def failed(run: Callable[[], Any]) -> LLMRouterError | None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever the SDK raises, its translation is the matter
        run()
    return made("http://127.0.0.1:1").translate(raised.value)


def piece(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}], "modelVersion": MODEL}


PIECES = [
    piece({"text": "Let me "}),
    piece(
        {"text": "look."}, {"functionCall": {"name": "weather", "args": {"days": 3, "at": [1.5]}}}, finishReason="STOP"
    ),
    {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
]


@needs_sdk
def test_an_answer_arrives_and_the_key_went_in_a_header(connect: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.reply("Hello there."))
    answer = CODEC.decode(connect(server.url).send(asked(tools=(WEATHER,))))
    assert answer.message.content == "Hello there."
    assert answer.usage == Usage(12, 7)
    (request,) = server.requests
    assert request.path.startswith(f"/v1beta/models/{MODEL}:generateContent")
    assert request.json["contents"] == [{"role": "user", "parts": [{"text": "Grüß dich"}]}]
    assert request.headers["x-goog-api-key"] == "the-key"
    assert "the-key" not in request.path


@needs_sdk
def test_a_stream_arrives_with_whole_numbers_in_its_call(connect: Connect, fault_server: FaultServers) -> None:
    stream = connect(fault_server(json_reply(PIECES)).url).open(asked())
    decoder = CODEC.decoder(stream.headers)
    for chunk in stream:
        decoder.feed(chunk)
    answer = decoder.finish()
    assert (answer.message.content, answer.finish_reason) == ("Let me look.", "tool_calls")
    assert repr(answer.message.tool_calls[0].arguments["days"]) == "3"
    assert answer.usage == Usage(3, 2)


@needs_sdk
def test_an_abandoned_stream_is_closed_at_once(connect: Connect, fault_server: FaultServers) -> None:
    whole = json.dumps(PIECES).encode()
    pieces = [whole[:200], whole[200:220], whole[220:]]
    server = fault_server(Reply(200, {"content-type": "application/json"}, pieces, chunked=True).delayed(0.3))
    stream = connect(server.url).open(asked())
    next(stream)
    left = time.monotonic()
    stream.close()
    assert server.wait_for(lambda seen: bool(seen.early_closes), 0.5)
    assert server.early_closes[0].at - left < 0.5


@needs_sdk
@pytest.mark.parametrize("verb", ["send", "open"])
def test_a_429_makes_exactly_one_request(connect: Connect, fault_server: FaultServers, verb: str) -> None:
    server = fault_server(lambda _request: GOOGLE.fails("rate_limit", 3.5))
    error = failed(lambda: getattr(connect(server.url), verb)(asked()))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 3.5
    assert len(server.requests) == 1


@needs_sdk
@pytest.mark.parametrize("reply", [html(), broken_json(), json_reply([1])], ids=["page", "half", "array"])
def test_what_is_not_the_protocol_is_malformed(connect: Connect, fault_server: FaultServers, reply: Reply) -> None:
    client = connect(fault_server(reply).url)
    assert isinstance(failed(lambda: CODEC.decode(client.send(asked()))), MalformedResponseError)


@needs_sdk
def test_the_limit_holds(connect: Connect, fault_server: FaultServers) -> None:
    client = connect(fault_server(silence(5.0)).url)
    assert isinstance(failed(lambda: client.send(asked(read=0.2))), RequestTimeoutError)


@needs_sdk
def test_a_refused_connection_is_a_connection_error(connect: Connect) -> None:
    with refused_port() as port:
        client = connect(f"http://127.0.0.1:{port}")
        assert isinstance(failed(lambda: client.send(asked())), APIConnectionError)


@needs_sdk
def test_a_field_that_the_old_protocol_does_not_know_is_a_bad_request(connect: Connect) -> None:
    client = connect("http://127.0.0.1:1")
    with pytest.raises(BadRequestError, match="unheardOf"):
        client.send(asked(params=Params(extra={"unheardOf": 1})))
