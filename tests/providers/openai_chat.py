"""Chat Completions as the tests of their codec ask and answer: requests, answers, streams, and any JSON at all."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from llmrouter.providers.base import WireReply
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_dialect import COMPATIBLE, OPENAI
from llmrouter.providers.presets import PRESETS
from llmrouter.types import (
    Completion,
    Delta,
    Message,
    Request,
)

OWN = ChatCodec("openai", OPENAI)
OTHER = ChatCodec("local", COMPATIBLE)


def preset(name: str) -> ChatCodec:
    return ChatCodec(name, PRESETS[name].dialect)


def asked(codec: ChatCodec, *messages: Message, model: str = "gpt-6-luna", **fields: Any) -> dict[str, Any]:
    return codec.encode(Request(model, messages or (Message("user", "hello"),), **fields))


def answered(message: dict[str, Any], finish: Any = "stop", codec: ChatCodec = OTHER, **body: Any) -> Completion:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return codec.decode(WireReply({"id": "a1", "model": "m", "choices": [choice], **body}))


def streamed(*chunks: Any, codec: ChatCodec = OTHER, done: bool = True) -> tuple[list[Delta], Completion]:
    decoder = codec.decoder({})
    deltas: list[Delta] = []
    for chunk in chunks:
        deltas += decoder.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    if done:
        deltas += decoder.feed(b"data: [DONE]\n\n")
    return deltas, decoder.finish()


def piece(delta: dict[str, Any], finish: str | None = None, **body: Any) -> dict[str, Any]:
    return {"id": "a1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **body}


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "arguments",
        "choices",
        "content",
        "delta",
        "error",
        "finish_reason",
        "function",
        "id",
        "index",
        "logprobs",
        "message",
        "name",
        "prompt_tokens",
        "reasoning",
        "reasoning_details",
        "refusal",
        "text",
        "tool_calls",
        "type",
        "usage",
    ]
)
WIRE = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=25,
)
