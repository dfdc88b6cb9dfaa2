"""`kind: vertex`: Google Cloud's Vertex AI, Gemini through google-genai and Claude through the anthropic SDK.

Credentials are google-auth's defaults for the project, or an API key (Gemini alone). Claude needs the extra `vertex`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmrouter import forks
from llmrouter.errors import LLMRouterError, ProviderError, UnsupportedError
from llmrouter.providers.anthropic import AnthropicProvider, sdk_options
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.base import (
    Client,
    Provider,
    ProviderSettings,
    StreamDecoder,
    WireCall,
    WireReply,
    World,
)
from llmrouter.providers.failures import decoded, lower
from llmrouter.providers.google import GoogleProvider, open_client
from llmrouter.providers.google_failures import google_error
from llmrouter.providers.google_genai import GoogleCodec, embed_usage, read_vectors
from llmrouter.types import Completion, Request, Usage

_PUBLISHER: Final = "x-llmrouter-publisher"  # set on what Claude answered: the decoder of a stream sees headers only
_DEFAULT_REGION: Final = "global"
_CLAUDE_VERSION: Final = "vertex-2023-10-16"  # takes temperature and top_p where the model does


def is_claude(model: str) -> bool:
    """Tell whether Anthropic publishes this model."""
    return model.rpartition("/")[2].startswith("claude")


class VertexCodec:
    """Speaks Gemini's protocol or Anthropic's, by the model; answers are told apart by their publisher's mark."""

    embed_batch = 1  # gemini-embedding-* take one text per request on Vertex

    def __init__(self, origin: str) -> None:
        self._gemini = GoogleCodec(origin)
        self._claude = MessagesCodec(origin, inline_system=False, fixed={"anthropic_version": _CLAUDE_VERSION})

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the body of a complete answer."""
        return self._claude.encode(request) if is_claude(request.model) else self._gemini.encode(request)

    def streaming(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of a stream."""
        return self._claude.streaming(body) if "messages" in body else self._gemini.streaming(body)

    def decode(self, reply: WireReply) -> Completion:
        """Read a complete answer."""
        return self._of(reply.headers).decode(reply)

    def usage(self, reply: WireReply) -> Usage | None:
        """Return the usage that an answer reports, whatever else is wrong with it; None when it reports none."""
        return self._of(reply.headers).usage(reply)

    def decoder(self, headers: Mapping[str, str]) -> StreamDecoder:
        """Return a decoder for one stream."""
        return self._of(headers).decoder(headers)

    def _of(self, headers: Mapping[str, str]) -> GoogleCodec | MessagesCodec:
        return self._claude if headers.get(_PUBLISHER) else self._gemini

    def error(self, status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:
        """Classify a failed response: Vertex itself answers in Google's form for either publisher."""
        content = decoded(body)
        report = content.get("error") if isinstance(content, dict) else None
        if isinstance(report, dict) and "type" in report:
            return self._claude.error(status, headers, content)
        return google_error(status, headers, content)

    def encode_embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
        """Return the body of `embedContent` (Gemini's embedding models since the second), else of `predict`."""
        if is_claude(model):
            return self._claude.encode_embed(model, texts, dimensions)
        if embeds_content(model):
            body: dict[str, Any] = {"content": {"role": "user", "parts": [{"text": text} for text in texts]}}
            if dimensions is not None:
                body["embedContentConfig"] = {"outputDimensionality": dimensions}
            return body
        parameters = {} if dimensions is None else {"parameters": {"outputDimensionality": dimensions}}
        return {"instances": [{"content": text} for text in texts], **parameters}

    def decode_embed(self, reply: WireReply) -> tuple[list[list[float]], Usage]:
        """Read vectors, and the tokens that their statistics count."""
        body = reply.body
        if isinstance(body, dict) and "embedding" in body:
            return read_vectors([body["embedding"]], body), embed_usage(body)
        predictions = body.get("predictions") if isinstance(body, dict) else None
        if not isinstance(predictions, list):
            return self._gemini.decode_embed(reply)
        found = [item.get("embeddings") if isinstance(item, dict) else None for item in predictions]
        return read_vectors(found, body), _statistics(found)


def embeds_content(model: str) -> bool:
    """Tell whether google-genai asks `embedContent` for this model, and not `predict`."""
    return ("gemini" in model and model != "gemini-embedding-001") or "maas" in model


def _statistics(found: Sequence[Any]) -> Usage:
    counted = [item["statistics"].get("token_count") for item in found if isinstance(item.get("statistics"), dict)]
    tokens = [int(count) for count in counted if isinstance(count, int | float)]
    return Usage(uncached_tokens=sum(tokens)) if tokens else Usage(estimated=True)


class VertexProvider(GoogleProvider):
    """One project and region of Vertex AI."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings, VertexCodec(settings.name))
        self._claude = AnthropicProvider(settings, self.codec, make_sync=_claude_sync, make_async=_claude_async)

    def unusable(self) -> str | None:
        """Return why no request can be sent: there is neither a project nor a key."""
        if self.settings.project or self.settings.api_key:
            return None
        name = self.settings.name
        return f"provider {name!r} has no project: set GOOGLE_CLOUD_PROJECT, or project (or api_key) in the file"

    def lacks(self, request: Request) -> str | None:
        """Return what the model's publisher cannot carry."""
        if not is_claude(request.model):
            return super().lacks(request)
        if not self.settings.project:
            return "a project (an API key serves Gemini alone)"
        if any(getattr(part, "url", None) for message in request.messages for part in message.parts):
            return "images or documents by URL (Claude on Vertex takes them as data)"
        return self._claude.lacks(request)

    def connect(self, world: World) -> Client:
        """Open the SDK client for Gemini; that for Claude opens with the first call that needs it."""
        gemini = open_client(self.settings, world, self._identity())
        return _Publishers(gemini, self._claude) if world == "sync" else _AsyncPublishers(gemini, self._claude)

    def _identity(self) -> dict[str, Any]:
        at = self.settings
        if at.api_key:
            return {"vertexai": True, "api_key": at.api_key.reveal()}
        return {
            "vertexai": True,
            "project": at.project,
            "location": at.region or _DEFAULT_REGION,
            "credentials": _credentials(at),
        }

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an exception of either SDK, of google-auth or of httpx to ours."""
        if type(error).__module__.partition(".")[0] == "anthropic":
            return self._claude.translate(error)
        return super().translate(error)


def _credentials(settings: ProviderSettings) -> Any:
    """Return credentials for a token that was given, else those that google-auth finds when they are needed."""
    if settings.token is None:
        from llmrouter.providers.vertex_credentials import DefaultCredentials

        return DefaultCredentials(settings)
    from google.oauth2.credentials import Credentials

    return Credentials(token=settings.token.reveal())  # type: ignore[no-untyped-call]


def _claude_options(settings: ProviderSettings) -> dict[str, Any]:
    options = sdk_options(settings)
    url = settings.base_url
    if url is not None and not url.rstrip("/").endswith("/v1"):
        options["base_url"] = f"{url.rstrip('/')}/v1"  # this SDK wants the version in the address
    region = settings.region or _DEFAULT_REGION
    return {**options, "project_id": settings.project, "region": region, "credentials": _credentials(settings)}


def _claude_sync(settings: ProviderSettings) -> Any:
    import anthropic

    from llmrouter.providers.http import sync_client

    return anthropic.AnthropicVertex(**_claude_options(settings), http_client=sync_client(settings))


def _claude_async(settings: ProviderSettings) -> Any:
    import anthropic

    from llmrouter.providers.http import async_client

    return anthropic.AsyncAnthropicVertex(**_claude_options(settings), http_client=async_client(settings))


class _Opening:
    """Holds both publishers' clients of one world; Claude's is opened when first needed."""

    def __init__(self, gemini: Any, claude: AnthropicProvider) -> None:
        self._gemini, self._provider = gemini, claude
        self._claude: Any = None
        self._lock = forks.lock()

    def _client(self, world: World, call: WireCall) -> Any:
        if not is_claude(call.model):
            return self._gemini
        with self._lock:
            if self._claude is None:
                try:
                    self._claude = self._provider.connect(world)
                except ImportError as error:
                    raise UnsupportedError(
                        f"{call.model} on Vertex needs an extra: pip install 'llmrouter[vertex]' ({error})"
                    ) from error
            return self._claude


class _Publishers(_Opening):
    """The blocking clients."""

    def send(self, call: WireCall) -> WireReply:
        reply: WireReply = self._client("sync", call).send(call)
        return _marked(reply) if is_claude(call.model) else reply

    def open(self, call: WireCall) -> Any:
        stream = self._client("sync", call).open(call)
        return _mark(stream) if is_claude(call.model) else stream

    def close(self) -> None:
        self._gemini.close()
        if self._claude is not None:
            self._claude.close()


class _AsyncPublishers(_Opening):
    """The asynchronous clients."""

    async def send(self, call: WireCall) -> WireReply:
        reply: WireReply = await self._client("async", call).send(call)
        return _marked(reply) if is_claude(call.model) else reply

    async def open(self, call: WireCall) -> Any:
        stream = await self._client("async", call).open(call)
        return _mark(stream) if is_claude(call.model) else stream

    async def close(self) -> None:
        await self._gemini.close()
        if self._claude is not None:
            await self._claude.close()


def _marked(reply: WireReply) -> WireReply:
    return WireReply(reply.body, {**reply.headers, _PUBLISHER: "anthropic"})


def _mark(stream: Any) -> Any:
    stream.headers = {**lower(stream.headers), _PUBLISHER: "anthropic"}
    return stream


def provider(settings: ProviderSettings) -> Provider:
    """Return the provider for one entry of `providers:`."""
    return VertexProvider(settings)
