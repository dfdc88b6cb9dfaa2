"""What a Chat Completions answer says, whether it came whole or in pieces: text, tool calls, reasoning, usage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from llmrouter import shape
from llmrouter.errors import MalformedResponseError, ServerError
from llmrouter.providers.openai_dialect import Dialect
from llmrouter.types import Completion, FinishReason, Message, Private, ToolCall, Usage

FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "refusal",
    "eos": "stop",  # Together
    "stop_sequence": "stop",
    "end_turn": "stop",
    "model_length": "length",  # Mistral
    "max_tokens": "length",
    "tool_use": "tool_calls",
}
# The server stopped, not the model: an error in the form of a finish reason.
_BROKEN: Final = frozenset({"error", "insufficient_system_resource"})  # OpenRouter and Mistral; DeepSeek


def assemble(
    *,
    message: Mapping[str, Any],
    calls: tuple[ToolCall, ...],
    finish: Any,
    model: str,
    usage: Usage | None,
    logprobs: Any,
    request_id: str | None,
    raw: Any,
    name: str,
    dialect: Dialect,
) -> Completion:
    """Make the completion of one assistant message in wire form, whether it came whole or in pieces."""
    text, thoughts = content_of(message.get("content"))
    text = text or shape.text(shape.mapping(message.get("audio")).get("transcript"))
    refusal = shape.text(message.get("refusal"))
    reasoning = reasoning_of(message) or thoughts
    reason = _finish_reason(finish, bool(calls), bool(refusal))
    shown = text or refusal or calls or reasoning or message.get("images")  # OpenRouter's models that draw
    if not shown and reason in ("stop", "tool_calls", "other"):
        raise MalformedResponseError("an empty answer: no text, no tool call, no refusal", body=raw)
    return Completion(
        message=Message("assistant", text + refusal, calls, private=_private(message, calls, name, dialect)),
        finish_reason=reason,
        provider_finish_reason=finish if isinstance(finish, str) and finish else None,
        model=model,
        usage=usage,
        reasoning=reasoning or None,
        logprobs=logprobs,
        request_id=request_id,
        raw=raw,
    )


def _finish_reason(finish: Any, called: bool, refused: bool) -> FinishReason:
    if isinstance(finish, str) and finish in _BROKEN:
        raise ServerError(f"the server broke the answer off: finish_reason {finish!r}", code=finish)
    if refused:
        return "refusal"
    reason = FINISH.get(finish, "other") if isinstance(finish, str) and finish else "stop"
    # A forced tool choice, Ollama and others say "stop" beside tool calls.
    return "tool_calls" if called and reason in ("stop", "other") else reason


def content_of(content: Any) -> tuple[str, str]:
    """Return the text and the visible reasoning of `content`: a string, or Mistral's list of chunks."""
    if isinstance(content, str):
        return content, ""
    texts, thoughts = [], []
    for chunk in shape.items(content):
        if isinstance(chunk, str):
            texts.append(chunk)
        elif shape.mapping(chunk).get("type") == "thinking":
            thinking = chunk.get("thinking")
            thoughts.append(thinking if isinstance(thinking, str) else content_of(thinking)[0])
        else:
            texts.append(shape.text(shape.mapping(chunk).get("text")))
    return "".join(texts), "".join(thoughts)


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Return the visible reasoning of a message or a delta, under whichever name the server gives it."""
    for name in ("reasoning_content", "reasoning"):
        found = message.get(name)
        if isinstance(found, str) and found:
            return found
    details = message.get("reasoning_details")
    if not details:
        return ""
    return "".join(shape.text(part.get("text")) or shape.text(part.get("summary")) for part in shape.mappings(details))


def tool_calls_of(message: Mapping[str, Any], answer_id: str) -> tuple[ToolCall, ...]:
    """Return the tool calls of a whole message; a call without an id gets a stable one."""
    wanted = message.get("tool_calls")
    if not wanted:
        legacy = message.get("function_call")
        if not legacy or not shape.mapping(legacy).get("name"):  # Snowflake fills in every field, this one blank
            return ()
        wanted = [{"function": legacy}]
    return tuple(_tool_call(call, index, answer_id) for index, call in enumerate(shape.mappings(wanted)))


def _tool_call(call: Mapping[str, Any], index: int, answer_id: str) -> ToolCall:
    function = shape.mapping(call.get("function") or call.get("custom"))
    name = shape.text(function.get("name"))
    if not name:
        raise MalformedResponseError("a tool call has no function name", body=call)
    arguments = function.get("arguments", function.get("input"))
    return ToolCall(shape.text(call.get("id")) or call_id(answer_id, index), name, arguments_text(arguments))


def arguments_text(arguments: Any) -> str:
    """Return tool arguments as JSON text: most servers send text, Ollama and llama.cpp may send the object."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def call_id(answer_id: str, index: int) -> str:
    """Return the id of a tool call whose server gave none: the same for the same answer, different between answers."""
    return "call_" + hashlib.sha256(f"{answer_id}/{index}".encode("utf-8", "replace")).hexdigest()[:24]


def _private(
    message: Mapping[str, Any], calls: tuple[ToolCall, ...], name: str, dialect: Dialect
) -> tuple[Private, ...]:
    """Keep the message as it came where our own form would lose what the server wants back."""
    fields = [field for field in (*dialect.echoes, "extra_content") if message.get(field)]
    thinks = isinstance(message.get("content"), list)  # Mistral: thinking stands among the content
    signed = "extra_content" in fields or (  # Gemini's signatures
        bool(calls) and any("extra_content" in call for call in shape.mappings(message.get("tool_calls")))
    )
    if not (thinks or signed or (fields and (calls or "reasoning_details" in fields))):
        return ()
    kept = {"role": "assistant", "content": message.get("content"), **{field: message[field] for field in fields}}
    if calls:
        kept["tool_calls"] = [_wire_call(call, wire) for call, wire in zip(calls, _wires(message, calls), strict=True)]
    return (Private(name, kept),)


def _wires(message: Mapping[str, Any], calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    wires = shape.mappings(message.get("tool_calls"))
    return wires if len(wires) == len(calls) else [{} for _ in calls]


def _wire_call(call: ToolCall, wire: Mapping[str, Any]) -> dict[str, Any]:
    made = wire_call(call)
    return {**made, "extra_content": wire["extra_content"]} if "extra_content" in wire else made


def wire_call(call: ToolCall) -> dict[str, Any]:
    """Return a tool call in wire form; empty arguments become an object, which every server parses."""
    function = {"name": call.name, "arguments": call.arguments_json or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _cache_read(usage: Mapping[str, Any], details: Mapping[str, Any]) -> int:
    return shape.count(
        details.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")  # DeepSeek
        or usage.get("num_cached_tokens")  # Mistral, often without details
        or usage.get("cached_tokens")
    )


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """Return the usage of an answer or a chunk; None when it reports none."""
    usage = body.get("usage") or shape.mapping(body.get("x_groq")).get("usage")
    if not isinstance(usage, dict) or not ("prompt_tokens" in usage or "completion_tokens" in usage):
        return None
    prompt, output = shape.count(usage.get("prompt_tokens")), shape.count(usage.get("completion_tokens"))
    inward = shape.mapping(usage.get("prompt_tokens_details"))
    outward = shape.mapping(usage.get("completion_tokens_details"))
    cached = min(_cache_read(usage, inward), prompt)
    written = min(shape.count(inward.get("cache_write_tokens")), prompt - cached)
    reasoning = shape.count(outward.get("reasoning_tokens") or usage.get("reasoning_tokens"))
    if reasoning and shape.count(usage.get("total_tokens")) == prompt + output + reasoning:
        output += reasoning  # xAI counts reasoning beside the completion, not in it
    return Usage(
        uncached_tokens=prompt - cached - written,
        output_tokens=output,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=min(reasoning, output),
    )
