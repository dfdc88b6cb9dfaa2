"""`kind: google`: the Gemini API through google-genai."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from llmrouter.errors import APIConnectionError, AuthenticationError, LLMRouterError
from llmrouter.providers.base import Client, Codec, Provider, ProviderSettings, World
from llmrouter.providers.google_genai import GoogleCodec, generation
from llmrouter.providers.http import async_client, sync_client, translate_transport
from llmrouter.types import Request

if TYPE_CHECKING:
    from google import genai

_API_VERSION: Final = "v1beta"


class GoogleProvider:
    """The Gemini API with an API key."""

    def __init__(self, settings: ProviderSettings, codec: Codec | None = None) -> None:
        self.settings = settings
        self.codec: Codec = codec or GoogleCodec(settings.name)

    def unusable(self) -> str | None:
        """Return why no request can be sent: there is no key."""
        if self.settings.api_key:
            return None
        return self.settings.no_key()

    def lacks(self, request: Request) -> str | None:
        """Return what the model's generation cannot do: before Gemini 3, tools and a schema exclude each other."""
        if request.tools and request.schema is not None and 0 < generation(request.model) < 3:
            return "tools together with a schema"
        return None

    def connect(self, world: World) -> Client:
        """Open the SDK client."""
        return open_client(self.settings, world, self._identity())

    def _identity(self) -> dict[str, Any]:
        key = self.settings.api_key
        return {"vertexai": False, "api_key": key.reveal() if key else None}

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an exception of google-genai, google-auth or httpx to ours."""
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.genai.errors import APIError

        if isinstance(error, APIError):
            headers = getattr(error.response, "headers", {})
            return self.codec.error(error.code, headers, error.details)
        if isinstance(error, TransportError):
            late = translate_transport(error)  # what our own transport met, where it was ours
            return late or APIConnectionError(f"cannot reach Google's token server: {error}")
        if isinstance(error, GoogleAuthError):
            return AuthenticationError(f"Google credentials: {error}")
        return translate_transport(error)


def open_client(settings: ProviderSettings, world: World, identity: dict[str, Any]) -> Client:
    """Open a genai client for one world, its retries off, over our own httpx clients."""
    from llmrouter.providers.google_carrier import AsyncCarrier, AsyncGoogleClient, Carrier, GoogleClient

    # The SDK wants both; the one of the other world never opens a connection.
    blocking, asynchronous = sync_client(settings, Carrier), async_client(settings, AsyncCarrier)
    sdk = _sdk(settings, identity, blocking, asynchronous)
    return GoogleClient(sdk, blocking) if world == "sync" else AsyncGoogleClient(sdk, asynchronous)


def _sdk(settings: ProviderSettings, identity: dict[str, Any], blocking: Any, asynchronous: Any) -> genai.Client:
    from google import genai
    from google.genai.types import HttpOptions, HttpRetryOptions

    base_url, version = _address(settings)
    options = HttpOptions(
        base_url=base_url,
        api_version=version,
        headers=dict(settings.headers) or None,
        retry_options=HttpRetryOptions(attempts=1),
        httpx_client=blocking,
        httpx_async_client=asynchronous,
    )
    with _quiet():
        return genai.Client(http_options=options, **identity)


def _address(settings: ProviderSettings) -> tuple[str | None, str | None]:
    """Return base URL and API version; a version at the end of the URL is taken for what it is."""
    default = _API_VERSION if settings.kind == "google" else None
    url = settings.base_url
    if url is None:
        return None, settings.api_version or default
    head, _, last = url.rstrip("/").rpartition("/")
    if last[:1] == "v" and last[1:2].isdigit():
        return head, settings.api_version or last
    return url, settings.api_version or default


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the SDK's warning that both key variables are set: which one counts is ours to decide, and decided."""
    logger = logging.getLogger("google_genai._api_client")

    def unrelated(record: logging.LogRecord) -> bool:
        return "GOOGLE_API_KEY" not in str(record.msg)

    logger.addFilter(unrelated)
    try:
        yield
    finally:
        logger.removeFilter(unrelated)


def provider(settings: ProviderSettings) -> Provider:
    """Return the provider for one entry of `providers:`."""
    return GoogleProvider(settings)
