"""What the loopback server answers: one plain chat and one stream for each protocol, as bytes."""

from __future__ import annotations

import json
from typing import Any, Final

CHUNKS: Final = 200  # pieces of text in a stream
ANSWER: Final = "The quick brown fox jumps over the lazy dog, and the dog thinks nothing of it at all. " * 3

_OPENAI: Final[dict[str, Any]] = {
    "id": "chatcmpl-Bench0123456789",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "bench-model",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 31,
        "completion_tokens": 66,
        "total_tokens": 97,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_bench",
}
_ANTHROPIC: Final[dict[str, Any]] = {
    "id": "msg_Bench0123456789",
    "type": "message",
    "role": "assistant",
    "model": "bench-model",
    "content": [{"type": "text", "text": ANSWER}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 31,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 66,
        "service_tier": "standard",
    },
}
_GOOGLE: Final[dict[str, Any]] = {
    "candidates": [
        {"content": {"parts": [{"text": ANSWER}], "role": "model"}, "finishReason": "STOP", "index": 0},
    ],
    "usageMetadata": {"promptTokenCount": 31, "candidatesTokenCount": 66, "totalTokenCount": 97},
    "modelVersion": "bench-model",
    "responseId": "Bench0123456789",
}


def _event(data: dict[str, Any], name: str | None = None) -> bytes:
    line = f"event: {name}\n" if name else ""
    return f"{line}data: {json.dumps(data)}\n\n".encode()


def _openai_events() -> list[bytes]:
    chunk = {
        "id": "chatcmpl-Bench0123456789",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "bench-model",
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
    }

    def piece(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**chunk, "choices": [choice], "usage": None})

    return [
        piece({"role": "assistant", "content": "", "refusal": None}),
        *(piece({"content": f"word{i} "}) for i in range(CHUNKS)),
        piece({}, "stop"),
        _event({**chunk, "choices": [], "usage": _OPENAI["usage"]}),
        b"data: [DONE]\n\n",
    ]


def _anthropic_events() -> list[bytes]:
    start = {**_ANTHROPIC, "content": [], "stop_reason": None}
    text = {"type": "text", "text": ""}
    end = {"stop_reason": "end_turn", "stop_sequence": None}

    def piece(index: int) -> bytes:
        delta = {"type": "text_delta", "text": f"word{index} "}
        return _event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")

    return [
        _event({"type": "message_start", "message": start}, "message_start"),
        _event({"type": "content_block_start", "index": 0, "content_block": text}, "content_block_start"),
        *(piece(i) for i in range(CHUNKS)),
        _event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        _event({"type": "message_delta", "delta": end, "usage": {"output_tokens": 66}}, "message_delta"),
        _event({"type": "message_stop"}, "message_stop"),
    ]


def _google_events() -> list[bytes]:
    def piece(text: str, finish: str | None = None) -> bytes:
        candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        return _event({**_GOOGLE, "candidates": [candidate]})

    return [*(piece(f"word{i} ") for i in range(CHUNKS - 1)), piece("end", "STOP")]


def _whole(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def framed(pieces: list[bytes]) -> list[bytes]:
    """Frame a stream for the wire: its head, one HTTP chunk a piece, and the end."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_bench\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    return [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


WHOLE: Final = {"openai": _whole(_OPENAI), "anthropic": _whole(_ANTHROPIC), "google": _whole(_GOOGLE)}
EVENTS: Final = {"openai": _openai_events(), "anthropic": _anthropic_events(), "google": _google_events()}
