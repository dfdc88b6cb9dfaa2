"""What a Responses answer says: text, tool calls, reasoning, usage, and the items that must come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmrouter import shape
from llmrouter.errors import MalformedResponseError
from llmrouter.providers.failures import lower
from llmrouter.providers.openai_chat_answer import arguments_text, call_id
from llmrouter.providers.openai_errors import failure, request_id
from llmrouter.types import Completion, FinishReason, Message, Private, ToolCall, Usage

_INCOMPLETE: Final[Mapping[str, FinishReason]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_UNFINISHED: Final = ("queued", "in_progress", "cancelled")
_SAYING: Final = ("message", "reasoning")  # any other item is an answer even without words: a picture, a shell call
_PARAGRAPH: Final = "\n\n"  # between two parts of a reasoning summary


def completion_of(body: Any, headers: Mapping[str, str], name: str) -> Completion:
    """Read a finished response. Raises the error it reports, or MalformedResponseError."""
    fields = shape.mapping(body)
    status = fields.get("status")
    if fields.get("error") or status == "failed":
        raise failure(None, headers, body)
    output = fields.get("output")
    if not isinstance(output, list) or status in _UNFINISHED:
        raise MalformedResponseError(f"the answer is no finished response (status {status!r})", body=body)
    items = shape.mappings(output)
    calls = _tool_calls(items, shape.text(fields.get("id")))
    words, refusal = _said(items, "output_text", "text"), _said(items, "refusal", "refusal")
    reasoning = reasoning_of(items)
    reason, provider_reason = _finish(fields, bool(calls), bool(refusal))
    shown = words or refusal or calls or reasoning or any(item.get("type") not in _SAYING for item in items)
    if not shown and reason in ("stop", "other"):
        raise MalformedResponseError("an empty answer: no text, no tool call, no refusal", body=body)
    return Completion(
        message=Message("assistant", words + refusal, calls, private=_private(items, name)),
        finish_reason=reason,
        provider_finish_reason=provider_reason,
        model=shape.text(fields.get("model")),
        usage=usage_of(fields),
        reasoning=reasoning or None,
        logprobs=_logprobs(items),
        request_id=request_id(lower(headers), fields),
        raw=body,
    )


def _finish(fields: Mapping[str, Any], called: bool, refused: bool) -> tuple[FinishReason, str | None]:
    status = fields.get("status")
    if status == "incomplete":
        why = shape.text(shape.mapping(fields.get("incomplete_details")).get("reason"))
        return _INCOMPLETE.get(why, "other"), why or "incomplete"
    reported = shape.text(status) or None
    if refused:
        return "refusal", reported
    return ("tool_calls" if called else "stop"), reported


def _parts(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for item in items if item.get("type") == "message" for part in shape.mappings(item.get("content"))]


def _said(items: list[dict[str, Any]], kind: str, field: str) -> str:
    return "".join(shape.text(part.get(field)) for part in _parts(items) if part.get("type") == kind)


def _logprobs(items: list[dict[str, Any]]) -> Any:
    found = [entry for part in _parts(items) for entry in shape.items(part.get("logprobs"))]
    return {"content": found} if found else None


def reasoning_of(items: list[dict[str, Any]]) -> str:
    """Return the visible reasoning: OpenAI's summaries, or the text itself where a server shows it."""
    parts: list[str] = []
    for item in items:
        if item.get("type") == "reasoning":
            shown = shape.mappings(item.get("summary")) or shape.mappings(item.get("content"))
            parts.extend(text for part in shown if (text := shape.text(part.get("text"))))
    return _PARAGRAPH.join(parts)


def is_call(item: Mapping[str, Any]) -> bool:
    """Return whether this item asks us to run a tool."""
    return item.get("type") in ("function_call", "custom_tool_call")


def _tool_calls(items: list[dict[str, Any]], answer_id: str) -> tuple[ToolCall, ...]:
    wanted = [item for item in items if is_call(item)]
    return tuple(tool_call(item, index, answer_id) for index, item in enumerate(wanted))


def tool_call(item: Mapping[str, Any], index: int, answer_id: str) -> ToolCall:
    """Read one tool call; a call without an id gets a stable one."""
    name = shape.text(item.get("name"))
    if not name:
        raise MalformedResponseError("a tool call has no function name", body=item)
    given = shape.text(item.get("call_id")) or call_id(answer_id, index)
    return ToolCall(given, name, arguments_text(item.get("arguments", item.get("input"))))


def _private(items: list[dict[str, Any]], name: str) -> tuple[Private, ...]:
    """Keep the items as they came where our own form would lose some: reasoning, phases, the server's own tools.

    Reasoning that came neither encrypted nor readable cannot be sent back, since nothing is stored: then our form does.
    """
    reasoning = [item for item in items if item.get("type") == "reasoning"]
    if any(not (item.get("encrypted_content") or item.get("content")) for item in reasoning):
        return ()
    plain = all(item.get("type") in ("message", "function_call") and not item.get("phase") for item in items)
    return () if plain else (Private(name, items),)


def usage_of(fields: Mapping[str, Any]) -> Usage | None:
    """Return the usage of a response; None when it reports none."""
    usage = fields.get("usage")
    if not isinstance(usage, dict) or "input_tokens" not in usage:
        return None
    inward = shape.mapping(usage.get("input_tokens_details"))
    outward = shape.mapping(usage.get("output_tokens_details"))
    prompt, output = shape.count(usage.get("input_tokens")), shape.count(usage.get("output_tokens"))
    cached = min(shape.count(inward.get("cached_tokens")), prompt)
    written = min(shape.count(inward.get("cache_write_tokens")), prompt - cached)
    return Usage(
        uncached_tokens=prompt - cached - written,
        output_tokens=output,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=min(shape.count(outward.get("reasoning_tokens")), output),
    )
