"""The Responses protocol, stateless: nothing is stored, and what the model needs of its past we send back ourselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmrouter import shape
from llmrouter.errors import ProviderError
from llmrouter.history import safe_tool_ids
from llmrouter.providers.base import WireReply
from llmrouter.providers.openai_chat_encode import data_url, plain_text, prompt_cache_key, schema_in_words
from llmrouter.providers.openai_dialect import OPENAI, Dialect, effort_of, is_openai_reasoning_model, openai_effort
from llmrouter.providers.openai_embed import decode_embed, encode_embed
from llmrouter.providers.openai_errors import failure
from llmrouter.providers.openai_responses_answer import completion_of, usage_of
from llmrouter.providers.openai_responses_stream import ResponsesStreamDecoder
from llmrouter.types import Completion, Document, Image, Message, Part, Request, Schema, Text, Tool, ToolCall, Usage


class ResponsesCodec:
    """Pure translation between our types and Responses, for the provider named `name`."""

    def __init__(self, name: str, dialect: Dialect = OPENAI) -> None:
        self.name, self.dialect = name, dialect
        self.embed_batch = dialect.embed_batch

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the wire body of a complete answer; `params.extra` is merged last, as it is."""
        body: dict[str, Any] = {"model": request.model, "input": list(self._input(request)), "store": False}
        self._add_params(body, request)
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            if request.tool_choice is not None:
                body["tool_choice"] = _tool_choice(request.tool_choice)
        if request.schema is not None:
            body["text"] = {
                "format": _format(request.schema) if self.dialect.native_schema else {"type": "json_object"}
            }
        cache_key = prompt_cache_key(request) if self.dialect.prompt_cache_key else None
        if cache_key is not None:
            body["prompt_cache_key"] = cache_key
        body.update(request.params.extra)
        return body

    def _add_params(self, body: dict[str, Any], request: Request) -> None:
        params = request.params
        if params.temperature is not None:
            body["temperature"] = params.temperature
        if params.top_p is not None:
            body["top_p"] = params.top_p
        if params.max_tokens is not None:
            body["max_output_tokens"] = params.max_tokens
        effort: str | None = None
        if params.reasoning is not None:
            known = self.dialect.reasoning == "openai"
            effort = openai_effort(request.model, params.reasoning) if known else effort_of(params.reasoning)
        if effort is not None:
            body["reasoning"] = {"effort": effort}
        if self.dialect.reasoning == "openai" and (effort or is_openai_reasoning_model(request.model)):
            body["include"] = ["reasoning.encrypted_content"]  # else nothing could be sent back: nothing is stored

    def _input(self, request: Request) -> Iterator[Any]:
        if request.schema is not None and not self.dialect.native_schema:
            yield schema_in_words(request.schema)
        # 64 is what Responses takes as a call_id, more than Chat Completions.
        for message in safe_tool_ids(request.messages):
            if message.role == "assistant":
                kept = message.private_for(self.name)
                yield from kept if isinstance(kept, list) else _assistant(message)
            elif message.role == "tool":
                yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": _content(message)}
            else:
                yield {"role": message.role, "content": _content(message)}

    def streaming(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return `body` asking for a stream; usage comes with its last event."""
        return {**body, "stream": True}

    def decode(self, reply: WireReply) -> Completion:
        """Read a complete answer. Raises MalformedResponseError, or the error that a 200 body reports."""
        return completion_of(reply.body, reply.headers, self.name)

    def usage(self, reply: WireReply) -> Usage | None:
        """Return the usage that an answer reports, whatever else is wrong with it; None when it reports none."""
        return usage_of(shape.mapping(reply.body))

    def decoder(self, headers: Mapping[str, str]) -> ResponsesStreamDecoder:
        """Return a decoder for a stream whose response had these headers."""
        return ResponsesStreamDecoder(self.name, headers)

    def error(self, status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:
        """Classify a failed response."""
        return failure(status, headers, body)

    def encode_embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
        """Return the wire body of one embedding batch."""
        return encode_embed(self.dialect, model, texts, dimensions)

    def decode_embed(self, reply: WireReply) -> tuple[list[list[float]], Usage]:
        """Read one embedding batch."""
        return decode_embed(reply)


def missing(request: Request) -> str | None:
    """Return what `request` needs that Responses cannot carry, or None."""
    return "stop sequences" if request.params.stop else None


def _tool(tool: Tool) -> dict[str, Any]:
    # Left out, `strict` would be on here and off in Chat Completions: a tool must mean the same in both.
    wire = {
        "type": "function",
        "name": tool.name,
        "parameters": dict(tool.parameters),
        "strict": bool(tool.strict),
    }
    if tool.description:
        wire["description"] = tool.description
    return wire


def _tool_choice(choice: str) -> Any:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}


def _format(schema: Schema) -> dict[str, Any]:
    from llmrouter.dialects import for_openai

    wire, strict = for_openai(schema.json)
    return {"type": "json_schema", "name": schema.name, "schema": wire, "strict": strict}


def _assistant(message: Message) -> Iterator[dict[str, Any]]:
    if message.text:
        yield {"role": "assistant", "content": message.text}
    yield from map(_call, message.tool_calls)


def _call(call: ToolCall) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments_json or "{}"}


def _content(message: Message) -> Any:
    if isinstance(message.content, str):
        return message.content
    if all(isinstance(part, Text) for part in message.content) and len(message.content) < 2:
        return message.text
    return [_part(part) for part in message.content]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Image):
        wire = {"type": "input_image", "image_url": data_url(part, "image/png")}
        return wire if part.detail is None else {**wire, "detail": part.detail}
    return _document(part)


def _document(document: Document) -> dict[str, Any]:
    plain = plain_text(document)
    if plain is not None:
        return {"type": "input_text", "text": plain}
    if document.url is not None:
        return {"type": "input_file", "file_url": document.url}
    url = data_url(document, "application/pdf")
    return {"type": "input_file", "filename": document.filename or "document.pdf", "file_data": url}
