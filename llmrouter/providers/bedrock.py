"""Claude on Amazon Bedrock: the Messages protocol in AWS's wrapping, through Anthropic's own SDK.

Model ids are Bedrock's: `anthropic.claude-opus-5-v1:0`, `us.anthropic.claude-...`, or the ARN of an inference profile
(one that hides the model's name is asked as the oldest Claude, since nothing tells what it accepts).
Signed in by `api_key` (a Bedrock bearer token), else by whatever AWS's own chain of credentials finds.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from llmrouter.errors import AuthenticationError, LLMRouterError, MalformedResponseError
from llmrouter.providers.anthropic import AnthropicProvider, AsyncClient, SyncClient, sdk_options
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.base import ProviderSettings, WireCall, World
from llmrouter.types import Document, Image, Message, Request

if TYPE_CHECKING:
    from llmrouter.providers.http import AsyncByteStream, ByteStream

_API_VERSION: Final = "bedrock-2023-05-31"  # takes temperature and top_p where the model does


def provider(settings: ProviderSettings) -> BedrockProvider:
    """Return the provider for an entry of kind `bedrock`; `api_version` is the body's `anthropic_version`."""
    version = settings.api_version or _API_VERSION
    codec = MessagesCodec(
        settings.name,
        sampling=version.startswith("bedrock-"),  # Anthropic's own versions there: 2026-10-21, which refuses them
        inline_system=False,
        fixed={"anthropic_version": version},
    )
    return BedrockProvider(settings, codec, make_sync=_bedrock, make_async=_async_bedrock)


class BedrockProvider(AnthropicProvider):
    """Claude in one AWS region."""

    def unusable(self) -> str | None:
        """Return why no request can be sent, or None. AWS credentials are looked for with the first request."""
        if find_spec("boto3") is None or find_spec("botocore") is None:
            return "Bedrock needs an extra: pip install 'llmrouter[bedrock]'"
        if self.settings.region or _configured_region():
            return None
        return f"no AWS region: set AWS_REGION, or region in providers.{self.settings.name}"

    def lacks(self, request: Request) -> str | None:
        """Return what `request` needs that Bedrock, or the model, cannot carry; None when nothing."""
        model = request.model.lower()
        if "claude" not in model and not model.startswith("arn:"):  # an ARN may hide the model's name
            return "a model other than Claude (on Bedrock, only Anthropic's models are spoken here)"
        if any(_by_url(message) for message in request.messages):
            return "images or documents by URL (on Bedrock they go as data)"
        return super().lacks(request)

    def connect(self, world: World) -> SyncClient | AsyncClient:
        """Open the SDK client."""
        if world == "sync":
            return BedrockSyncClient(self._make_sync(self.settings))
        return BedrockAsyncClient(self._make_async(self.settings))

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an exception of the SDK or of AWS's credential chain to ours; None when it is not one we know."""
        botocore = sys.modules.get("botocore.exceptions")
        # The SDK reports an empty credential chain as a bare RuntimeError with these words.
        none_found = isinstance(error, RuntimeError) and "AWS credentials" in str(error)
        if none_found or (botocore is not None and isinstance(error, botocore.BotoCoreError)):
            return AuthenticationError(f"AWS credentials: {error}; set them up as for the AWS CLI, or set api_key")
        return super().translate(error)


def _configured_region() -> str | None:
    region = import_module("boto3").Session().region_name
    return region if isinstance(region, str) else None


def _by_url(message: Message) -> bool:
    return any(isinstance(part, Image | Document) and part.url is not None for part in message.parts)


def _options(settings: ProviderSettings) -> dict[str, Any]:
    key = settings.api_key.reveal() if settings.api_key else None
    return {**sdk_options(settings), "aws_region": settings.region, "api_key": key}


def _bedrock(settings: ProviderSettings) -> Any:
    import anthropic

    from llmrouter.providers.http import sync_client

    return anthropic.AnthropicBedrock(**_options(settings), http_client=sync_client(settings))


def _async_bedrock(settings: ProviderSettings) -> Any:
    import anthropic

    from llmrouter.providers.http import async_client

    return anthropic.AsyncAnthropicBedrock(**_options(settings), http_client=async_client(settings))


class BedrockSyncClient(SyncClient):
    """The blocking client; streams come out as server-sent events."""

    def open(self, call: WireCall) -> FrameStream:  # type: ignore[override]  # the same stream, unwrapped
        """Ask for a stream."""
        return FrameStream(super().open(call))


class BedrockAsyncClient(AsyncClient):
    """The asynchronous client; streams come out as server-sent events."""

    async def open(self, call: WireCall) -> AsyncFrameStream:  # type: ignore[override]  # the same stream, unwrapped
        """Ask for a stream."""
        return AsyncFrameStream(await super().open(call))


# ------------------------------------------------------------------------------------------------ streams


class FrameStream:
    """A stream of AWS event frames, read as the server-sent events they wrap."""

    def __init__(self, chunks: ByteStream) -> None:
        self.headers = chunks.headers
        self._chunks = chunks
        self._frames = EventFrames()

    def __iter__(self) -> FrameStream:
        return self

    def __next__(self) -> bytes:
        while not (events := self._frames.feed(next(self._chunks))):
            pass
        return events

    def close(self) -> None:
        """Drop the connection; may be called twice."""
        self._chunks.close()


class AsyncFrameStream:
    """The asynchronous twin of FrameStream; `close()` is awaited."""

    def __init__(self, chunks: AsyncByteStream) -> None:
        self.headers = chunks.headers
        self._chunks = chunks
        self._frames = EventFrames()

    def __aiter__(self) -> AsyncFrameStream:
        return self

    async def __anext__(self) -> bytes:
        while not (events := self._frames.feed(await self._chunks.__anext__())):
            pass
        return events

    async def close(self) -> None:
        """Drop the connection; may be called twice."""
        await self._chunks.close()


class EventFrames:
    """Unwraps AWS's binary event frames (`application/vnd.amazon.eventstream`), cut anywhere."""

    def __init__(self) -> None:
        frames = import_module("botocore.eventstream")  # untyped, and absent without the extra
        self._buffer = frames.EventStreamBuffer()
        self._broken: type[Exception] = frames.ParserError

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that `chunk` completes as server-sent events. Raises MalformedResponseError for garbage."""
        self._buffer.add_data(chunk)
        try:
            return b"".join([_event(frame.headers, frame.payload) for frame in self._buffer])
        except (self._broken, ValueError) as error:
            raise MalformedResponseError(f"a frame of the stream is broken: {error}") from None


def _event(headers: Mapping[str, Any], payload: bytes) -> bytes:
    content = json.loads(payload or b"{}")
    if not isinstance(content, dict):
        raise ValueError("its payload is not a JSON object")
    kind = headers.get(":exception-type") or headers.get(":error-code")
    if kind is not None:
        message = headers.get(":error-message") or content.get("message", "")
        error = {"type": "error", "error": {"type": kind, "message": message}}
        return b"event: error\ndata: %s\n\n" % json.dumps(error).encode()
    wrapped = content.get("bytes")
    return b"data: %s\n\n" % base64.b64decode(wrapped) if isinstance(wrapped, str) else b""
