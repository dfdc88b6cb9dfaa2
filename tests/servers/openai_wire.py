"""How OpenAI's Chat Completions and embeddings look on the wire."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.servers.facts import CREATED, Answer, Call, Failure, Protocol, Trouble, data, halves

HEADERS = {
    "x-request-id": "req_0123456789abcdef0123456789abcdef",
    "openai-version": "2020-10-01",
    "openai-processing-ms": "21",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-remaining-tokens": "1999970",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "0s",
}
DONE = b"data: [DONE]\n\n"

_FINISH = {"refusal": "stop"}  # a refusal has its own field, and ends like any answer
# kind -> status, type, code, param, message
_FAILURES: Mapping[Failure, tuple[int, str, str | None, str | None, str]] = {
    "rate_limit": (429, "tokens", "rate_limit_exceeded", None, "Rate limit reached for this model: Limit 200000 TPM."),
    "quota": (429, "insufficient_quota", "insufficient_quota", None, "You exceeded your current quota."),
    "server": (500, "server_error", None, None, "The server had an error while processing your request."),
    "overloaded": (503, "server_error", "overloaded", None, "The engine is currently overloaded."),
    "context_length": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens.",
    ),
    "content_filter": (
        400,
        "invalid_request_error",
        "content_filter",
        "prompt",
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
    "bad_request": (400, "invalid_request_error", "invalid_value", "temperature", "Invalid value for 'temperature'."),
    "prefill": (
        400,
        "invalid_request_error",
        None,
        "messages",
        "The last message must have role user or tool, not assistant.",
    ),
    "authentication": (401, "invalid_request_error", "invalid_api_key", None, "Incorrect API key provided."),
    "permission": (403, "permission_error", None, None, "You have insufficient permissions for this operation."),
    "not_found": (404, "invalid_request_error", "model_not_found", None, "The model does not exist."),
}


def _usage(answer: Answer) -> dict[str, Any]:
    cached: dict[str, int] = {"cached_tokens": answer.cache_read, "audio_tokens": 0}
    if answer.cache_write:
        cached["cache_write_tokens"] = answer.cache_write
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": cached,
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens, "audio_tokens": 0},
    }


def _call(call: Call, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def body(answer: Answer, model: str) -> dict[str, Any]:
    """Return a `chat.completion`."""
    refused = answer.ended == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused or answer.calls else answer.text,
        "refusal": answer.text if refused else None,
        "annotations": [],
    }
    if answer.calls:
        message["tool_calls"] = [_call(call, call.json) for call in answer.calls]
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    whole = {"id": "chatcmpl-0001", "object": "chat.completion", "created": CREATED, "model": model}
    whole |= {"choices": [choice], "service_tier": "default", "system_fingerprint": "fp_0001"}
    return {**whole, "usage": _usage(answer)} if answer.usage else whole


def _finish(answer: Answer) -> str:
    return _FINISH.get(answer.ended, answer.ended)


def events(answer: Answer, model: str) -> list[bytes]:
    """Return the chunks: role, reasoning, text or calls, finish reason, usage, `[DONE]`."""

    def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        head = {"id": "chatcmpl-0001", "object": "chat.completion.chunk", "created": CREATED, "model": model}
        return data({**head, "system_fingerprint": "fp_0001", "choices": choices, "usage": usage})

    def choice(delta: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    chunks = [chunk(choice(delta)) for delta in _deltas(answer)]
    chunks.append(chunk(choice({}, _finish(answer))))
    if answer.usage:
        chunks.append(chunk([], _usage(answer)))
    return [*chunks, DONE]


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
    if answer.reasoning:
        yield {"reasoning_content": answer.reasoning}
    field = "refusal" if answer.ended == "refusal" else "content"
    if not answer.calls:
        yield from ({field: word} for word in answer.words)
    for index, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": index, **_call(call, "")}]}
        for piece in halves(call.json):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def trouble(kind: Failure, retry_after: float | None = None) -> Trouble:
    """Return a failed response; `retry_after` goes into the header."""
    status, type_, code, param, message = _FAILURES[kind]
    headers = HEADERS if retry_after is None else {**HEADERS, "retry-after": f"{retry_after:g}"}
    return Trouble(status, {"error": {"message": message, "type": type_, "param": param, "code": code}}, headers)


def error_event(kind: Failure) -> bytes:
    """Return a failure inside a stream."""
    return data(trouble(kind).body)


def embedding(vectors: Sequence[Sequence[float]], asked: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """Return an embedding list, packed as base64 when the request asks for that, as the SDK does by default."""

    def packed(vector: Sequence[float]) -> Any:
        if asked.get("encoding_format") != "base64":
            return list(vector)
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

    items = [{"object": "embedding", "index": n, "embedding": packed(vector)} for n, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": items, "model": asked["model"], "usage": usage}


OPENAI = Protocol(
    name="openai",
    kind="openai",
    target="openai/gpt-6-luna",
    root="/v1",
    headers=HEADERS,
    body=body,
    events=events,
    trouble=trouble,
    error_event=error_event,
    embedding=embedding,
)
