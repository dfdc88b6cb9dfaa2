"""What the providers say and aimock has no word for, added to its answers while they are recorded.

aimock takes of a fixture's usage the totals alone, and reports no tokens for embeddings. The members below stand in
every answer of the real APIs. Nothing that aimock does say is replaced, but for the zeros of embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx2

_CHARACTERS_PER_TOKEN: Final = 4  # aimock's own estimate, where it makes one
_CHAT_USAGE: Final = {
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_CACHED: Final = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
_MESSAGES_USAGE: Final = {
    **_CACHED,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "service_tier": "standard",
    "inference_geo": "not_available",
}


def complete(request: httpx2.Request, response: httpx2.Response) -> None:
    """Let the body of `response` be read with what it lacks."""
    response.stream = _Completed(request, response)


class _Completed(httpx2.SyncByteStream):
    """A body whose JSON, or whose events, one by one, are completed."""

    def __init__(self, request: httpx2.Request, response: httpx2.Response) -> None:
        self._request, self._response, self._stream = request, response, response.stream
        self._events = response.headers.get("content-type", "").startswith("text/event-stream")
        response.headers.pop("content-length", None)  # it grows

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for content in self._stream:  # type: ignore[union-attr]  # the stream of a blocking client
            rest += content
            while self._events and b"\n\n" in rest:
                event, _, rest = rest.partition(b"\n\n")
                yield b"\n".join(self._line(line) for line in event.split(b"\n")) + b"\n\n"
        if rest:
            yield self._body(rest)

    def close(self) -> None:
        self._stream.close()  # type: ignore[union-attr]  # as above

    def _line(self, line: bytes) -> bytes:
        data = line.removeprefix(b"data: ")
        return b"data: " + self._body(data) if data.startswith(b"{") else line

    def _body(self, data: bytes) -> bytes:
        body = _of(self._request, self._response, json.loads(data))
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _of(request: httpx2.Request, response: httpx2.Response, body: dict[str, Any]) -> dict[str, Any]:
    """Return a decoded body, or one event, with what it lacks."""
    path = request.url.path
    if path.endswith("/messages"):
        return _messages(body, response.headers.get("x-request-id", ""))
    if "error" in body:
        return body
    if path.endswith("/chat/completions"):
        return _chat(body)
    if path.endswith("/embeddings"):
        return _embeddings(body, json.loads(request.content)["input"])
    model = path.rpartition("/")[2].partition(":")[0]
    return _generated(body, model, response.headers.get("x-request-id", ""))


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    for choice in body["choices"]:
        if "message" in choice:
            choice["message"].setdefault("annotations", [])
        elif "role" in choice["delta"]:
            choice["delta"].setdefault("refusal", None)
    usage = body.get("usage")
    return {**body, "service_tier": "default", "usage": usage and {**_CHAT_USAGE, **usage}}


def _embeddings(body: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    tokens = sum(-(-len(text) // _CHARACTERS_PER_TOKEN) for text in texts)
    return {**body, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _messages(body: dict[str, Any], request_id: str) -> dict[str, Any]:
    kind = body["type"]
    if kind == "error":
        return {**body, "request_id": request_id}
    if kind == "message":
        return {**body, "stop_details": None, "usage": {**_MESSAGES_USAGE, **body["usage"]}}
    if kind == "message_start":
        return {**body, "message": _messages(body["message"], request_id)}
    return {**body, "usage": {**_CACHED, **body["usage"]}} if kind == "message_delta" else body


def _generated(body: dict[str, Any], model: str, response_id: str) -> dict[str, Any]:
    usage = body.get("usageMetadata")
    if usage is not None:
        details = [{"modality": "TEXT", "tokenCount": usage["promptTokenCount"]}]
        usage = {"usageMetadata": {**usage, "promptTokensDetails": details, "serviceTier": "standard"}}
    return {**body, **(usage or {}), "modelVersion": model, "responseId": response_id}
