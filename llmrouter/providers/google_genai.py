"""The Gemini protocol, v1beta: `generateContent`, `streamGenerateContent` and `batchEmbedContents` as wire JSON."""

from __future__ import annotations

import base64
import functools
import json
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from llmrouter.dialects import for_google
from llmrouter.errors import MalformedResponseError, ProviderError
from llmrouter.history import without_prefill
from llmrouter.providers.base import WireReply
from llmrouter.providers.google_failures import google_error
from llmrouter.providers.google_reply import GoogleDecoder, Turn
from llmrouter.providers.google_usage import usage_of
from llmrouter.types import (
    Completion,
    Document,
    Image,
    Message,
    Params,
    Request,
    Text,
    Tool,
    ToolCall,
    Usage,
    media_type_of,
)

_NEWEST: Final = 99.0  # what aliases such as gemini-flash-latest stand for
_LEVELS_SINCE: Final = 3.0  # the generation that takes thinkingLevel, signs its calls, and mixes tools and schemas
_BUDGETS: Final = {"low": 1024, "medium": 8192, "high": 24576}  # thinkingBudget of the generations before
_BUDGET_RANGES: Final = (  # what gemini-2.5 takes, by a word in the name; pro models cannot stop thinking
    ("-pro", 128, 32768),
    ("-flash-lite", 512, 24576),
    ("", 1, 24576),
)
# Gemini 3 refuses a functionCall without its signature; this is Google's documented stand-in for calls that another
# model made (ai.google.dev/gemini-api/docs/thought-signatures).
_UNSIGNED: Final = "skip_thought_signature_validator"
_TOOL_CHOICES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


@functools.lru_cache(maxsize=256)
def generation(model: str) -> float:
    """Return the model's generation (`2.5`), that of the newest for an alias, 0 for what is no Gemini."""
    name = model.rpartition("/")[2]
    if not name.startswith("gemini-"):
        return 0.0
    try:
        return float(name.split("-")[1])
    except ValueError:
        return _NEWEST


class GoogleCodec:
    """Translates between our types and Gemini's wire JSON; `origin` is the provider's name in the file."""

    embed_batch = 100
    signed_since: float = _LEVELS_SINCE  # the generation whose calls carry signatures

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the body of a complete answer."""
        system, contents = _conversation(request, self._origin, signed=generation(request.model) >= self.signed_since)
        body: dict[str, Any] = {"contents": contents}
        if system:
            body["systemInstruction"] = {"parts": system}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
            if request.tool_choice is not None:
                body["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
        config = _generation_config(request)
        if config:
            body["generationConfig"] = config
        if request.prompt_cache not in ("auto", "off"):
            body["cachedContent"] = request.prompt_cache
        return _merged(body, request.params.extra) if request.params.extra else body

    def streaming(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body as it is: another method of the API streams it, usage included."""
        return dict(body)

    def decode(self, reply: WireReply) -> Completion:
        """Read a complete answer."""
        turn = Turn(self._origin)
        turn.add(reply.body)
        return turn.completion()

    def usage(self, reply: WireReply) -> Usage | None:
        """Return the usage that an answer reports, whatever else is wrong with it; None when it reports none."""
        return usage_of(reply.body)

    def decoder(self, headers: Mapping[str, str]) -> GoogleDecoder:  # noqa: ARG002 - the bytes tell SSE from an array
        """Return a decoder for one stream."""
        return GoogleDecoder(self._origin)

    def error(self, status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:
        """Classify a failed response."""
        return google_error(status, headers, body)

    def encode_embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
        """Return the body of `batchEmbedContents`."""
        name = model if "/" in model else f"models/{model}"
        size = {} if dimensions is None else {"outputDimensionality": dimensions}
        return {"requests": [{"model": name, "content": {"parts": [{"text": text}]}, **size} for text in texts]}

    def decode_embed(self, reply: WireReply) -> tuple[list[list[float]], Usage]:
        """Read one batch of vectors. Usage is estimated (and zero) where Google reports none, as it mostly does."""
        body = reply.body
        if isinstance(body, dict) and "error" in body:
            raise google_error(None, {}, body)
        found = body.get("embeddings") if isinstance(body, dict) else None
        return read_vectors(found, body), embed_usage(body)


def read_vectors(found: Any, body: Any) -> list[list[float]]:
    """Return the `values` of a list of embeddings. Raises MalformedResponseError when one has none."""
    if not isinstance(found, list) or not found:
        raise MalformedResponseError("the answer has no embeddings", body=body)
    vectors: list[list[float]] = []
    for index, embedding in enumerate(found):
        values = embedding.get("values") if isinstance(embedding, dict) else None
        if not isinstance(values, list) or not all(type(value) in (float, int) for value in values):
            raise MalformedResponseError(f"embedding {index} has no list of numbers", body=body)
        vectors.append(values)
    return vectors


def embed_usage(body: Mapping[str, Any]) -> Usage:
    """Return the prompt tokens that an embedding answer reports; estimated, with zeros, when it reports none."""
    counts = body.get("usageMetadata")
    tokens = counts.get("promptTokenCount") if isinstance(counts, dict) else None
    if type(tokens) is int and tokens > 0:
        return Usage(uncached_tokens=tokens)
    return Usage(estimated=True)


# ------------------------------------------------------------------------------------------------ conversation


def _conversation(request: Request, origin: str, *, signed: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the parts of the system instruction, and the contents.

    Gemini has one system instruction and no system role: system messages are hoisted from wherever they stand. A
    conversation of system messages alone is sent as the user's, because contents may not be empty.
    """
    system: list[dict[str, Any]] = []
    history = _History(origin, signed=signed)
    for message in without_prefill(request.messages):  # Vertex refuses to continue a turn, the Gemini API may not
        if message.role == "system":
            system.extend({"text": part.text} for part in message.parts if isinstance(part, Text) and part.text)
        else:
            history.add(message)
    if not history.contents and system:
        return [], [{"role": "user", "parts": system}]
    return system, history.contents


class _History:
    """Writes messages as contents, and remembers the calls that later results answer."""

    def __init__(self, origin: str, *, signed: bool) -> None:
        self.contents: list[dict[str, Any]] = []
        self._origin = origin
        self._signed = signed
        self._calls: dict[str, tuple[str, str | None]] = {}  # our id -> the function's name, the id on the wire
        self._results: list[dict[str, Any]] | None = None  # the open turn of function responses

    def add(self, message: Message) -> None:
        if message.role == "tool":
            self._result(message)
            return
        self._results = None
        if message.role == "user":
            parts = [_part(part) for part in message.parts]
            self.contents.append({"role": "user", "parts": parts or [{"text": ""}]})
        else:
            self._answer(message)

    def _answer(self, message: Message) -> None:
        verbatim = message.private_for(self._origin)
        if isinstance(verbatim, dict):
            wire = [part["functionCall"] for part in verbatim.get("parts", ()) if "functionCall" in part]
            for call, sent in zip(message.tool_calls, wire, strict=False):
                self._calls[call.id] = call.name, sent.get("id")
            self.contents.append(verbatim)
            return
        parts = [_part(part) for part in message.parts]
        for index, call in enumerate(message.tool_calls):
            self._calls[call.id] = call.name, call.id
            part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": _arguments(call)}}
            if self._signed and index == 0:  # of parallel calls only the first is signed
                part["thoughtSignature"] = _UNSIGNED
            parts.append(part)
        if parts:
            self.contents.append({"role": "model", "parts": parts})

    def _result(self, message: Message) -> None:
        given = message.tool_call_id or ""
        name, wire_id = self._calls.get(given, (message.name or given, given or None))
        response: dict[str, Any] = {"name": name, "response": _response(message)}
        if wire_id is not None:
            response["id"] = wire_id
        media = [_part(part) for part in message.parts if not isinstance(part, Text)]
        if media and self._signed:
            response["parts"] = media  # multimodal function responses came with Gemini 3
            media = []
        # The results of parallel calls belong into one turn, as many as there were calls.
        if self._results is None:
            self._results = []
            self.contents.append({"role": "user", "parts": self._results})
        self._results += [{"functionResponse": response}, *media]


def _arguments(call: ToolCall) -> Any:
    """Return the arguments as an object; what the model once wrote wrongly is shown to it as the text it was."""
    try:
        decoded = json.loads(call.arguments_json or "{}")
    except ValueError:
        decoded = None
    return decoded if isinstance(decoded, dict) else {"arguments": call.arguments_json}


def _response(message: Message) -> dict[str, Any]:
    text = message.text
    if message.is_error:
        return {"error": text}
    if text.startswith("{"):
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            return {"result": text}
        if isinstance(decoded, dict):
            return decoded
    return {"result": text}


def _part(part: Text | Image | Document) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    default = "image/jpeg" if isinstance(part, Image) else "application/pdf"
    if part.data is not None:
        return {"inlineData": {"mimeType": part.media_type or _sniffed(part.data) or default, "data": part.data}}
    url = part.url or ""
    guessed = part.media_type or mimetypes.guess_type(urlsplit(url).path)[0] or default
    return {"fileData": {"mimeType": guessed, "fileUri": url}}


def _sniffed(data: str) -> str | None:
    try:
        return media_type_of(base64.b64decode(data[:64]))
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------ settings


def _declaration(tool: Tool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name, "parametersJsonSchema": for_google(tool.parameters)}
    if tool.description:
        declared["description"] = tool.description
    return declared


def _calling(choice: str) -> dict[str, Any]:
    mode = _TOOL_CHOICES.get(choice)
    return {"mode": mode} if mode is not None else {"mode": "ANY", "allowedFunctionNames": [choice]}


def _generation_config(request: Request) -> dict[str, Any]:
    params = request.params
    config: dict[str, Any] = {}
    if params.temperature is not None:
        config["temperature"] = params.temperature
    if params.top_p is not None:
        config["topP"] = params.top_p
    if params.max_tokens is not None:
        config["maxOutputTokens"] = params.max_tokens
    if params.stop:
        config["stopSequences"] = list(params.stop)
    if params.seed is not None:
        config["seed"] = params.seed
    if request.schema is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = for_google(request.schema.json)
    thinking = _thinking(request.model, params)
    if thinking is not None:
        config["thinkingConfig"] = thinking
    return config


def _thinking(model: str, params: Params) -> dict[str, Any] | None:
    asked = params.reasoning
    if asked is None:
        return None
    version, pro = generation(model), "-pro" in model
    least, most = next((least, most) for word, least, most in _BUDGET_RANGES if word in model)
    if asked == "none":
        if version >= _LEVELS_SINCE:
            return {"thinkingLevel": "low" if pro else "minimal"}  # recorded: pro models refuse "minimal"
        if version < 2.5:
            return None  # did not think yet, and refuses the setting
        return {"thinkingBudget": least if pro else 0}
    if isinstance(asked, int):
        budget = asked if version >= _LEVELS_SINCE or not asked else min(max(asked, least), most)
        return {"thinkingBudget": budget, "includeThoughts": budget != 0}
    if 0 < version < _LEVELS_SINCE:
        return {"thinkingBudget": _BUDGETS.get(asked, _BUDGETS["high"]), "includeThoughts": True}
    return {"thinkingLevel": asked, "includeThoughts": True}


def _merged(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Let the user's own fields win; those of generationConfig join ours key by key."""
    merged = {**body, **extra}
    ours, theirs = body.get("generationConfig"), extra.get("generationConfig")
    if isinstance(ours, dict) and isinstance(theirs, Mapping):
        merged["generationConfig"] = {**ours, **theirs}
    return merged
