"""Requests of the Messages API, as the tests of its codec make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.types import (
    Message,
    Params,
    Request,
    Schema,
    Tool,
    ToolCall,
)

CODEC = MessagesCodec("anthropic")
OLD, MIDDLE, NEW = "claude-sonnet-4-5", "claude-opus-4-8", "claude-opus-5-5"
USER = Message("user", "Hello")
ANSWER = Message("assistant", "Hi.")
CALL = Message("assistant", "", (ToolCall("toolu_1", "weather", {"city": "Oslo"}),))
RESULT = Message("tool", "Rain", tool_call_id="toolu_1")
WEATHER = Tool("weather", "Tells the weather", {"type": "object", "properties": {"city": {"type": "string"}}})
DOG = Schema({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
MARK = {"type": "ephemeral"}
EMPTY_PARAMS = Params()


def encoded(
    *messages: Message, model: str = OLD, params: Params = EMPTY_PARAMS, cache: str = "off", **fields: Any
) -> dict[str, Any]:
    return CODEC.encode(Request(model, messages or (USER,), params, prompt_cache=cache, **fields))


def text(content: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": content, **more}


def turn(role: str, *blocks: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}
