"""How Gemini's generateContent, streamGenerateContent and batchEmbedContents look on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.facts import Answer, Call, Failure, Protocol, Trouble, data

HEADERS = {"server": "scaffolding on HTTPServer2", "server-timing": "gfet4t7; dur=21", "vary": "Origin"}
_RPC = "type.googleapis.com/google.rpc."
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY", "refusal": "STOP"}
# kind -> status code, status, message
_FAILURES: Mapping[Failure, tuple[int, str, str]] = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "Quota exceeded for requests per minute."),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "server": (500, "INTERNAL", "An internal error has occurred."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "context_length": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "bad_request": (400, "INVALID_ARGUMENT", "Invalid value at 'generation_config.temperature'."),
    "prefill": (400, "INVALID_ARGUMENT", "The last turn must be a user turn or a function response."),
    "authentication": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "permission": (403, "PERMISSION_DENIED", "The caller does not have permission."),
    "not_found": (404, "NOT_FOUND", "models/no-such-model is not found for API version v1beta."),
}


def _usage(answer: Answer) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": answer.output_tokens - answer.reasoning_tokens,
        "totalTokenCount": answer.input_tokens + answer.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.input_tokens}],
        "serviceTier": "standard",
    }
    if answer.cache_read:
        usage["cachedContentTokenCount"] = answer.cache_read
    if answer.reasoning_tokens:
        usage["thoughtsTokenCount"] = answer.reasoning_tokens
    return usage


def _part(call: Call) -> dict[str, Any]:
    arguments = {} if isinstance(call.arguments, str) else dict(call.arguments)  # args are an object on this wire
    return {"functionCall": {"id": call.id, "name": call.name, "args": arguments}, "thoughtSignature": "c2lnbmF0dXJl"}


def _piece(answer: Answer, model: str, parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    whole = {"candidates": [candidate], "modelVersion": model, "responseId": "AbCdEfGhIjKlMnOpQrStUv0"}
    return {**whole, "usageMetadata": _usage(answer)} if answer.usage else whole


def _parts(answer: Answer, texts: Sequence[str]) -> list[dict[str, Any]]:
    thoughts = [{"text": answer.reasoning, "thought": True}] if answer.reasoning else []
    return [*thoughts, *([_part(call) for call in answer.calls] or [{"text": text} for text in texts])]


def body(answer: Answer, model: str) -> dict[str, Any]:
    """Return a `GenerateContentResponse`."""
    return _piece(answer, model, _parts(answer, [answer.text]), _FINISH[answer.ended])


def events(answer: Answer, model: str) -> list[bytes]:
    """Return the pieces of `alt=sse`; the last one carries the finish reason, and nothing follows it."""
    pieces = [_piece(answer, model, [part], None) for part in _parts(answer, answer.words)]
    last = _piece(answer, model, [{"text": ""}], _FINISH[answer.ended])
    return [data(piece) for piece in (*pieces, last)]


def blocked(model: str = "gemini-3.8-flash") -> dict[str, Any]:
    """Return the answer to a prompt that was blocked: a 200 without any candidate."""
    usage = {"promptTokenCount": 12, "totalTokenCount": 12}
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    return {"promptFeedback": feedback, "usageMetadata": usage, "modelVersion": model}


def trouble(kind: Failure, retry_after: float | None = None) -> Trouble:
    """Return a failed response; `retry_after` goes into `RetryInfo`. A blocked prompt is a 200 here."""
    if kind == "content_filter":
        return Trouble(200, blocked(), HEADERS)
    code, status, message = _FAILURES[kind]
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details := _details(kind, retry_after):
        error["details"] = details
    return Trouble(code, {"error": error}, HEADERS)


def _details(kind: Failure, retry_after: float | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    period = {"rate_limit": "PerMinute", "quota": "PerDay"}.get(kind)
    if period:
        violation = {"quotaId": f"GenerateRequests{period}PerProjectPerModel", "quotaValue": "1000"}
        found.append({"@type": f"{_RPC}QuotaFailure", "violations": [violation]})
    if kind == "authentication":
        found.append({"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
    if retry_after is not None:
        found.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{retry_after:g}s"})
    return found


def error_event(kind: Failure) -> bytes:
    """Return a failure inside a stream."""
    return data(trouble(kind).body)


def embedding(vectors: Sequence[Sequence[float]], asked: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """Return a batch of embeddings; this wire reports no model, and tokens only since lately."""
    return {"embeddings": [{"values": list(vector)} for vector in vectors]}


GOOGLE = Protocol(
    name="google",
    kind="google",
    target="google/gemini-3.8-flash",
    root="",
    headers=HEADERS,
    body=body,
    events=events,
    trouble=trouble,
    error_event=error_event,
    embedding=embedding,
)
