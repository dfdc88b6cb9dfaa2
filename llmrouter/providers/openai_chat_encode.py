"""The body of a Chat Completions request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from llmrouter.errors import InvalidRequestError
from llmrouter.history import safe_tool_ids
from llmrouter.providers.openai_chat_answer import wire_call
from llmrouter.providers.openai_dialect import Dialect, max_tokens_key, reasoning_fields
from llmrouter.types import Document, Image, Message, Part, Request, Schema, Text, Tool

_CACHE_KEY_LENGTH: Final = 64  # OpenAI refuses a longer prompt_cache_key


def encode_chat(request: Request, name: str, dialect: Dialect) -> dict[str, Any]:
    """Return the wire body of a complete answer; `params.extra` is merged last, as it is."""
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request, name, dialect)}
    _add_params(body, request, dialect)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.schema is not None:
        body["response_format"] = _response_format(request.schema, dialect)
    cache_key = prompt_cache_key(request) if dialect.prompt_cache_key else None
    if cache_key is not None:
        body["prompt_cache_key"] = cache_key
    body.update(request.params.extra)
    return body


def _add_params(body: dict[str, Any], request: Request, dialect: Dialect) -> None:
    params = request.params
    if params.temperature is not None:
        body["temperature"] = params.temperature
    if params.top_p is not None:
        body["top_p"] = params.top_p
    if params.max_tokens is not None:
        body[max_tokens_key(dialect, request.model)] = params.max_tokens
    if params.stop:
        body["stop"] = list(params.stop)
    if params.seed is not None:
        body[dialect.seed] = params.seed
    if params.reasoning is not None:
        body.update(reasoning_fields(dialect, request.model, params.reasoning))


def prompt_cache_key(request: Request) -> str | None:
    """Return what routes requests with one prefix to one cache: the session, or a name given for it; None: nothing."""
    key = request.session if request.prompt_cache == "auto" else request.prompt_cache
    if key is None or key == "off":
        return None
    return key if len(key) <= _CACHE_KEY_LENGTH else hashlib.sha256(key.encode()).hexdigest()


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": dict(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(schema: Schema, dialect: Dialect) -> dict[str, Any]:
    if not dialect.native_schema:
        return {"type": "json_object"}
    from llmrouter.dialects import for_openai

    wire, strict = for_openai(schema.json)
    return {"type": "json_schema", "json_schema": {"name": schema.name, "schema": wire, "strict": strict}}


# ------------------------------------------------------------------------------------------------ messages


def _messages(request: Request, name: str, dialect: Dialect) -> list[dict[str, Any]]:
    messages = safe_tool_ids(request.messages, dialect.tool_id_pattern, dialect.tool_id_length)
    marks = dialect.cache_marks and request.prompt_cache != "off"
    wire: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []  # what tools returned beside text, until their turn is over
    if request.schema is not None and not dialect.native_schema:
        wire.append(schema_in_words(request.schema))
    for message in messages:
        if message.role == "tool":
            wire.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text})
            shown.extend(_part(part, dialect, marks) for part in message.parts if not isinstance(part, Text))
            continue
        if shown:
            wire.append({"role": "user", "content": shown})
            shown = []
        wire.append(_message(message, name, dialect, marks))
    if shown:
        wire.append({"role": "user", "content": shown})
    if dialect.prefix_flag and wire and wire[-1]["role"] == "assistant":
        wire[-1] = {**wire[-1], "prefix": True}
    return wire


def _message(message: Message, name: str, dialect: Dialect, marks: bool) -> dict[str, Any]:
    if message.role == "assistant":
        kept = message.private_for(name)
        return dict(kept) if isinstance(kept, dict) else _assistant(message, dialect)
    wire: dict[str, Any] = {"role": message.role, "content": _content(message, dialect, marks)}
    if message.name is not None and dialect.names:
        wire["name"] = message.name
    return wire


def _assistant(message: Message, dialect: Dialect) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": "assistant", "content": message.text}
    if message.tool_calls:
        wire["content"] = message.text or None
        wire["tool_calls"] = [wire_call(call) for call in message.tool_calls]
    if message.name is not None and dialect.names:
        wire["name"] = message.name
    return wire


def _content(message: Message, dialect: Dialect, marks: bool) -> Any:
    """Return plain text where it says everything: some servers take a list from users only, or from nobody."""
    content = message.content
    if isinstance(content, str):
        return content
    marked = marks and any(part.cache for part in content)
    if (
        not marked
        and all(isinstance(part, Text) for part in content)
        and (message.role == "system" or len(content) < 2)
    ):
        return message.text
    return [_part(part, dialect, marks) for part in content]


def _part(part: Part, dialect: Dialect, marks: bool) -> dict[str, Any]:
    if isinstance(part, Text):
        wire: dict[str, Any] = {"type": "text", "text": part.text}
    elif isinstance(part, Image):
        wire = _image(part)
    else:
        wire = _document(part, dialect)
    if marks and part.cache:
        wire["cache_control"] = {"type": "ephemeral"}
    return wire


def data_url(part: Image | Document, default: str) -> str:
    """Return the part's URL, its bytes as a `data:` URL where it has none."""
    return part.url or f"data:{part.media_type or default};base64,{part.data}"


def _image(image: Image) -> dict[str, Any]:
    source = {"url": data_url(image, "image/png")}
    if image.detail is not None:
        source["detail"] = image.detail
    return {"type": "image_url", "image_url": source}


def _document(document: Document, dialect: Dialect) -> dict[str, Any]:
    plain = plain_text(document)
    if plain is not None:
        return {"type": "text", "text": plain}
    if dialect.document_urls == "document_url":
        return {"type": "document_url", "document_url": data_url(document, "application/pdf")}
    if document.url is not None and not dialect.document_urls:
        raise InvalidRequestError("this provider's Chat Completions take a document's bytes, not its URL")
    file = {"filename": document.filename or "document.pdf", "file_data": data_url(document, "application/pdf")}
    return {"type": "file", "file": file}


def plain_text(document: Document) -> str | None:
    """Return a text document's words, which every model reads, unlike a file part; None for any other document."""
    if document.data is None or not (document.media_type or "").startswith("text/"):
        return None
    words = base64.b64decode(document.data).decode("utf-8", "replace")
    return f"{document.filename}:\n{words}" if document.filename else words


def schema_in_words(schema: Schema) -> dict[str, Any]:
    """Return the system message that asks for a schema where the server knows only "some JSON object"."""
    wanted = json.dumps(schema.json, ensure_ascii=False)
    return {"role": "system", "content": f"Answer with one JSON object that satisfies this JSON Schema:\n{wanted}"}


def missing(request: Request, dialect: Dialect) -> str | None:
    """Return what `request` needs that this dialect cannot carry, or None."""
    for part in _media(request.messages):
        if isinstance(part, Image) and not dialect.images:
            return "images"
        if isinstance(part, Document) and part.url is not None and not dialect.document_urls:
            return "documents by URL"
    return None


def _media(messages: Iterable[Message]) -> Iterable[Image | Document]:
    for message in messages:
        if not isinstance(message.content, str):
            yield from (part for part in message.content if not isinstance(part, Text))
