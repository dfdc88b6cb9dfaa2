"""OpenAI, and every server that speaks its protocol, through the official SDK with raw bodies.

The SDK carries the bytes (authentication, URLs, headers); we read them: its response objects cost more than ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from llmrouter.errors import LLMRouterError
from llmrouter.providers import openai_chat_encode, openai_responses
from llmrouter.providers.base import Client, Codec, ProviderSettings, WireCall, WireReply, World
from llmrouter.providers.failures import redact
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_dialect import COMPATIBLE, OPENAI, Dialect
from llmrouter.providers.openai_responses import ResponsesCodec
from llmrouter.providers.presets import PRESETS
from llmrouter.types import Request

_NO_KEY: Final = "unused"  # what a server without keys is sent: the SDK insists on one


def provider(settings: ProviderSettings) -> OpenAIProvider:
    """Return the provider for one entry of kind `openai`, or of a preset."""
    return OpenAIProvider(settings)


def dialect_of(settings: ProviderSettings) -> Dialect:
    """Return how this endpoint speaks: a preset's way, OpenAI's own, or the common core behind another base URL."""
    preset = PRESETS.get(settings.kind)
    if preset is not None:
        return preset.dialect
    host = urlsplit(settings.base_url or "").hostname
    own = host is None or host == "api.openai.com" or host.endswith(".api.openai.com")
    return OPENAI if own else COMPATIBLE


class OpenAIProvider:
    """One endpoint that speaks Chat Completions or Responses."""

    def __init__(self, settings: ProviderSettings, dialect: Dialect | None = None) -> None:
        self.settings = settings
        self._dialect = dialect or dialect_of(settings)
        self.codec: Codec
        if settings.api == "responses":
            self.codec, self._path = ResponsesCodec(settings.name, self._dialect), "/responses"
        else:
            self.codec, self._path = ChatCodec(settings.name, self._dialect), "/chat/completions"

    def unusable(self) -> str | None:
        """Return why no request can be sent (a missing key), or None."""
        settings, preset = self.settings, PRESETS.get(self.settings.kind)
        if settings.api_key or (preset is not None and not preset.needs_key):
            return None
        return settings.no_key()

    def lacks(self, request: Request) -> str | None:
        """Return what `request` needs that this endpoint cannot carry, or None."""
        if self.settings.api == "responses":
            return openai_responses.missing(request)
        return openai_chat_encode.missing(request, self._dialect)

    def connect(self, world: World) -> Client:
        """Open the SDK client, retries off."""
        sdk = self._sdk(world)
        return SyncClient(sdk, self._url(sdk)) if world == "sync" else AsyncClient(sdk, self._url(sdk))

    def _url(self, sdk: Any) -> str:
        from llmrouter.providers.http import whole_url

        return whole_url(sdk, self._path)

    def _sdk(self, world: World) -> Any:
        import openai

        from llmrouter.providers.http import async_client, sync_client

        settings = self.settings
        preset = PRESETS.get(settings.kind)
        base_url = settings.base_url or (preset.base_url if preset is not None else "https://api.openai.com/v1")
        make, http = (openai.OpenAI, sync_client) if world == "sync" else (openai.AsyncOpenAI, async_client)
        key = settings.api_key.reveal() if settings.api_key else _NO_KEY
        sdk = make(api_key=key, base_url=base_url, http_client=http(settings), max_retries=0)  # type: ignore[arg-type]
        return configured(sdk, settings)

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an SDK exception to ours; None when it is not one we know."""
        import openai

        from llmrouter.providers.http import translate_transport

        if isinstance(error, openai.APIStatusError):
            response = error.response
            found = self.codec.error(response.status_code, response.headers, response.content)
            redact(self.settings.api_key, found, error)
            return found
        return translate_transport(error)


def configured(sdk: Any, settings: ProviderSettings) -> Any:
    """Give the SDK exactly our settings: what it took from the environment for OpenAI is no other server's business."""
    sdk.organization, sdk.project, sdk.admin_api_key = settings.organization, settings.project, None
    # The SDK adds OPENAI_CUSTOM_HEADERS and has no public way to refuse; a test of the headers fails if this moves.
    sdk._custom_headers = dict(settings.headers)
    return sdk


_PATHS: Final[Mapping[str, str]] = {"embed": "/embeddings"}


def _options(call: WireCall) -> dict[str, Any]:
    from llmrouter.providers.http import sdk_timeout

    return {"timeout": sdk_timeout(call.timeouts), "headers": dict(call.headers)}


class SyncClient:
    """Carries bodies through a blocking SDK client."""

    def __init__(self, sdk: Any, chat_path: str) -> None:
        import httpx2

        self._sdk, self._chat_path, self._raw = sdk, chat_path, httpx2.Response

    def send(self, call: WireCall) -> WireReply:
        """Send a request and return the whole answer."""
        from llmrouter.providers.http import reply_of

        path = _PATHS.get(call.operation, self._chat_path)
        response = self._sdk.post(path, cast_to=self._raw, body=call.body, options=_options(call))
        return reply_of(response)

    def open(self, call: WireCall) -> Any:
        """Send a request and return its open stream."""
        from llmrouter.providers.http import ByteStream

        path = _PATHS.get(call.operation, self._chat_path)
        return ByteStream(self._sdk.post(path, cast_to=self._raw, body=call.body, options=_options(call), stream=True))

    def close(self) -> None:
        """Close the connections."""
        self._sdk.close()


class AsyncClient:
    """Carries bodies through an asynchronous SDK client."""

    def __init__(self, sdk: Any, chat_path: str) -> None:
        import httpx2

        self._sdk, self._chat_path, self._raw = sdk, chat_path, httpx2.Response

    async def send(self, call: WireCall) -> WireReply:
        """Send a request and return the whole answer."""
        from llmrouter.providers.http import reply_of

        path = _PATHS.get(call.operation, self._chat_path)
        response = await self._sdk.post(path, cast_to=self._raw, body=call.body, options=_options(call))
        return reply_of(response)

    async def open(self, call: WireCall) -> Any:
        """Send a request and return its open stream."""
        from llmrouter.providers.http import AsyncByteStream

        path = _PATHS.get(call.operation, self._chat_path)
        opened = self._sdk.post(path, cast_to=self._raw, body=call.body, options=_options(call), stream=True)
        return AsyncByteStream(await opened)

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()
