"""Answers of the Messages API, whole and in events, as the tests of its codec make them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmrouter.providers.anthropic_decode import MessagesDecoder
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.base import WireReply
from llmrouter.types import Completion, Delta

CODEC = MessagesCodec("anthropic")
HEADERS = {"request-id": "req_1"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
SAID = {"type": "text", "text": "Hi."}
CALLED = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
USAGE = {"input_tokens": 10, "output_tokens": 5}


def body(*content: Mapping[str, Any], reason: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": list(content)}
    return {**head, "stop_reason": reason, "stop_sequence": None, "usage": USAGE, **more}


def decoded(answer: Any) -> Completion:
    return CODEC.decode(WireReply(answer, HEADERS))


def iteration(kind: str, tokens: int, model: str | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": kind, "input_tokens": tokens, "output_tokens": 1}
    return {**entry, "model": model} if model else entry


OPUS, SONNET = "claude-opus-5", "claude-sonnet-5"


def sse(*events: Mapping[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


START = {"type": "message_start", "message": {**body(), "usage": {"input_tokens": 10, "output_tokens": 1}}}
START["message"]["stop_reason"] = None  # type: ignore[index]  # a message_start has a message
STOP = {"type": "message_stop"}


def opened(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def ended(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


def read(chunks: Iterable[bytes]) -> tuple[list[Delta], MessagesDecoder]:
    decoder = CODEC.decoder(HEADERS)
    return [delta for chunk in chunks for delta in decoder.feed(chunk)], decoder


TEXT = (opened(0, type="text", text=""), delta(0, "text_delta", text="Hi"), delta(0, "text_delta", text="."))
