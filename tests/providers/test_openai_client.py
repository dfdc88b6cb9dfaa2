"""The official SDK, for real, against a loopback server: both APIs, both worlds."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from llmrouter.providers import azure, registry
from llmrouter.providers.base import Client, Provider, WireCall, WireReply, WireTimeouts
from llmrouter.types import Completion, Message, Params, Request, Text
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer, refused_port
from tests.servers.protocols import OPENAI, RESPONSES, Answer, Protocol
from tests.servers.replies import broken_json, redirect, silence
from tests.worlds import Face

KEY = "a-key-nobody-may-see"
ASK = Request("gpt-6-luna", (Message("user", "hello"),), Params(max_tokens=64))
both = pytest.mark.parametrize("protocol", [OPENAI, RESPONSES], ids=lambda protocol: protocol.name)


def provider_at(server: FaultServer | str, protocol: Protocol = OPENAI, **entry: Any) -> Provider:
    url = server if isinstance(server, str) else server.url
    fields = {**protocol.provider(url), "api_key": KEY, **entry}
    return registry.create(registry.settings("openai", fields, os.environ))


def call_for(provider: Provider, stream: bool = False, read: float = 5.0) -> WireCall:
    body = provider.codec.encode(ASK)
    body = provider.codec.streaming(body) if stream else body
    return WireCall("chat", ASK.model, body, WireTimeouts(connect=2.0, read=read), {"x-trace": "t1"})


@contextmanager
def connected(face: Face, provider: Provider) -> Iterator[Client]:
    client = provider.connect(face.world)
    try:
        yield client
    finally:
        face.run(client.close)


def sent(face: Face, provider: Provider, call: WireCall | None = None) -> WireReply:
    with connected(face, provider) as client:
        reply = face.run(client.send, call or call_for(provider))
        assert isinstance(reply, WireReply)
        return reply


def failure_of(provider: Provider, ask: Callable[[], Any]) -> LLMRouterError:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the SDK's own; its translation is what is tested
        ask()
    translated = provider.translate(caught.value)
    assert translated is not None
    return translated


def chunks(face: Face, stream: Any) -> Iterator[bytes]:
    if face.world == "sync":
        yield from stream
        return
    end = object()
    while (chunk := face.run(anext, stream, end)) is not end:
        yield chunk


@both
def test_an_answer_comes_back(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    provider = provider_at(fault_server(protocol.reply("Forty-two.")), protocol)
    reply = sent(face, provider)
    answer = provider.codec.decode(reply)
    assert (answer.message.content, answer.finish_reason) == ("Forty-two.", "stop")
    assert answer.request_id == reply.headers["x-request-id"]


@both
def test_what_is_sent_is_what_was_encoded(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply())
    provider = provider_at(server, protocol, headers={"x-team": "blue"})
    sent(face, provider)
    (request,) = server.requests
    assert request.json == provider.codec.encode(ASK)
    assert request.path == ("/v1/responses" if protocol is RESPONSES else "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.headers["x-team"], request.headers["x-trace"]) == ("blue", "t1")


@both
def test_a_stream_comes_back(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    provider = provider_at(fault_server(protocol.reply(Answer("One two three.", reasoning="Hm."))), protocol)
    with connected(face, provider) as client:
        stream = face.run(client.open, call_for(provider, stream=True))
        decoder = provider.codec.decoder(stream.headers)
        deltas = [delta for chunk in chunks(face, stream) for delta in decoder.feed(chunk)]
        face.run(stream.close)
    answer = decoder.finish()
    assert isinstance(answer, Completion)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Text)) == "One two three."
    assert (answer.message.content, answer.reasoning) == ("One two three.", "Hm.")
    assert answer.usage is not None
    assert answer.usage.output_tokens == 7


@both
def test_closing_a_stream_drops_its_connection_at_once(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.stream().stalled(2, 10.0))
    provider = provider_at(server, protocol)
    with connected(face, provider) as client:
        stream = face.run(client.open, call_for(provider, stream=True))
        next(chunks(face, stream))
        face.run(stream.close)
        assert server.wait_for(lambda seen: len(seen.early_closes) == 1)
        face.run(stream.close)


@both
def test_a_429_makes_exactly_one_request(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(lambda _: protocol.fails("rate_limit", 0.01))
    provider = provider_at(server, protocol)
    error = failure_of(provider, lambda: sent(face, provider))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 0.01
    assert len(server.requests) == 1


@both
def test_a_429_on_a_stream_makes_exactly_one_request(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(lambda _: protocol.fails("rate_limit"))
    provider = provider_at(server, protocol)
    with connected(face, provider) as client:
        error = failure_of(provider, lambda: face.run(client.open, call_for(provider, stream=True)))
    assert isinstance(error, RateLimitError)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(lambda _: redirect("http://127.0.0.1:9/v1"))
    provider = provider_at(server)
    assert isinstance(failure_of(provider, lambda: sent(face, provider)), MalformedResponseError)
    assert len(server.requests) == 1


def test_a_body_that_is_not_json_is_malformed(face: Face, fault_server: FaultServers) -> None:
    provider = provider_at(fault_server(broken_json()))
    with pytest.raises(MalformedResponseError):
        sent(face, provider)


def test_a_refused_connection_is_a_connection_error(face: Face) -> None:
    with refused_port() as port:
        provider = provider_at(f"http://127.0.0.1:{port}")
        assert isinstance(failure_of(provider, lambda: sent(face, provider)), APIConnectionError)


def test_a_silent_server_is_a_timeout(face: Face, fault_server: FaultServers) -> None:
    provider = provider_at(fault_server(silence(5.0)))
    error = failure_of(provider, lambda: sent(face, provider, call_for(provider, read=0.05)))
    assert isinstance(error, RequestTimeoutError)


def test_an_error_of_nobodys_passes_unmapped() -> None:
    assert provider_at("http://127.0.0.1:9").translate(ZeroDivisionError()) is None


def test_the_key_never_shows_in_what_fails(face: Face, fault_server: FaultServers) -> None:
    reply = OPENAI.trouble("authentication", None)
    body = {"error": {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}}
    server = fault_server(type(reply)(401, body, reply.headers).reply)
    provider = provider_at(server)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the SDK's own
        sent(face, provider)
    error = provider.translate(caught.value)
    assert isinstance(error, AuthenticationError)
    shown = [repr(error), str(error), repr(error.body), repr(provider.settings), repr(provider), repr(vars(provider))]
    error.__cause__ = caught.value
    shown += traceback.format_exception(error)
    assert not any(KEY in text for text in shown)


def test_a_key_that_is_an_ordinary_word_spoils_no_error(face: Face, fault_server: FaultServers) -> None:
    provider = provider_at(fault_server(OPENAI.fails("authentication")), api_key="invalid_api_key")
    error = failure_of(provider, lambda: sent(face, provider))
    assert isinstance(error, AuthenticationError)
    assert error.code == "invalid_api_key"


def test_what_the_environment_holds_for_openai_is_sent_nowhere_else(
    face: Face, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "openai-key")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-custom: 1")
    server = fault_server(OPENAI.reply())
    entry = {"base_url": f"{server.url}/v1"}
    provider = registry.create(registry.settings("ollama", entry, os.environ))
    sent(face, provider)
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer unused"
    assert not headers.keys() & {"openai-organization", "openai-project", "x-custom"}


def test_openais_organization_and_project_are_sent_to_openai(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    sent(face, provider_at(server, organization="org-1", project="proj-1"))
    headers = server.requests[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")


def test_embeddings_come_back_in_order(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.embeds([[0.5, 1.0], [2.0, -1.0]], tokens=9))
    provider = provider_at(server)
    body = provider.codec.encode_embed("text-embedding-3-small", ["a", "b"], 2)
    call = WireCall("embed", "text-embedding-3-small", body, WireTimeouts(2.0, 5.0))
    vectors, usage = provider.codec.decode_embed(sent(face, provider, call))
    assert vectors == [[0.5, 1.0], [2.0, -1.0]]
    assert (usage.input_tokens, usage.output_tokens) == (9, 0)
    assert server.requests[0].path == "/v1/embeddings"
    assert server.requests[0].json["dimensions"] == 2


# ------------------------------------------------------------------------------------------------ Azure


def azure_at(server: FaultServer, environ: dict[str, str] | None = None, **entry: Any) -> Provider:
    fields = {"kind": "azure", "base_url": server.url, "api_version": "2025-04-01-preview", **entry}
    return registry.create(registry.settings("azure", fields, environ or {}))


def test_an_azure_model_is_a_deployment_in_the_path(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    sent(face, azure_at(server, api_key=KEY))
    (request,) = server.requests
    assert request.path == "/openai/deployments/gpt-6-luna/chat/completions?api-version=2025-04-01-preview"
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers


def test_azure_speaks_responses(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(RESPONSES.reply("Yes."))
    provider = azure_at(server, api_key=KEY, api="responses")
    assert provider.codec.decode(sent(face, provider)).message.content == "Yes."
    assert server.requests[0].path == "/openai/responses?api-version=2025-04-01-preview"


def test_an_entra_token_stands_in_for_azures_key(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    sent(face, azure_at(server, {"AZURE_OPENAI_AD_TOKEN": "entra"}))
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer entra"
    assert "api-key" not in headers


def test_azures_version_1_api_needs_no_api_version(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    provider = azure_at(server, api_key=KEY, base_url=f"{server.url}/openai/v1", api_version=None)
    assert provider.unusable() is None
    sent(face, provider)
    assert server.requests[0].path == "/openai/v1/chat/completions"


def test_azure_makes_exactly_one_request_on_a_429(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(lambda _: OPENAI.fails("rate_limit"))
    provider = azure_at(server, api_key=KEY)
    assert isinstance(failure_of(provider, lambda: sent(face, provider)), RateLimitError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ({"base_url": None}, "AZURE_OPENAI_ENDPOINT"),
        ({"api_version": None}, "OPENAI_API_VERSION"),
        ({"api_key": None}, "AZURE_OPENAI_API_KEY"),
    ],
)
def test_azure_says_what_it_lacks(
    fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch, missing: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr(azure, "_has_identity", lambda: False)
    reason = azure_at(fault_server(), **{"api_key": KEY, **missing}).unusable()
    assert reason is not None
    assert told in reason


def test_a_failed_sign_in_with_entra_id_is_an_authentication_error(fault_server: FaultServers) -> None:
    identity = pytest.importorskip("azure.identity", reason="needs the extra: pip install llmrouter[azure]")
    provider = azure_at(fault_server())
    assert provider.unusable() is None
    translated = provider.translate(identity.CredentialUnavailableError("no credential"))
    assert isinstance(translated, AuthenticationError)
    assert "no credential" in str(translated)


def test_an_entra_id_credential_is_asked_for_a_token(
    face: Face, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = pytest.importorskip("azure.identity", reason="needs the extra: pip install llmrouter[azure]")
    credentials = pytest.importorskip("azure.core.credentials")

    class Credential:
        def get_token(self, *_scopes: str, **_options: Any) -> Any:
            return credentials.AccessToken("fresh", 2**31)

    monkeypatch.setattr(identity, "DefaultAzureCredential", Credential)
    server = fault_server(OPENAI.reply())
    sent(face, azure_at(server))
    assert server.requests[0].headers["authorization"] == "Bearer fresh"


def test_an_old_azure_api_version_gets_the_old_parameters(fault_server: FaultServers) -> None:
    provider = azure_at(fault_server(), api_key=KEY, api_version="2024-02-01")
    body = provider.codec.encode(Request("chat-35", (Message("user", "x"),), Params(max_tokens=5)))
    assert body["max_tokens"] == 5
    assert "stream_options" not in provider.codec.streaming(body)
