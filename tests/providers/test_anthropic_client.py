"""Anthropic's SDK, both clients, against servers of our own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llmrouter.errors import (
    APIConnectionError,
    AuthenticationError,
    LLMRouterError,
    MalformedResponseError,
    ProviderError,
    RateLimitError,
    RequestTimeoutError,
)
from llmrouter.providers.anthropic import AnthropicProvider, provider
from llmrouter.providers.base import ProviderSettings, WireCall, WireReply, WireTimeouts
from llmrouter.types import Message, Params, Private, Request, Schema, Secret, Text, Tool
from tests.conftest import FaultServers
from tests.servers import replies
from tests.servers.faults import refused_port
from tests.servers.protocols import ANTHROPIC
from tests.worlds import Face

KEY = "the-key-that-nobody-may-see"
MODEL = "claude-haiku-5-5"
REQUEST = Request(MODEL, (Message("user", "Hello"),))


def opened(url: str = "http://127.0.0.1:9", **fields: Any) -> AnthropicProvider:
    return provider(ProviderSettings("anthropic", "anthropic", base_url=url, api_key=Secret(KEY), **fields))


def call(provider: AnthropicProvider, request: Request = REQUEST, *, stream: bool = False, read: float = 5) -> WireCall:
    body = provider.codec.encode(request)
    body = provider.codec.streaming(body) if stream else body
    return WireCall("chat", request.model, body, WireTimeouts(connect=5, read=read))


@contextmanager
def connected(face: Face, provider: AnthropicProvider) -> Iterator[Any]:
    client = face.run(provider.connect, face.world)
    try:
        yield client
    finally:
        face.run(client.close)


def pieces(face: Face, stream: Any) -> Iterator[bytes]:
    iterator = iter(stream) if face.world == "sync" else aiter(stream)
    step: Callable[..., Any] = next if face.world == "sync" else anext
    while (piece := face.run(step, iterator, None)) is not None:
        yield piece


def failure(face: Face, provider: AnthropicProvider, ask: Callable[[Any], Any]) -> LLMRouterError:
    """Return what `ask` fails with, as the pipeline would see it."""
    with connected(face, provider) as client, pytest.raises(Exception) as caught:  # noqa: PT011  (any SDK exception)
        ask(client)
    error = caught.value if isinstance(caught.value, LLMRouterError) else provider.translate(caught.value)
    assert error is not None, f"not translated: {caught.value!r}"
    return error


# ------------------------------------------------------------------------------------------------ the way there


def test_a_chat_goes_out_as_encoded_and_comes_back_whole(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.reply("Hello there."))
    anthropic = opened(server.url, headers={"x-team": "blue"})
    with connected(face, anthropic) as client:
        found = anthropic.codec.decode(face.run(client.send, call(anthropic)))
    (request,) = server.requests
    assert found.message.content == "Hello there."
    assert found.request_id == ANTHROPIC.headers["request-id"]
    assert request.path == "/v1/messages"
    assert request.json == anthropic.codec.encode(REQUEST)
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["x-team"] == "blue"
    assert KEY in request.headers["authorization"]


def test_a_stream_comes_in_pieces_and_ends(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.reply("Hello there, world."))
    anthropic = opened(server.url)
    with connected(face, anthropic) as client:
        stream = face.run(client.open, call(anthropic, stream=True))
        decoder = anthropic.codec.decoder(stream.headers)
        deltas = [delta for piece in pieces(face, stream) for delta in decoder.feed(piece)]
        face.run(stream.close)
    assert deltas == [Text("Hello"), Text(" there,"), Text(" world.")]
    assert decoder.ended
    assert decoder.finish().request_id == ANTHROPIC.headers["request-id"]
    assert server.requests[0].json["stream"] is True


def test_closing_a_stream_early_drops_the_connection_at_once(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.stream("Hello there.").stalled(2, 30))
    anthropic = opened(server.url)
    with connected(face, anthropic) as client:
        stream = face.run(client.open, call(anthropic, stream=True))
        next(pieces(face, stream))
        begun = time.monotonic()
        face.run(stream.close)
        face.run(stream.close)
        assert server.wait_for(lambda server: bool(server.early_closes))
    assert time.monotonic() - begun < 2


def test_the_version_of_the_file_goes_into_the_header_and_samplers_stay_home(
    face: Face, fault_server: FaultServers
) -> None:
    server = fault_server(ANTHROPIC.reply())
    anthropic = opened(server.url, api_version="2026-10-21")
    request = Request("claude-haiku-4-5", REQUEST.messages, Params(temperature=0))
    with connected(face, anthropic) as client:
        face.run(client.send, call(anthropic, request))
    assert server.requests[0].headers["anthropic-version"] == "2026-10-21"
    assert "temperature" not in server.requests[0].json


def test_replayed_thoughts_that_may_be_dropped_name_the_beta(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.reply())
    anthropic = opened(server.url)
    thoughts = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "Hi."}]
    answer = Message("assistant", "Hi.", private=(Private("anthropic", thoughts),))
    with connected(face, anthropic) as client:
        face.run(client.send, call(anthropic, Request(MODEL, (*REQUEST.messages, answer, *REQUEST.messages))))
        face.run(client.send, call(anthropic))
    assert [request.headers.get("anthropic-beta") for request in server.requests] == [
        "thinking-binding-controls-2026-08-01",
        None,
    ]


def test_a_token_signs_in_where_there_is_no_key(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.reply())
    settings = ProviderSettings("anthropic", "anthropic", base_url=server.url, token=Secret("a-token"))
    anthropic = provider(settings)
    assert anthropic.unusable() is None
    with connected(face, anthropic) as client:
        face.run(client.send, call(anthropic))
    assert server.requests[0].headers["authorization"] == "Bearer a-token"


# ------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize("stream", [False, True])
def test_a_429_makes_exactly_one_request(face: Face, fault_server: FaultServers, stream: bool) -> None:
    server = fault_server([ANTHROPIC.fails("rate_limit", 1.5), ANTHROPIC.reply()])
    anthropic = opened(server.url)
    verb = "open" if stream else "send"
    error = failure(face, anthropic, lambda client: face.run(getattr(client, verb), call(anthropic, stream=stream)))
    assert type(error) is RateLimitError
    assert (error.status, error.retry_after, error.code) == (429, 1.5, "rate_limit_error")
    assert error.request_id == ANTHROPIC.headers["request-id"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "cls"),
    [
        (replies.reset_before_headers(), APIConnectionError),
        (replies.close_before_headers(), APIConnectionError),
        (replies.html(), MalformedResponseError),
        (replies.broken_json(), MalformedResponseError),
        (replies.broken_gzip({"a": 1}), MalformedResponseError),
        (replies.redirect("http://127.0.0.1:9/"), MalformedResponseError),
        (replies.silence(30), RequestTimeoutError),
    ],
)
def test_a_broken_connection_or_body_has_its_class_and_is_not_asked_again(
    face: Face, fault_server: FaultServers, reply: replies.Reply, cls: type[ProviderError]
) -> None:
    server = fault_server([reply, ANTHROPIC.reply()])
    anthropic = opened(server.url)
    error = failure(face, anthropic, lambda client: face.run(client.send, call(anthropic, read=0.5)))
    assert type(error) is cls
    assert len(server.requests) == 1


def test_a_refused_connection_is_a_connection_error(face: Face) -> None:
    with refused_port() as port:
        anthropic = opened(f"http://127.0.0.1:{port}")
        error = failure(face, anthropic, lambda client: face.run(client.send, call(anthropic)))
    assert type(error) is APIConnectionError


def test_a_stream_that_resets_is_a_connection_error(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.stream("Hello there.").reset_after(3))
    anthropic = opened(server.url)

    def read(client: Any) -> None:
        stream = face.run(client.open, call(anthropic, stream=True))
        try:
            list(pieces(face, stream))
        finally:
            face.run(stream.close)

    assert type(failure(face, anthropic, read)) is APIConnectionError


def test_the_key_shows_in_no_repr_and_no_error(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.fails("authentication"))
    anthropic = opened(server.url)
    error = failure(face, anthropic, lambda client: face.run(client.send, call(anthropic)))
    assert type(error) is AuthenticationError
    shown = [repr(anthropic), repr(anthropic.settings), str(error), repr(error), repr(vars(error))]
    assert not any(KEY in text for text in shown)


def test_an_exception_of_somebody_else_is_not_translated() -> None:
    assert opened().translate(KeyError("x")) is None


# ------------------------------------------------------------------------------------------------ the provider


def test_without_a_key_the_reason_names_the_variables() -> None:
    bare = provider(ProviderSettings("claude", "anthropic", key_variables=("ANTHROPIC_API_KEY",)))
    assert bare.unusable() == "no key: set ANTHROPIC_API_KEY (environment or .env), or api_key in providers.claude"
    assert opened().unusable() is None


FORCED = Request("claude-opus-5-5", REQUEST.messages, tools=(Tool("f"),), tool_choice="required")
FREE_KEYS = Schema({"type": "object", "additionalProperties": {"type": "integer"}})


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (REQUEST, None),
        (FORCED, "a forced tool choice"),
        (Request("claude-opus-5", FORCED.messages, tools=FORCED.tools, tool_choice="required"), None),
        (Request("claude-opus-5-5", REQUEST.messages, tools=FORCED.tools, tool_choice="auto"), None),
        (Request("claude-opus-5-5", REQUEST.messages, schema=FREE_KEYS), "structured output with an object"),
        (Request("claude-opus-5", REQUEST.messages, schema=FREE_KEYS), None),
    ],
)
def test_what_a_model_cannot_be_asked_is_said_beforehand(request_: Request, reason: str | None) -> None:
    lack = opened().lacks(request_)
    assert lack is None if reason is None else lack is not None and lack.startswith(reason)


def test_there_are_no_embeddings() -> None:
    codec = opened().codec
    assert codec.embed_batch == 0
    with pytest.raises(LLMRouterError, match="no embeddings"):
        codec.encode_embed(MODEL, ["text"], None)
    with pytest.raises(LLMRouterError, match="no embeddings"):
        codec.decode_embed(WireReply({}))


def test_making_a_provider_imports_no_sdk() -> None:
    program = (
        "import sys; from llmrouter.providers.anthropic import provider; "
        "from llmrouter.providers.base import ProviderSettings; provider(ProviderSettings('a', 'anthropic')); "
        "assert not {'anthropic', 'httpx2', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
