"""Claude on Bedrock: AWS's paths, sign-in and event frames around the Messages protocol."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import AuthenticationError, MalformedResponseError, OverloadedError, RateLimitError
from llmrouter.providers import bedrock
from llmrouter.providers.base import ProviderSettings
from llmrouter.providers.bedrock import BedrockProvider, EventFrames, provider
from llmrouter.types import Document, Image, Message, Params, Request, Secret, Text
from tests.conftest import FaultServers
from tests.providers.test_anthropic_client import call, connected, failure, pieces
from tests.servers.protocols import ANTHROPIC, Answer
from tests.servers.replies import Reply, json_reply
from tests.servers.wire import cut
from tests.worlds import Face

pytest.importorskip("botocore", reason="needs the extra: pip install 'llmrouter[bedrock]'")

KEY = "the-bearer-token-that-nobody-may-see"
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
REQUEST = Request(MODEL, (Message("user", "Hello"),), Params(temperature=0.5))


def opened(url: str | None = None, key: str | None = KEY, region: str = "eu-west-1") -> BedrockProvider:
    secret = Secret(key) if key else None
    settings = ProviderSettings("bedrock", "bedrock", base_url=url, api_key=secret, region=region)
    return provider(settings)


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one frame as AWS puts it on the wire: lengths, checksum, headers, payload, checksum."""
    head = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(head) + len(payload) + 16, len(head))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + head + payload
    return message + struct.pack(">I", binascii.crc32(message))


def chunk(event: bytes) -> bytes:
    wrapped = {"bytes": base64.b64encode(event).decode(), "p": "abcdef"}
    return frame({":event-type": "chunk", ":message-type": "event"}, json.dumps(wrapped).encode())


def exception(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def frames(text: str) -> list[bytes]:
    """Return a stream that says `text`, frame by frame."""
    return [chunk(event.split(b"data: ")[1].strip()) for event in ANTHROPIC.chunks(text)]


def streamed(pieces: list[bytes]) -> Reply:
    return Reply(200, {"content-type": "application/vnd.amazon.eventstream"}, pieces, chunked=True)


# ------------------------------------------------------------------------------------------------ the way there


def test_a_chat_goes_to_the_models_own_path_with_the_version_in_the_body(
    face: Face, fault_server: FaultServers
) -> None:
    server = fault_server(json_reply(ANTHROPIC.body(Answer("Hello there."), MODEL)))
    claude = opened(server.url)
    with connected(face, claude) as client:
        found = claude.codec.decode(face.run(client.send, call(claude, REQUEST)))
    (request,) = server.requests
    assert found.message.content == "Hello there."
    assert request.path.replace("%3A", ":") == f"/model/{MODEL}/invoke"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json["anthropic_version"] == "bedrock-2023-05-31"
    assert request.json["temperature"] == 0.5
    assert not {"model", "stream"} & set(request.json)


def test_a_stream_of_frames_is_read_as_events(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(streamed(cut(b"".join(frames("Hello there.")), seed=1)).delayed(0.001))
    claude = opened(server.url)
    with connected(face, claude) as client:
        stream = face.run(client.open, call(claude, REQUEST, stream=True))
        decoder = claude.codec.decoder(stream.headers)
        deltas = [delta for piece in pieces(face, stream) for delta in decoder.feed(piece)]
        face.run(stream.close)
    assert deltas == [Text("Hello"), Text(" there.")]
    assert decoder.finish().message.content == "Hello there."
    assert server.requests[0].path.endswith("/invoke-with-response-stream")


def test_closing_a_stream_early_drops_the_connection_at_once(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(streamed(frames("Hello there.")).stalled(2, 30))
    claude = opened(server.url)
    with connected(face, claude) as client:
        stream = face.run(client.open, call(claude, REQUEST, stream=True))
        next(pieces(face, stream))
        face.run(stream.close)
        face.run(stream.close)
        assert server.wait_for(lambda server: bool(server.early_closes))


def test_a_429_makes_exactly_one_request(face: Face, fault_server: FaultServers) -> None:
    throttled = json_reply({"message": "Too many tokens"}, 429, {"x-amzn-errortype": "ThrottlingException"})
    server = fault_server(throttled)
    claude = opened(server.url)
    error = failure(face, claude, lambda client: face.run(client.send, call(claude, REQUEST)))
    assert type(error) is RateLimitError
    assert len(server.requests) == 1
    assert KEY not in f"{error!r}{vars(error)!r}{claude!r}"


def test_without_a_bearer_token_requests_are_signed_with_aws_credentials(
    face: Face, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    server = fault_server(json_reply(ANTHROPIC.body(Answer("Hello there."), MODEL)))
    claude = opened(server.url, key=None)
    with connected(face, claude) as client:
        face.run(client.send, call(claude, REQUEST))
    signed = server.requests[0].headers["authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=an-id/")
    assert "/eu-west-1/bedrock/" in signed


def test_missing_aws_credentials_are_an_authentication_error(
    face: Face, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = fault_server(())
    claude = opened(server.url, key=None, region="eu-south-1")  # AWS's credentials are remembered by region
    error = failure(face, claude, lambda client: face.run(client.send, call(claude, REQUEST)))
    assert type(error) is AuthenticationError
    assert "set api_key" in error.message
    assert server.requests == []


# ------------------------------------------------------------------------------------------------ frames


@given(st.lists(st.integers(1, 50), min_size=1))
def test_frames_may_be_cut_anywhere(sizes: list[int]) -> None:
    wire, found, at, turn = b"".join(frames("Hello there.")), b"", 0, 0
    reader = EventFrames()
    while at < len(wire):
        size = sizes[turn % len(sizes)]
        found += reader.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert found == EventFrames().feed(wire)
    assert found.count(b"data: ") == len(ANTHROPIC.chunks("Hello there."))


@pytest.mark.parametrize(
    ("kind", "cls"), [("throttlingException", RateLimitError), ("serviceUnavailableException", OverloadedError)]
)
def test_an_exception_frame_is_an_error_event(kind: str, cls: type[Exception]) -> None:
    decoder = opened().codec.decoder({})
    event = EventFrames().feed(exception(kind, "Too many requests"))
    with pytest.raises(cls, match="Too many requests"):
        decoder.feed(event)


def test_a_frame_without_an_event_says_nothing() -> None:
    assert EventFrames().feed(frame({":event-type": "initial-response"}, b"{}")) == b""
    assert EventFrames().feed(frame({":event-type": "chunk"}, b"")) == b""


@pytest.mark.parametrize(
    "broken",
    [
        b"event: message_start\ndata: {}\n\n",
        chunk(b"{}")[:-1] + b"\x00",
        frame({":event-type": "chunk"}, b"not JSON"),
        frame({":event-type": "chunk"}, b"[]"),
        frame({":event-type": "chunk"}, b'{"bytes": "a"}'),
    ],
)
def test_a_broken_frame_is_malformed(broken: bytes) -> None:
    with pytest.raises(MalformedResponseError, match="frame"):
        EventFrames().feed(broken)


# ------------------------------------------------------------------------------------------------ the provider


@pytest.mark.parametrize(
    ("request_", "lack"),
    [
        (REQUEST, None),
        (Request("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", REQUEST.messages), None),
        (Request("amazon.nova-pro-v1:0", REQUEST.messages), "other than Claude"),
        (Request(MODEL, (Message("user", (Image(url="http://x/a.png"),)),)), "by URL"),
        (Request(MODEL, (Message("user", (Document(url="http://x/a.pdf"),)),)), "by URL"),
        (Request(MODEL, (Message("user", (Document(data="eA==", media_type="text/plain"),)),)), None),
    ],
)
def test_what_bedrock_cannot_carry_is_said_beforehand(request_: Request, lack: str | None) -> None:
    found = opened().lacks(request_)
    assert found is None if lack is None else found is not None and lack in found


def test_a_missing_extra_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock, "find_spec", lambda _name: None)
    assert opened().unusable() == "Bedrock needs an extra: pip install 'llmrouter[bedrock]'"


def test_a_missing_region_is_said_with_its_remedy() -> None:
    bare = provider(ProviderSettings("aws", "bedrock"))
    assert bare.unusable() == "no AWS region: set AWS_REGION, or region in providers.aws"
    assert opened().unusable() is None


def test_the_region_of_an_aws_profile_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert provider(ProviderSettings("aws", "bedrock")).unusable() is None
