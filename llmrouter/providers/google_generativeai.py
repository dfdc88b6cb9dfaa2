"""`kind: google-generativeai`: the SDK that Google has ended, for shops still on it. Prefer `kind: google`.

Text, images, tools and streaming over REST, through the service client that the package brings: its own
`GenerativeModel` reads one key and one address from a setting of the whole process, and two providers may differ.
What its protocol (fixed in 2025) cannot say is a clear error, or makes the rung be skipped. The package has no
asynchronous REST: under an AsyncRouter its calls run on worker threads.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from llmrouter.dialects import for_google_openapi
from llmrouter.errors import (
    APIConnectionError,
    BadRequestError,
    LLMRouterError,
    MalformedResponseError,
    ProviderError,
    RequestTimeoutError,
    UnsupportedError,
)
from llmrouter.providers.base import Client, Codec, ProviderSettings, WireCall, WireReply, World
from llmrouter.providers.google import GoogleProvider
from llmrouter.providers.google_genai import GoogleCodec
from llmrouter.providers.google_reply import GoogleDecoder
from llmrouter.types import EMPTY, Delta, Request, Tool, Usage

_SCHEMA_KEYS: Final = frozenset(
    {"type", "format", "description", "nullable", "enum", "items", "maxItems", "minItems", "properties", "required"}
)
_WIRE_PACKAGE: Final = "google.ai.generativelanguage_v1beta"  # what google-generativeai speaks through
_JSON_FORMAT: Final = "google.protobuf.json_format"
_INSTALL: Final = "pip install 'llmrouter[google-generativeai]'"


class LegacyCodec(GoogleCodec):
    """Gemini's protocol as it was when the SDK ended: OpenAPI schemas, no thinking, no signatures, no seed."""

    embed_batch = 0
    signed_since = math.inf

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the body of a complete answer. Raises UnsupportedError for a schema it cannot express."""
        body = super().encode(request)
        if request.tools and "tools" not in request.params.extra:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        config = dict(body.get("generationConfig", EMPTY))
        config.pop("thinkingConfig", None)  # only "none" comes this far
        if request.schema is not None and config.pop("responseJsonSchema", None) is not None:
            config["responseSchema"] = _old_schema(for_google_openapi(request.schema.json), "the answer's schema")
        if config:
            body["generationConfig"] = config
        else:
            body.pop("generationConfig", None)
        return body

    def decoder(self, headers: Mapping[str, str]) -> GoogleDecoder:  # noqa: ARG002 - the seam's signature
        """Return a decoder of decoded chunks."""
        return _ChunkDecoder(self._origin)

    def encode_embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:  # noqa: ARG002
        """Raise UnsupportedError: this kind has no embeddings."""
        raise UnsupportedError(f"{self._origin}/{model}: kind google-generativeai has no embeddings; use kind google")

    def decode_embed(self, reply: WireReply) -> tuple[list[list[float]], Usage]:  # noqa: ARG002 - the seam's signature
        """Raise UnsupportedError, as `encode_embed` does."""
        raise UnsupportedError(f"{self._origin}: kind google-generativeai has no embeddings; use kind google")


class _ChunkDecoder(GoogleDecoder):
    """Takes chunks that the SDK has cut and decoded already."""

    def feed(self, chunk: Any) -> Sequence[Delta]:
        return self._take([chunk])


def _declaration(tool: Tool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name, "description": tool.description}
    parameters = _old_schema(for_google_openapi(tool.parameters), f"tool {tool.name!r}")
    if parameters.get("properties"):  # an object without any is refused
        declared["parameters"] = parameters
    return declared


def _old_schema(schema: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return an OpenAPI schema in the SDK's own words. Raises UnsupportedError for a choice of types."""
    kind = schema.get("type")
    if not isinstance(kind, str):
        raise UnsupportedError(f"kind google-generativeai cannot express anyOf ({where}); use kind google")
    kept = {key: value for key, value in schema.items() if key in _SCHEMA_KEYS}
    kept["type"] = kind.upper()
    if isinstance(schema.get("properties"), Mapping):
        kept["properties"] = {name: _old_schema(inner, where) for name, inner in schema["properties"].items()}
    if isinstance(schema.get("items"), Mapping):
        kept["items"] = _old_schema(schema["items"], where)
    return kept


class LegacyProvider(GoogleProvider):
    """The Gemini API through google-generativeai."""

    def __init__(self, settings: ProviderSettings) -> None:
        codec: Codec = LegacyCodec(settings.name)
        super().__init__(settings, codec)

    def unusable(self) -> str | None:
        """Return why no request can be sent: the package or the key is missing."""
        if _missing():
            return f"provider {self.settings.name!r} needs an extra: {_INSTALL}; or use kind: google, its successor"
        if self.settings.proxy or self.settings.ca_bundle:
            return f"provider {self.settings.name!r}: google-generativeai takes no proxy or ca_bundle; use kind: google"
        return super().unusable()

    def lacks(self, request: Request) -> str | None:
        """Return what the old protocol cannot carry."""
        if request.params.reasoning not in (None, "none"):
            return "reasoning (google-generativeai ended before it; use kind: google)"
        if request.params.seed is not None:
            return "seed (google-generativeai ended before it; use kind: google)"
        return super().lacks(request)

    def connect(self, world: World) -> Client:
        """Open the service client."""
        if _missing():
            raise UnsupportedError(f"kind google-generativeai needs an extra: {_INSTALL}")
        service = _service(self.settings)
        return LegacyClient(service) if world == "sync" else AsyncLegacyClient(service)

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an exception of google-api-core or requests to ours."""
        if isinstance(error, LLMRouterError):
            return error
        core, requests = sys.modules.get("google.api_core.exceptions"), sys.modules.get("requests")
        if core is not None and isinstance(error, core.GoogleAPICallError):
            return self._reported(error)
        if requests is not None and isinstance(error, requests.RequestException):
            return _transport_failure(error, requests)
        json_format = sys.modules.get(_JSON_FORMAT)
        if isinstance(error, ValueError) or (json_format is not None and isinstance(error, json_format.Error)):
            return MalformedResponseError(f"google-generativeai cannot read the answer: {error}")
        return super().translate(error)

    def _reported(self, error: Any) -> ProviderError:
        response = getattr(error, "response", None)
        if response is None:
            return self.codec.error(int(error.code or 500), {}, {"error": {"message": error.message}})
        return self.codec.error(response.status_code, response.headers, response.content)


def _missing() -> bool:
    try:
        return find_spec("google.generativeai") is None
    except ModuleNotFoundError:
        return True


def _transport_failure(error: Exception, requests: Any) -> ProviderError:
    if isinstance(error, requests.Timeout):
        late = RequestTimeoutError("no answer in time")
        late.limit = "connect" if isinstance(error, requests.ConnectTimeout) else "attempt"
        return late
    if isinstance(error, requests.JSONDecodeError):
        return MalformedResponseError(f"the answer is not JSON: {error}")
    return APIConnectionError(str(error) or type(error).__name__)


def _service(settings: ProviderSettings) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its farewell, and what its dependencies say of this Python
        service: Any = import_module(_WIRE_PACKAGE).GenerativeServiceClient
        client_options = import_module("google.api_core.client_options").ClientOptions
    options = client_options(api_key=settings.api_key.reveal() if settings.api_key else None)
    transport: Any = service.get_transport_class("rest")
    if settings.base_url:
        address = urlsplit(settings.base_url)
        options.api_endpoint = address.netloc
        transport = functools.partial(transport, url_scheme=address.scheme)
    return service(transport=transport, client_options=options)


class LegacyClient:
    """Sends through the blocking service client; `blocking` puts it on a worker thread where a loop runs."""

    blocking = True

    def __init__(self, service: Any) -> None:
        self._service = service
        self._message = import_module(_WIRE_PACKAGE).GenerateContentRequest
        self._parse_error = import_module(_JSON_FORMAT).ParseError

    def send(self, call: WireCall) -> WireReply:
        """Ask for a complete answer."""
        answer = self._service.generate_content(self._request(call), **_options(call))
        return WireReply(_as_json(answer))

    def open(self, call: WireCall) -> LegacyStream:
        """Ask for a stream."""
        return LegacyStream(self._service.stream_generate_content(self._request(call), **_options(call)))

    def _request(self, call: WireCall) -> Any:
        model = call.model if "/" in call.model else f"models/{call.model}"
        text = json.dumps({**call.body, "model": model}, default=dict)
        try:
            return self._message.from_json(text)
        except self._parse_error as error:
            raise BadRequestError(
                f"google-generativeai does not know what is asked: {error}; use kind: google"
            ) from error

    def close(self) -> Any:
        """Close the connections."""
        self._service.transport.close()


class AsyncLegacyClient(LegacyClient):
    """The same in the async world, where closing is awaited."""

    async def close(self) -> None:
        """Close the connections."""
        super().close()


def _options(call: WireCall) -> dict[str, Any]:
    return {"retry": None, "timeout": call.timeouts.read, "metadata": tuple(call.headers.items())}


def _as_json(answer: Any) -> Any:
    body = import_module(_JSON_FORMAT).MessageToDict(type(answer).pb(answer))
    for candidate in body.get("candidates", ()):
        for part in candidate.get("content", EMPTY).get("parts", ()):
            call = part.get("functionCall")
            if call is not None and "args" in call:
                call["args"] = _whole(call["args"])
    return body


def _whole(value: Any) -> Any:
    """Turn 3.0 back into 3: protobuf's Struct knows no integers, and functions do."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value


class LegacyStream:
    """The chunks of one stream as decoded JSON."""

    blocking = True

    def __init__(self, chunks: Any) -> None:
        self.headers: Mapping[str, str] = {}
        self._chunks = chunks
        self._iterator: Iterator[Any] = iter(chunks)

    def __iter__(self) -> LegacyStream:
        return self

    def __next__(self) -> Any:
        return _as_json(next(self._iterator))

    def close(self) -> None:
        """Drop the connection; may be called twice."""
        cancel = getattr(self._chunks, "cancel", None)
        if cancel is not None:
            cancel()


def provider(settings: ProviderSettings) -> LegacyProvider:
    """Return the provider for one entry of `providers:`."""
    return LegacyProvider(settings)
