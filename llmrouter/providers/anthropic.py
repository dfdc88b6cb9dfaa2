"""Anthropic: the Messages protocol through the official SDK, which also serves its models on other clouds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from llmrouter.dialects import anthropic_lacks
from llmrouter.errors import LLMRouterError
from llmrouter.providers.anthropic_encode import chooses_tool
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.anthropic_models import traits
from llmrouter.providers.base import Codec, ProviderSettings, WireCall, WireReply, World
from llmrouter.types import Request

if TYPE_CHECKING:
    from llmrouter.providers.http import AsyncByteStream, ByteStream

_PATH: Final = "/v1/messages"
# The version that takes temperature and top_p from the models that still know them; 2026-10-21 refuses them all.
_API_VERSION: Final = "2023-06-01"
_NO_SAMPLING_SINCE: Final = "2026-10-21"
_BINDING_BETA: Final = "thinking-binding-controls-2026-08-01"

MakeSdk = Callable[[ProviderSettings], Any]  # returns an SDK client whose own retries are off


def provider(settings: ProviderSettings) -> AnthropicProvider:
    """Return the provider for an entry of kind `anthropic`; `api_version` is the `anthropic-version` header."""
    version = settings.api_version or _API_VERSION
    return AnthropicProvider(settings, MessagesCodec(settings.name, sampling=version < _NO_SAMPLING_SINCE))


class AnthropicProvider:
    """One endpoint of the Messages protocol.

    `make_sync` and `make_async` return the SDK's clients, so that the same provider serves Anthropic's models on other
    clouds; a subclass says in `unusable` what those need.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        codec: Codec,
        *,
        make_sync: MakeSdk | None = None,
        make_async: MakeSdk | None = None,
    ) -> None:
        self.settings = settings
        self.codec: Codec = codec
        self._make_sync, self._make_async = make_sync or _anthropic, make_async or _async_anthropic

    def unusable(self) -> str | None:
        """Return why no request can be sent, or None."""
        if self.settings.api_key or self.settings.token:
            return None
        return self.settings.no_key()

    def lacks(self, request: Request) -> str | None:
        """Return what `request` needs that this protocol, or the model in it, cannot carry; None when nothing."""
        accepts = traits(request.model)
        if accepts.forced_tools:
            return None
        if chooses_tool(request):
            return "a forced tool choice (this model decides itself; use tool_choice auto)"
        lack = anthropic_lacks(request.schema.json) if request.schema else None
        return f"structured output with {lack}" if lack else None

    def connect(self, world: World) -> SyncClient | AsyncClient:
        """Open the SDK client."""
        if world == "sync":
            sdk = self._make_sync(self.settings)
            return SyncClient(sdk, self._url(sdk))
        sdk = self._make_async(self.settings)
        return AsyncClient(sdk, self._url(sdk))

    def _url(self, sdk: Any) -> str:
        if self._make_sync is not _anthropic:
            return _PATH  # other clouds' clients make their own address of it
        from llmrouter.providers.http import whole_url

        return whole_url(sdk, _PATH)

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an SDK exception to ours; None when it is not one we know."""
        import anthropic

        from llmrouter.providers.http import translate_transport

        if isinstance(error, anthropic.APIStatusError):
            return self.codec.error(error.status_code, error.response.headers, error.body)
        return translate_transport(error)


def sdk_options(settings: ProviderSettings) -> dict[str, Any]:
    """Return the options that all of the SDK's clients take: our retries instead of its own, our headers and URL."""
    return {"base_url": settings.base_url, "max_retries": 0, "default_headers": dict(settings.headers)}


def _own_options(settings: ProviderSettings) -> dict[str, Any]:
    options = sdk_options(settings)
    version = {"anthropic-version": settings.api_version or _API_VERSION}
    options["default_headers"] = {**version, **options["default_headers"]}
    if settings.api_key:
        options["api_key"] = settings.api_key.reveal()
    elif settings.token:
        options["auth_token"] = settings.token.reveal()
    return options


def _anthropic(settings: ProviderSettings) -> Any:
    import anthropic

    from llmrouter.providers.http import sync_client

    return anthropic.Anthropic(**_own_options(settings), http_client=sync_client(settings))


def _async_anthropic(settings: ProviderSettings) -> Any:
    import anthropic

    from llmrouter.providers.http import async_client

    return anthropic.AsyncAnthropic(**_own_options(settings), http_client=async_client(settings))


class SyncClient:
    """The blocking SDK client; bodies go and come as JSON."""

    def __init__(self, sdk: Any, url: str = _PATH) -> None:
        self._sdk, self._url = sdk, url

    def send(self, call: WireCall) -> WireReply:
        """Ask for a complete answer."""
        from llmrouter.providers.http import reply_of

        return reply_of(self._sdk.post(self._url, **_request(call)))

    def open(self, call: WireCall) -> ByteStream:
        """Ask for a stream."""
        from llmrouter.providers.http import ByteStream

        return ByteStream(self._sdk.post(self._url, **_request(call), stream=True))

    def close(self) -> None:
        """Close the connections."""
        self._sdk.close()


class AsyncClient:
    """The asynchronous SDK client; bodies go and come as JSON."""

    def __init__(self, sdk: Any, url: str = _PATH) -> None:
        self._sdk, self._url = sdk, url

    async def send(self, call: WireCall) -> WireReply:
        """Ask for a complete answer."""
        from llmrouter.providers.http import reply_of

        return reply_of(await self._sdk.post(self._url, **_request(call)))

    async def open(self, call: WireCall) -> AsyncByteStream:
        """Ask for a stream."""
        from llmrouter.providers.http import AsyncByteStream

        return AsyncByteStream(await self._sdk.post(self._url, **_request(call), stream=True))

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()


def _request(call: WireCall) -> dict[str, Any]:
    import httpx2

    from llmrouter.providers.http import sdk_timeout

    headers = {**_beta(call.body), **call.headers}
    options = {"timeout": sdk_timeout(call.timeouts), "headers": headers}
    return {"cast_to": httpx2.Response, "body": dict(call.body), "options": options}


def _beta(body: Mapping[str, Any]) -> dict[str, str]:
    thinking = body.get("thinking")
    bound = isinstance(thinking, Mapping) and "block_binding" in thinking
    return {"anthropic-beta": _BINDING_BETA} if bound else {}
