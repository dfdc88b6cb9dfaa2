"""Cached answers as JSON bytes. What cannot be read, whatever the reason, is a miss and not an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar, get_args

from llmrouter import shape
from llmrouter.buckets import BUCKETS
from llmrouter.errors import LLMRouterError
from llmrouter.types import (
    Completion,
    Document,
    FinishReason,
    Image,
    Message,
    Part,
    Private,
    Role,
    Text,
    ToolCall,
    Usage,
)

T = TypeVar("T")

VERSION: Final = 1
_ROLES: Final = frozenset(get_args(Role))
_FINISH_REASONS: Final = frozenset(get_args(FinishReason))
_PARTS: Final[Mapping[str, type[Part]]] = {"text": Text, "image": Image, "document": Document}
_PART_NAMES: Final = {cls: name for name, cls in _PARTS.items()}
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump(completion: Completion) -> bytes:
    """Return `completion` as JSON. Tuples inside `raw`, `logprobs` and private data come back as lists.

    Raises TypeError or ValueError when one of these three is not plain JSON: such an answer cannot be cached.
    """
    data = {
        "v": VERSION,
        "message": _dump_message(completion.message),
        "finish_reason": completion.finish_reason,
        "provider_finish_reason": completion.provider_finish_reason,
        "model": completion.model,
        "usage": None if completion.usage is None else _dump_usage(completion.usage),
        "reasoning": completion.reasoning,
        "logprobs": completion.logprobs,
        "request_id": completion.request_id,
        "raw": completion.raw,
    }
    return _encode(data).encode("utf-8", "surrogatepass")


def load(data: bytes) -> Completion | None:
    """Return the answer that `dump` wrote, or None when `data` is anything else or of another version."""
    try:
        found = shape.parse(data)
        if type(found) is not dict or found.get("v") != VERSION:
            return None
        return _load_completion(found)
    except (ValueError, TypeError, KeyError, RecursionError, LLMRouterError):
        return None


def _dump_message(message: Message) -> dict[str, Any]:
    content = message.content
    return {
        "role": message.role,
        "content": content if isinstance(content, str) else [_dump_part(part) for part in content],
        "tool_calls": [[call.id, call.name, call.arguments_json] for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        "is_error": message.is_error,
        "private": [[private.origin, private.data] for private in message.private],
    }


def _dump_part(part: Part) -> dict[str, Any]:
    return {"type": _PART_NAMES[type(part)], **{name: getattr(part, name) for name in part.__slots__}}


def _dump_usage(usage: Usage) -> dict[str, Any]:
    return {
        **{name: getattr(usage, name) for name in BUCKETS},
        "estimated": usage.estimated,
        "others": [[model, _dump_usage(other)] for model, other in usage.others],
    }


def _load_completion(data: dict[str, Any]) -> Completion:
    return Completion(
        message=_load_message(_of(dict, data["message"])),
        finish_reason=_one_of(_FINISH_REASONS, data["finish_reason"]),
        provider_finish_reason=_optional(str, data["provider_finish_reason"]),
        model=_of(str, data["model"]),
        usage=None if data["usage"] is None else _load_usage(_of(dict, data["usage"])),
        reasoning=_optional(str, data["reasoning"]),
        logprobs=data["logprobs"],
        request_id=_optional(str, data["request_id"]),
        raw=data["raw"],
    )


def _load_message(data: dict[str, Any]) -> Message:
    content, calls, private = data["content"], _of(list, data["tool_calls"]), _of(list, data["private"])
    return Message(
        role=_one_of(_ROLES, data["role"]),
        content=content if isinstance(content, str) else tuple([_load_part(part) for part in _of(list, content)]),
        tool_calls=tuple([ToolCall(*_texts(call, 3)) for call in calls]) if calls else (),
        tool_call_id=_optional(str, data["tool_call_id"]),
        name=_optional(str, data["name"]),
        is_error=_of(bool, data["is_error"]),
        private=tuple([Private(_of(str, origin), value) for origin, value in private]) if private else (),
    )


def _load_part(data: dict[str, Any]) -> Part:
    fields = dict(data)
    cls = _PARTS[_of(str, fields.pop("type"))]
    for name, value in fields.items():
        _of(bool, value) if name == "cache" else _optional(str, value)
    return cls(**fields)


def _load_usage(data: dict[str, Any]) -> Usage:
    counts, others = {name: data[name] for name in BUCKETS}, _of(list, data["others"])
    if set(map(type, counts.values())) != {int}:  # exact: true is no int
        raise TypeError(f"expected whole numbers, found {counts}")
    return Usage(
        **counts,
        estimated=_of(bool, data["estimated"]),
        others=tuple([(_of(str, model), _load_usage(_of(dict, other))) for model, other in others]) if others else (),
    )


def _of(kind: type[T], value: Any) -> T:
    if type(value) is not kind:  # exact: true is no int
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def _texts(values: Any, number: int) -> list[str]:
    if len(_of(list, values)) != number:
        raise ValueError(f"expected {number} texts, found {values!r}")
    return [_of(str, value) for value in values]


def _optional(kind: type[T], value: Any) -> T | None:
    return None if value is None else _of(kind, value)


def _one_of(allowed: frozenset[str], value: Any) -> Any:
    if value not in allowed:
        raise ValueError(f"unknown value {value!r}")
    return value
