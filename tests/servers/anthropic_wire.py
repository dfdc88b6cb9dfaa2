"""How Anthropic's Messages look on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.servers.facts import Answer, Call, Failure, Protocol, Trouble, data, halves

REQUEST_ID = "req_011CAbCdEfGhJkMnPqRsTuVw"
HEADERS = {
    "request-id": REQUEST_ID,
    "anthropic-organization-id": "00000000-0000-0000-0000-000000000000",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-09-22T00:53:20Z",
    "anthropic-ratelimit-tokens-limit": "480000",
    "anthropic-ratelimit-tokens-remaining": "480000",
    "anthropic-ratelimit-tokens-reset": "2026-09-22T00:53:20Z",
}
_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
# kind -> status, type, message, x-should-retry
_FAILURES: Mapping[Failure, tuple[int, str, str, bool]] = {
    "rate_limit": (429, "rate_limit_error", "This request would exceed your organization's rate limit.", True),
    "quota": (429, "rate_limit_error", "You have reached your specified API usage limits.", False),
    "server": (500, "api_error", "Internal server error", True),
    "overloaded": (529, "overloaded_error", "Overloaded", True),
    "context_length": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", False),
    "content_filter": (400, "invalid_request_error", "Output blocked by content filtering policy", False),
    "bad_request": (400, "invalid_request_error", "temperature: range: 0..1", False),
    "prefill": (
        400,
        "invalid_request_error",
        "This model does not support assistant message prefill. The conversation must end with a user message.",
        False,
    ),
    "authentication": (401, "authentication_error", "invalid x-api-key", False),
    "permission": (403, "permission_error", "Your API key may not use this resource.", False),
    "not_found": (404, "not_found_error", "model: no-such-model", False),
}


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.uncached,
        "cache_creation_input_tokens": answer.cache_write,
        "cache_read_input_tokens": answer.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": answer.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"thinking_tokens": answer.reasoning_tokens},
        "service_tier": "standard",
    }


def _message(answer: Answer, model: str) -> dict[str, Any]:
    head = {"id": "msg_0001", "type": "message", "role": "assistant", "model": model}
    return {**head, "content": [], "stop_reason": None, "stop_sequence": None}


def _stop(answer: Answer) -> dict[str, Any]:
    return {"stop_reason": _FINISH.get(answer.ended, answer.ended), "stop_sequence": None, "stop_details": None}


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": "c2lnbmF0dXJl"})
    if answer.text and not answer.calls:
        blocks.append({"type": "text", "text": answer.text})
    return [*blocks, *(_tool_use(call) for call in answer.calls)]


def _tool_use(call: Call) -> dict[str, Any]:
    arguments = {} if isinstance(call.arguments, str) else dict(call.arguments)  # a whole answer cannot carry bad JSON
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def body(answer: Answer, model: str) -> dict[str, Any]:
    """Return a `message`."""
    whole = {**_message(answer, model), "content": _blocks(answer), **_stop(answer)}
    return {**whole, "usage": _usage(answer)} if answer.usage else whole


def events(answer: Answer, model: str) -> list[bytes]:
    """Return the events from `message_start` to `message_stop`, with one ping."""
    begun = {**_message(answer, model)}
    if answer.usage:
        begun["usage"] = {**_usage(answer), "output_tokens": 1}
    told: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    calls = iter(answer.calls)
    for index, block in enumerate(_blocks(answer)):
        call = next(calls) if block["type"] == "tool_use" else None
        told += [{**event, "index": index} for event in _block_events(answer, block, call)]
    ended: dict[str, Any] = {"type": "message_delta", "delta": _stop(answer)}
    if answer.usage:
        ended["usage"] = _usage(answer)
    return [data(event, event["type"]) for event in (*told, ended, {"type": "message_stop"})]


def _block_events(answer: Answer, block: dict[str, Any], call: Call | None) -> Iterator[dict[str, Any]]:
    bare: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    yield {"type": "content_block_start", "content_block": {**block, **bare[block["type"]]}}
    for delta in _deltas(answer, block, call):
        yield {"type": "content_block_delta", "delta": delta}
    yield {"type": "content_block_stop"}


def _deltas(answer: Answer, block: dict[str, Any], call: Call | None) -> Iterator[dict[str, Any]]:
    if call is not None:
        yield {"type": "input_json_delta", "partial_json": ""}
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in halves(call.json))
    elif block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": answer.reasoning}
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        yield from ({"type": "text_delta", "text": word} for word in answer.words)


def trouble(kind: Failure, retry_after: float | None = None) -> Trouble:
    """Return a failed response; `retry_after` goes into the header."""
    status, type_, message, again = _FAILURES[kind]
    headers = {**HEADERS, "x-should-retry": "true" if again else "false"}
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
    error = {"type": "error", "error": {"type": type_, "message": message}, "request_id": REQUEST_ID}
    return Trouble(status, error, headers)


def error_event(kind: Failure) -> bytes:
    """Return a failure inside a stream."""
    error = trouble(kind).body["error"]
    return data({"type": "error", "error": {"details": None, **error}}, "error")


ANTHROPIC = Protocol(
    name="anthropic",
    kind="anthropic",
    target="anthropic/claude-haiku-5-5",
    root="",
    headers=HEADERS,
    body=body,
    events=events,
    trouble=trouble,
    error_event=error_event,
)
