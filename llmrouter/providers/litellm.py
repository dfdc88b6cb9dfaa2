"""LiteLLM as a provider (`kind: litellm`): its reach, with our retries, cache, deadlines and prices.

LiteLLM takes and gives Chat Completions, so the codec is the same. The model is LiteLLM's own name for it
(`cohere/command-r`); keys come from LiteLLM's own environment variables unless the entry sets one.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from llmrouter.errors import APIConnectionError, LLMRouterError, RequestTimeoutError
from llmrouter.providers.base import Client, Codec, ProviderSettings, WireCall, WireReply, World
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_dialect import Dialect
from llmrouter.types import EMPTY, Request

_DIALECT: Final = Dialect(
    document_urls="file_data", cache_marks=True, echoes=("reasoning_content", "thinking_blocks"), embed_batch=96
)
# Its exceptions say by their class what a provider's error code would.
_CODES: Final[Mapping[str, str]] = {
    "ContextWindowExceededError": "context_length_exceeded",
    "ContentPolicyViolationError": "content_policy_violation",
}


def provider(settings: ProviderSettings) -> LiteLLMProvider:
    """Return the provider for one entry of kind `litellm`."""
    return LiteLLMProvider(settings)


class LiteLLMProvider:
    """Whatever LiteLLM reaches."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self.codec: Codec = ChatCodec(settings.name, _DIALECT)

    def unusable(self) -> str | None:
        """Return that the extra is missing, or None; a missing key only LiteLLM can tell."""
        if importlib.util.find_spec("litellm") is None:
            return "LiteLLM is not installed: pip install 'llmrouter[litellm]'"
        return None

    def lacks(self, request: Request) -> str | None:
        """Return None: what a model behind LiteLLM cannot do, LiteLLM says itself."""
        del request
        return None

    def connect(self, world: World) -> Client:
        """Import LiteLLM, which opens its connections itself."""
        # Its table of prices would be fetched at import; ours are used anyway.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        litellm: Any = importlib.import_module("litellm")
        litellm.telemetry, litellm.suppress_debug_info = False, True
        options = _options(self.settings)
        return SyncClient(litellm, options) if world == "sync" else AsyncClient(litellm, options)

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map LiteLLM's exceptions, which derive from the OpenAI SDK's, to ours; None for any other."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            late = RequestTimeoutError("no answer in time")
            late.limit = "attempt"
            return late
        if isinstance(error, openai.APIConnectionError):
            return APIConnectionError(error.message)
        if not isinstance(error, openai.APIError):
            return None
        code = _CODES.get(type(error).__name__) or error.code
        headers = getattr(getattr(error, "response", None), "headers", None) or EMPTY
        detail = {"message": error.message, "code": code, "type": error.type}
        return self.codec.error(_status(error), headers, {"error": detail})


def _status(error: Exception) -> int:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and status >= 400 else 500


def _options(settings: ProviderSettings) -> dict[str, Any]:
    """Return what every call gets: LiteLLM's retries and cache off, and what the entry sets."""
    given = {
        "api_key": settings.api_key.reveal() if settings.api_key else None,
        "api_base": settings.base_url,
        "api_version": settings.api_version,
        "organization": settings.organization,
        "extra_headers": dict(settings.headers) or None,
    }
    off = {"num_retries": 0, "max_retries": 0, "cache": {"no-cache": True, "no-store": True}}
    return {**off, **{name: value for name, value in given.items() if value is not None}}


def _arguments(call: WireCall, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**call.body, **options, "timeout": call.timeouts.read}


def _event(chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk.model_dump(mode="json", exclude_none=True)).encode() + b"\n\n"


class SyncClient:
    """Carries bodies through LiteLLM's blocking functions."""

    def __init__(self, litellm: Any, options: Mapping[str, Any]) -> None:
        self._litellm, self._options = litellm, options

    def send(self, call: WireCall) -> WireReply:
        """Send a request and return the whole answer."""
        ask = self._litellm.embedding if call.operation == "embed" else self._litellm.completion
        return WireReply(ask(**_arguments(call, self._options)).model_dump(mode="json"))

    def open(self, call: WireCall) -> Chunks:
        """Send a request and return its open stream."""
        return Chunks(self._litellm.completion(**_arguments(call, self._options)))

    def close(self) -> None:
        """Do nothing: LiteLLM keeps its connections for the process."""


class AsyncClient:
    """Carries bodies through LiteLLM's asynchronous functions."""

    def __init__(self, litellm: Any, options: Mapping[str, Any]) -> None:
        self._litellm, self._options = litellm, options

    async def send(self, call: WireCall) -> WireReply:
        """Send a request and return the whole answer."""
        ask = self._litellm.aembedding if call.operation == "embed" else self._litellm.acompletion
        return WireReply((await ask(**_arguments(call, self._options))).model_dump(mode="json"))

    async def open(self, call: WireCall) -> AsyncChunks:
        """Send a request and return its open stream."""
        return AsyncChunks(await self._litellm.acompletion(**_arguments(call, self._options)))

    async def close(self) -> None:
        """Do nothing: LiteLLM keeps its connections for the process."""


class Chunks:
    """LiteLLM's chunks as the events they came from."""

    headers: Mapping[str, str] = EMPTY

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        return _event(next(self._chunks))

    def close(self) -> None:
        """Drop the connection; may be called twice."""
        close = getattr(getattr(self._chunks, "completion_stream", None), "close", None)
        if close is not None:
            close()


class AsyncChunks:
    """The asynchronous twin of Chunks; `close()` is awaited."""

    headers: Mapping[str, str] = EMPTY

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncChunks:
        return self

    async def __anext__(self) -> bytes:
        return _event(await anext(self._chunks))

    async def close(self) -> None:
        """Drop the connection; may be called twice."""
        stream = getattr(self._chunks, "completion_stream", None)
        close = getattr(stream, "close", None) or getattr(stream, "aclose", None)
        if close is not None:
            await close()
