"""google-genai against a loopback server: what it sends, what it hands back, and that it leaves nothing open."""

from __future__ import annotations

import json
import logging
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmrouter.errors import (
    APIConnectionError,
    AuthenticationError,
    LLMRouterError,
    MalformedResponseError,
    RateLimitError,
    RequestTimeoutError,
)
from llmrouter.providers.base import Codec, ProviderSettings, WireCall, WireTimeouts
from llmrouter.providers.google import GoogleProvider, provider
from llmrouter.types import Completion, Message, Params, Request, Schema, Secret, Tool, Usage
from tests.conftest import FaultServers
from tests.servers.faults import refused_port
from tests.servers.protocols import GOOGLE, Answer, Call
from tests.servers.replies import html, json_reply, redirect, silence
from tests.worlds import Face

KEY = "the-key-of-this-test"
MODEL = "gemini-3.8-flash"


def opened(url: str, **more: Any) -> GoogleProvider:
    made = provider(ProviderSettings("google", "google", base_url=url, api_key=Secret(KEY), **more))
    assert isinstance(made, GoogleProvider)
    return made


def asked(codec: Codec, read: float = 5.0, **more: Any) -> WireCall:
    request = Request(MODEL, (Message("system", "be brief"), Message("user", "Grüß dich")), **more)
    return WireCall("chat", MODEL, codec.encode(request), WireTimeouts(2.0, read), {"x-test": "yes"})


class Line:
    """One connected provider in one world."""

    def __init__(self, face: Face, made: GoogleProvider) -> None:
        self._face, self.provider = face, made
        self.client: Any = face.run(made.connect, face.world)

    def send(self, call: WireCall) -> Any:
        return self._translated(self.client.send, call)

    def open(self, call: WireCall) -> Any:
        return self._translated(self.client.open, call)

    def _translated(self, verb: Callable[[WireCall], Any], call: WireCall) -> Any:
        try:
            return self._face.run(verb, call)
        except Exception as error:
            ours = self.provider.translate(error)
            if ours is None:
                raise
            raise ours from error

    def pieces(self, stream: Any) -> Iterator[bytes]:
        if self._face.world == "sync":
            yield from stream
            return
        end: Any = object()
        while (piece := self._face.run(anext, stream, end)) is not end:
            yield piece

    def answer(self, call: WireCall) -> Completion:
        stream = self.open(call)
        decoder = self.provider.codec.decoder(stream.headers)
        for piece in self.pieces(stream):
            decoder.feed(piece)
        self._face.run(stream.close)
        return decoder.finish()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._face.run(function, *args)


@pytest.fixture
def line(face: Face) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def connect(url: str, **more: Any) -> Line:
        lines.append(Line(face, opened(url, **more)))
        return lines[-1]

    yield connect
    for each in lines:
        face.run(each.client.close)


Connect = Callable[..., Line]


def test_the_servers_get_exactly_our_body_and_our_headers(line: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.reply("Hello there."))
    on = line(server.url, headers={"x-mine": "1"})
    call = asked(
        on.provider.codec,
        params=Params(temperature=0.5, reasoning="low", extra={"unheardOf": {"deep": [1, None]}}),
        tools=(Tool("weather", "d", {"type": "object", "properties": {"city": {"type": "string"}}}),),
        schema=Schema({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
    )
    on.send(call)
    on.answer(call)
    for request in server.requests:
        assert request.json == call.body
        assert (request.headers["x-mine"], request.headers["x-test"]) == ("1", "yes")
        assert request.headers["x-goog-api-client"].startswith("google-genai-sdk/")


def test_an_answer_arrives_whole(line: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.reply(Answer("Hello there.", input_tokens=12, output_tokens=7)))
    on = line(server.url)
    answer = on.provider.codec.decode(on.send(asked(on.provider.codec)))
    assert (answer.message.content, answer.usage) == ("Hello there.", Usage(12, 7))
    assert server.requests[0].path == f"/v1beta/models/{MODEL}:generateContent"


def test_fields_that_the_sdk_does_not_know_arrive_too(line: Connect, fault_server: FaultServers) -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "hi", "brandNew": 1}]}, "finishReason": "STOP"}]}
    on = line(fault_server(json_reply(body)).url)
    assert on.send(asked(on.provider.codec)).body == body


def test_a_stream_arrives_as_it_is_sent(line: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.reply(Answer("Hello there.", calls=(Call(),))))
    on = line(server.url)
    answer = on.answer(asked(on.provider.codec))
    assert [call.name for call in answer.message.tool_calls] == ["weather"]
    assert server.requests[0].path == f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"


def test_a_batch_of_embeddings_is_one_request(line: Connect, fault_server: FaultServers) -> None:
    server = fault_server(json_reply({"embeddings": [{"values": [1.0]}, {"values": [2.0]}]}))
    on = line(server.url)
    body = on.provider.codec.encode_embed("gemini-embedding-001", ["a", "b"], 1)
    reply = on.send(WireCall("embed", "gemini-embedding-001", body, WireTimeouts(2.0, 5.0)))
    assert on.provider.codec.decode_embed(reply)[0] == [[1.0], [2.0]]
    (request,) = server.requests
    assert (request.path, request.json) == ("/v1beta/models/gemini-embedding-001:batchEmbedContents", body)


@pytest.mark.parametrize("verb", ["send", "open"])
@pytest.mark.parametrize("failure", ["rate_limit", "server", "overloaded"])
def test_a_failure_makes_exactly_one_request(
    line: Connect, fault_server: FaultServers, verb: str, failure: Any
) -> None:
    pytest.importorskip("aiohttp", reason="with aiohttp the SDK would retry by itself")
    server = fault_server(lambda _request: GOOGLE.fails(failure))
    on = line(server.url)
    with pytest.raises(LLMRouterError):
        getattr(on, verb)(asked(on.provider.codec))
    assert len(server.requests) == 1


@pytest.mark.parametrize("verb", ["send", "open"])
def test_a_rate_limit_tells_its_delay_and_has_the_sdks_error_behind_it(
    line: Connect, fault_server: FaultServers, verb: str
) -> None:
    on = line(fault_server(GOOGLE.fails("rate_limit", 3.5)).url)
    with pytest.raises(RateLimitError) as raised:
        getattr(on, verb)(asked(on.provider.codec))
    assert (raised.value.retry_after, raised.value.status) == (3.5, 429)
    assert type(raised.value.__cause__).__name__ == "ClientError"
    assert pickle.loads(pickle.dumps(raised.value)).retry_after == 3.5


def test_an_abandoned_stream_is_closed_at_once(line: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.stream(Answer("one two three four five six")).delayed(0.2))
    on = line(server.url)
    stream = on.open(asked(on.provider.codec))
    next(iter(on.pieces(stream)))
    left = time.monotonic()
    on.run(stream.close)
    assert server.wait_for(lambda seen: bool(seen.early_closes), 0.5)
    assert server.early_closes[0].at - left < 0.5
    on.run(stream.close)


def test_a_stream_that_breaks_after_its_last_event_is_whole(line: Connect, fault_server: FaultServers) -> None:
    on = line(fault_server(GOOGLE.stream("Hello there.").without_last_chunk()).url)
    stream = on.open(asked(on.provider.codec))
    decoder, pieces = on.provider.codec.decoder(stream.headers), on.pieces(stream)
    while not decoder.ended:
        decoder.feed(next(pieces))
    on.run(stream.close)
    assert decoder.finish().message.content == "Hello there."


def test_connections_are_kept_for_the_next_call(line: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.reply("Hello there."))
    on = line(server.url)
    on.send(asked(on.provider.codec))
    on.answer(asked(on.provider.codec))
    on.send(asked(on.provider.codec))
    assert server.connections == 1


def test_the_read_limit_holds_and_is_a_timeout(line: Connect, fault_server: FaultServers) -> None:
    on = line(fault_server(silence(5.0)).url)
    began = time.monotonic()
    with pytest.raises(RequestTimeoutError) as raised:
        on.send(asked(on.provider.codec, read=0.2))
    assert time.monotonic() - began < 1.0
    assert raised.value.limit == "attempt"


def test_no_time_limit_is_announced_to_the_server(line: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.reply("Hello there."))
    on = line(server.url)
    on.answer(asked(on.provider.codec))
    assert "x-server-timeout" not in server.requests[0].headers


def test_a_refused_connection_is_a_connection_error(line: Connect) -> None:
    with refused_port() as port:
        on = line(f"http://127.0.0.1:{port}")
        with pytest.raises(APIConnectionError):
            on.send(asked(on.provider.codec))


def test_a_redirect_is_not_followed(line: Connect, fault_server: FaultServers) -> None:
    elsewhere = fault_server(GOOGLE.reply("Hello there."))
    on = line(fault_server(redirect(f"{elsewhere.url}/x")).url)
    with pytest.raises(MalformedResponseError):
        on.send(asked(on.provider.codec))
    assert not elsewhere.requests


def test_a_page_instead_of_an_answer_is_malformed(line: Connect, fault_server: FaultServers) -> None:
    on = line(fault_server(html()).url)
    with pytest.raises(MalformedResponseError):
        on.send(asked(on.provider.codec))
    with pytest.raises(MalformedResponseError):
        on.answer(asked(on.provider.codec))


@pytest.mark.parametrize("failure", ["rate_limit", "authentication", "server"])
def test_the_key_is_in_a_header_and_nowhere_else(line: Connect, fault_server: FaultServers, failure: Any) -> None:
    server = fault_server(GOOGLE.fails(failure))
    on = line(server.url)
    with pytest.raises(LLMRouterError) as raised:
        on.send(asked(on.provider.codec))
    (request,) = server.requests
    assert request.headers["x-goog-api-key"] == KEY
    assert KEY not in request.path
    shown = "".join(traceback.format_exception(raised.value))
    assert KEY not in f"{shown}{raised.value!r}{vars(raised.value)}{on.provider.settings!r}{on.client!r}"


def test_threads_may_share_a_client(fault_server: FaultServers) -> None:
    def echo(request: Any) -> Any:
        return GOOGLE.reply(Answer(request.json["contents"][0]["parts"][0]["text"]))(request)

    made = opened(fault_server(echo).url)
    client: Any = made.connect("sync")
    heard: dict[int, str] = {}

    def ask(number: int) -> None:
        body = made.codec.encode(Request(MODEL, (Message("user", f"I am {number}"),)))
        reply = client.send(WireCall("chat", MODEL, body, WireTimeouts(2.0, 5.0)))
        heard[number] = made.codec.decode(reply).message.text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert heard == {number: f"I am {number}" for number in range(16)}


def test_tasks_may_share_a_client(fault_server: FaultServers) -> None:
    import asyncio

    def echo(request: Any) -> Any:
        return GOOGLE.reply(Answer(request.json["contents"][0]["parts"][0]["text"]))(request)

    made = opened(fault_server(echo).url)

    async def ask(client: Any, number: int) -> str:
        body = made.codec.encode(Request(MODEL, (Message("user", f"I am {number}"),)))
        reply = await client.send(WireCall("chat", MODEL, body, WireTimeouts(2.0, 5.0)))
        return made.codec.decode(reply).message.text

    async def all_at_once() -> list[str]:
        client: Any = made.connect("async")
        found = await asyncio.gather(*(ask(client, number) for number in range(16)))
        await client.close()
        return list(found)

    assert asyncio.run(all_at_once()) == [f"I am {number}" for number in range(16)]


@pytest.mark.parametrize(
    ("suffix", "version", "path"),
    [
        ("", None, "/v1beta/"),
        ("/v1", None, "/v1/"),
        ("/gateway", "v2", "/gateway/v2/"),
        ("/gateway/", None, "/gateway/v1"),
    ],
)
def test_the_version_may_stand_in_the_address(
    fault_server: FaultServers, suffix: str, version: str | None, path: str
) -> None:
    server = fault_server(GOOGLE.reply("Hello there."))
    made = opened(f"{server.url}{suffix}", api_version=version)
    client: Any = made.connect("sync")
    client.send(asked(made.codec))
    client.close()
    assert server.requests[0].path.startswith(path)


def test_a_provider_without_a_key_names_the_variables() -> None:
    reason = provider(
        ProviderSettings("google", "google", key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"))
    ).unusable()
    assert reason is not None
    assert "GEMINI_API_KEY or GOOGLE_API_KEY" in reason


def test_two_keys_in_the_environment_are_no_news(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "one")
    monkeypatch.setenv("GOOGLE_API_KEY", "two")
    with caplog.at_level(logging.DEBUG):
        client: Any = opened("http://127.0.0.1:1").connect("sync")
    client.close()
    assert not [record for record in caplog.records if "GOOGLE_API_KEY" in record.getMessage()]


def test_before_gemini_3_tools_and_a_schema_exclude_each_other() -> None:
    made = opened("http://127.0.0.1:1")
    both: dict[str, Any] = {"tools": (Tool("t"),), "schema": Schema({"type": "object"})}
    assert made.lacks(Request("gemini-2.5-flash", (), **both)) == "tools together with a schema"
    assert made.lacks(Request("gemini-3.8-flash", (), **both)) is None
    assert made.lacks(Request("gemini-2.5-flash", (), tools=(Tool("t"),))) is None


def test_failing_credentials_are_an_authentication_error() -> None:
    from google.auth.exceptions import DefaultCredentialsError, TransportError

    made = opened("http://127.0.0.1:1")
    assert isinstance(made.translate(DefaultCredentialsError("none found")), AuthenticationError)  # type: ignore[no-untyped-call]
    assert isinstance(made.translate(TransportError("no route")), APIConnectionError)  # type: ignore[no-untyped-call]


def test_an_unknown_exception_is_not_mapped() -> None:
    assert opened("http://127.0.0.1:1").translate(KeyError("x")) is None


def test_the_module_imports_no_sdk() -> None:
    import subprocess
    import sys

    code = (
        "import llmrouter.providers.google, llmrouter.providers.vertex, sys, json; print(json.dumps(list(sys.modules)))"
    )
    modules = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {"google.genai", "anthropic", "google.generativeai"} & set(modules)
