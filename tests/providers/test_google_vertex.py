"""Vertex AI: Gemini and Claude behind one provider, against a loopback server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.exceptions import TransportError

from llmrouter.errors import (
    AuthenticationError,
    MalformedResponseError,
    RateLimitError,
    RequestTimeoutError,
    UnsupportedError,
)
from llmrouter.providers.base import ProviderSettings, WireCall, WireReply, WireTimeouts
from llmrouter.providers.thread_bound import bound
from llmrouter.providers.vertex import VertexCodec, VertexProvider, provider
from llmrouter.types import Image, Message, Params, Request, Secret, Usage
from tests.conftest import FaultServers
from tests.servers.protocols import ANTHROPIC, GOOGLE, Protocol
from tests.servers.replies import json_reply, silence
from tests.worlds import Face

PLACE = "projects/p1/locations/europe-west4/publishers"
CODEC = VertexCodec("vertex")

both = pytest.mark.parametrize(
    ("model", "protocol"), [("gemini-3.8-flash", GOOGLE), ("claude-haiku-5-5", ANTHROPIC)], ids=["gemini", "claude"]
)


def made(url: str | None = None, **more: Any) -> VertexProvider:
    given: dict[str, Any] = {"project": "p1", "region": "europe-west4", "token": Secret("a-token"), **more}
    found = provider(ProviderSettings("vertex", "vertex", base_url=url, **given))
    assert isinstance(found, VertexProvider)
    return found


def asked(model: str, *, streams: bool = False) -> WireCall:
    messages = (Message("system", "be brief"), Message("user", "hello"))
    body = CODEC.encode(Request(model, messages, Params(max_tokens=50)))
    return WireCall("chat", model, CODEC.streaming(body) if streams else body, WireTimeouts(2.0, 5.0))


@pytest.fixture
def connect(face: Face) -> Iterator[Callable[[VertexProvider], Any]]:
    clients: list[Any] = []

    def opened(of: VertexProvider) -> Any:
        clients.append(face.run(of.connect, face.world))
        return clients[-1]

    yield opened
    for client in clients:
        face.run(client.close)


Connect = Callable[[VertexProvider], Any]


def drained(face: Face, stream: Any) -> list[bytes]:
    if face.world == "sync":
        return list(stream)

    async def pieces() -> list[bytes]:
        return [piece async for piece in stream]

    found: list[bytes] = face.run(pieces)
    return found


@both
def test_each_publisher_is_asked_in_its_own_way(
    face: Face, connect: Connect, fault_server: FaultServers, model: str, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply("Hello there."))
    client = connect(made(server.url))
    assert CODEC.decode(face.run(client.send, asked(model))).message.content == "Hello there."
    (request,) = server.requests
    way = "v1/{}/anthropic/models/{}:rawPredict" if "claude" in model else "v1beta1/{}/google/models/{}:generateContent"
    assert request.path == "/" + way.format(PLACE, model)
    assert request.headers["authorization"] == "Bearer a-token"


@both
def test_each_publishers_stream_is_read(
    face: Face, connect: Connect, fault_server: FaultServers, model: str, protocol: Protocol
) -> None:
    # The path of Claude's stream does not say so to the server, as its body does not name the model.
    client = connect(made(fault_server(protocol.stream("Hello there.")).url))
    stream = face.run(client.open, asked(model, streams=True))
    decoder = CODEC.decoder(stream.headers)
    for piece in drained(face, stream):
        decoder.feed(piece)
    face.run(stream.close)
    assert decoder.finish().message.content == "Hello there."


@both
def test_a_429_makes_exactly_one_request(
    face: Face, connect: Connect, fault_server: FaultServers, model: str, protocol: Protocol
) -> None:
    server = fault_server(lambda _request: protocol.fails("rate_limit"))
    of = made(server.url)
    client = connect(of)
    for verb in (client.send, client.open):
        with pytest.raises(Exception, match="429") as raised:
            face.run(verb, asked(model))
        assert isinstance(of.translate(raised.value), RateLimitError)
    assert len(server.requests) == 2


def test_vertexs_own_error_for_claude_is_read_in_googles_form(
    face: Face, connect: Connect, fault_server: FaultServers
) -> None:
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded."}}
    of = made(fault_server(lambda _request: json_reply(body, 429)).url)
    with pytest.raises(Exception, match="429") as raised:
        face.run(connect(of).send, asked("claude-haiku-5-5"))
    error = of.translate(raised.value)
    assert isinstance(error, RateLimitError)
    assert error.code == "RESOURCE_EXHAUSTED"


def test_an_api_key_needs_no_project(face: Face, connect: Connect, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.reply("Hello there."))
    of = made(server.url, api_key=Secret("a-key"), project=None, region=None, token=None)
    assert of.unusable() is None
    face.run(connect(of).send, asked("gemini-3.8-flash"))
    (request,) = server.requests
    assert request.path == "/v1beta1/publishers/google/models/gemini-3.8-flash:generateContent"
    assert request.headers["x-goog-api-key"] == "a-key"


def _service_account(folder: Path, token_uri: str) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "p1",
        "client_email": "robot@example.org",
        "private_key": key.decode(),
        "token_uri": token_uri,
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return path


@both
def test_googles_default_credentials_are_found(
    face: Face,
    connect: Connect,
    fault_server: FaultServers,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: str,
    protocol: Protocol,
) -> None:
    tokens = fault_server(json_reply({"access_token": "a-fresh-token", "expires_in": 3600, "token_type": "Bearer"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_service_account(tmp_path, f"{tokens.url}/token")))
    server = fault_server(protocol.reply("Hello there."))
    client = connect(made(server.url, token=None))
    for _ in range(2):
        face.run(client.send, asked(model))
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer a-fresh-token"] * 2
    assert len(tokens.requests) == 1


def test_the_project_that_credentials_are_billed_to_is_told(
    face: Face, connect: Connect, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tokens = fault_server(json_reply({"access_token": "a-fresh-token", "expires_in": 3600, "token_type": "Bearer"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_service_account(tmp_path, f"{tokens.url}/token")))
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "billed-project")
    server = fault_server(GOOGLE.reply("Hello there."))
    face.run(connect(made(server.url, token=None)).send, asked("gemini-3.8-flash"))
    assert server.requests[0].headers["x-goog-user-project"] == "billed-project"


def test_credentials_that_are_refused_are_an_authentication_error(
    face: Face, connect: Connect, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from google.auth.exceptions import RefreshError

    tokens = fault_server(lambda _request: json_reply({"error": "invalid_grant"}, 400))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_service_account(tmp_path, f"{tokens.url}/token")))
    of = made("http://127.0.0.1:1", token=None)
    with pytest.raises(RefreshError) as raised:
        face.run(connect(of).send, asked("gemini-3.8-flash"))
    assert isinstance(of.translate(raised.value), AuthenticationError)


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "claude-haiku-5-5"])
def test_a_silent_token_server_is_given_up_on_with_the_calls_deadline(
    fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str
) -> None:
    tokens = fault_server(lambda _request: silence(10.0))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(_service_account(tmp_path, f"{tokens.url}/token")))
    of = made("http://127.0.0.1:1", token=None)
    client: Any = of.connect("sync")
    began = time.monotonic()
    bound.until = began + 0.5
    try:
        with pytest.raises(TransportError) as raised:
            client.send(asked(model))
    finally:
        bound.until = None
        client.close()
    assert time.monotonic() - began < 2.0
    assert isinstance(of.translate(raised.value), RequestTimeoutError)


@pytest.mark.parametrize(
    ("model", "method", "sent", "answer"),
    [
        (
            "text-embedding-005",
            "predict",
            {"instances": [{"content": "a"}], "parameters": {"outputDimensionality": 2}},
            {"predictions": [{"embeddings": {"values": [1, 2.5], "statistics": {"token_count": 3}}}]},
        ),
        (
            "gemini-embedding-2",
            "embedContent",
            {
                "content": {"role": "user", "parts": [{"text": "a"}]},
                "embedContentConfig": {"outputDimensionality": 2},
            },
            {"embedding": {"values": [1, 2.5]}, "usageMetadata": {"promptTokenCount": 3}},
        ),
    ],
)
def test_embeddings_take_the_models_own_method(
    face: Face, connect: Connect, fault_server: FaultServers, model: str, method: str, sent: Any, answer: Any
) -> None:
    server = fault_server(json_reply(answer))
    call = WireCall("embed", model, CODEC.encode_embed(model, ["a"], 2), WireTimeouts(2.0, 5.0))
    reply = face.run(connect(made(server.url)).send, call)
    assert CODEC.decode_embed(reply) == ([[1, 2.5]], Usage(uncached_tokens=3))
    (request,) = server.requests
    assert (request.path, request.json) == (f"/v1beta1/{PLACE}/google/models/{model}:{method}", sent)


@pytest.mark.parametrize("body", [None, {}, {"predictions": [3]}, {"predictions": []}, {"embedding": {}}])
def test_an_answer_without_vectors_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedResponseError):
        CODEC.decode_embed(WireReply(body))


def test_claude_has_no_embeddings() -> None:
    with pytest.raises(UnsupportedError):
        CODEC.encode_embed("claude-haiku-5-5", ["a"], None)


def test_without_project_and_key_nothing_is_sent() -> None:
    reason = made(project=None, token=None).unusable()
    assert reason is not None
    assert "GOOGLE_CLOUD_PROJECT" in reason


def test_claude_lacks_what_vertex_does_not_carry_for_it() -> None:
    look = Request("claude-haiku-5-5", (Message("user", (Image(url="https://example.org/a.png"),)),))
    plain = Request("claude-haiku-5-5", (Message("user", "hello"),))
    assert "URL" in (made().lacks(look) or "")
    assert "project" in (made(project=None, api_key=Secret("a-key")).lacks(plain) or "")
    assert made().lacks(plain) is None
