"""Azure OpenAI through the official SDK: a deployment's name in the model's place, a key or an Entra ID token."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from typing import Any, Final

from llmrouter.errors import AuthenticationError, LLMRouterError
from llmrouter.providers.base import ProviderSettings, World
from llmrouter.providers.failures import excerpt
from llmrouter.providers.openai import OpenAIProvider, configured
from llmrouter.providers.openai_dialect import OPENAI, Dialect

_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
# API versions are dates. Those before this one know neither `max_completion_tokens` nor `stream_options`.
_NEW_PARAMETERS: Final = "2024-09-01"
_OLD: Final = replace(OPENAI, max_tokens="max_tokens", stream_options=False, prompt_cache_key=False)


def provider(settings: ProviderSettings) -> AzureProvider:
    """Return the provider for one entry of kind `azure`."""
    return AzureProvider(settings, _dialect(settings))


def _dialect(settings: ProviderSettings) -> Dialect:
    dated = settings.api_version is not None and settings.api_version[:4].isdigit() and not _is_v1(settings)
    return _OLD if dated and (settings.api_version or "") < _NEW_PARAMETERS else OPENAI


def _is_v1(settings: ProviderSettings) -> bool:
    """Return whether the endpoint is Azure's version 1 API, which is OpenAI's own: no versions, no deployment paths."""
    return (settings.base_url or "").rstrip("/").endswith("/openai/v1")


class AzureProvider(OpenAIProvider):
    """One Azure OpenAI resource."""

    def unusable(self) -> str | None:
        """Return why no request can be sent (no endpoint, API version or credentials), or None."""
        settings = self.settings
        if not settings.base_url:
            return "no endpoint: set AZURE_OPENAI_ENDPOINT (environment or .env) or base_url on the provider"
        if not settings.api_version and not _is_v1(settings):
            return "no API version: set OPENAI_API_VERSION (environment or .env) or api_version on the provider"
        if settings.api_key or settings.token or _has_identity():
            return None
        return (
            "no key: set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN (environment or .env) or api_key on the "
            "provider, or install llmrouter[azure] to sign in with Entra ID"
        )

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an SDK exception, or a failed sign-in with Entra ID, to ours; None when it is not one we know."""
        if type(error).__module__.startswith("azure.") and _has_identity():
            refused = importlib.import_module("azure.core.exceptions").ClientAuthenticationError
            if isinstance(error, refused):
                return AuthenticationError(f"signing in with Entra ID failed: {excerpt(str(error))}")
        return super().translate(error)

    def _sdk(self, world: World) -> Any:
        import openai

        from llmrouter.providers.http import async_client, sync_client

        settings, blocking = self.settings, world == "sync"
        common: dict[str, Any] = {
            "http_client": sync_client(settings) if blocking else async_client(settings),
            "max_retries": 0,
        }
        if _is_v1(settings):
            make_v1: Any = openai.OpenAI if blocking else openai.AsyncOpenAI
            secret = settings.api_key or settings.token
            key = secret.reveal() if secret else _token_provider(world)
            return configured(make_v1(api_key=key, base_url=settings.base_url, **common), settings)
        make: Any = openai.AzureOpenAI if blocking else openai.AsyncAzureOpenAI
        sdk = make(azure_endpoint=settings.base_url, api_version=settings.api_version, **_sign_in(settings), **common)
        return configured(sdk, settings)

    def _url(self, sdk: Any) -> str:  # noqa: ARG002 - the base class's signature
        return self._path  # the SDK puts the deployment's name before a relative one


def _sign_in(settings: ProviderSettings) -> dict[str, Any]:
    if settings.api_key:
        return {"api_key": settings.api_key.reveal()}
    if settings.token:
        return {"azure_ad_token": settings.token.reveal()}
    return {"azure_ad_token_provider": _token_provider("sync")}


def _has_identity() -> bool:
    try:
        return importlib.util.find_spec("azure.identity") is not None
    except ModuleNotFoundError:
        return False


def _token_provider(world: World) -> Any:
    """Return a function that gives a fresh token; azure-identity keeps it until shortly before it expires.

    The blocking credential serves both worlds: its asynchronous twin would need a second HTTP library.
    """
    identity = importlib.import_module("azure.identity")
    token = identity.get_bearer_token_provider(identity.DefaultAzureCredential(), _SCOPE)
    if world == "sync":
        return token

    async def awaited() -> str:
        return str(token())

    return awaited
