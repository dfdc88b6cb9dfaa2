"""The door for messages: what users pass becomes a tuple of `Message`; anything else is refused with its place.

`normalize` reads, `to_dict` writes, and the two are each other's inverse.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from llmrouter.hints import hint
from llmrouter.history import ends_with_prefill, for_origin, safe_tool_ids, without_prefill
from llmrouter.parts import as_mapping, dump_part, invalid, is_part, optional_text, parse_part, text_at, type_name
from llmrouter.types import Document, Image, Message, MessagesLike, Part, Private, Role, Text, ToolCall

__all__ = ["ends_with_prefill", "for_origin", "normalize", "safe_tool_ids", "to_dict", "without_prefill"]

_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_OTHER_ROLES: Final = {"model": "assistant", "ai": "assistant", "bot": "assistant", "human": "user"}
_KEYS: Final = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "is_error", "private", "function_call", "cache_control"}
)
# What SDK objects and chat stores carry beside the message; it means nothing to a provider.
_LEFTOVERS: Final = frozenset(
    {
        "annotations", "audio", "created", "created_at", "finish_reason", "id", "images", "index", "metadata", "model",
        "object", "parsed", "provider_specific_fields", "reasoning", "reasoning_content", "reasoning_details",
        "refusal", "status", "stop_reason", "thinking", "timestamp", "type", "usage",
    }
)  # fmt: skip
_MESSAGE_FORM: Final = "a dict with 'role' and 'content', or a Message"


def normalize(messages: MessagesLike) -> tuple[Message, ...]:
    """Return `messages` as a tuple of Message.

    Takes a string (one user message), one message, or a sequence of messages; a message is a `Message`, an
    OpenAI-style dict, or a pydantic object that dumps to one. Raises InvalidRequestError, which names the place
    (`messages[3].content[1]`) and what is expected there, also when there is no message at all.
    """
    if isinstance(messages, str):
        return (Message("user", messages),)
    if isinstance(messages, Message):
        return (messages,)
    if as_mapping(messages) is not None:
        return (_message(messages, "messages"),)
    several = _several(messages)
    found = tuple([_plain(raw) or _message(raw, f"messages[{index}]") for index, raw in enumerate(several)])
    if not found:
        raise invalid("messages", "the list is empty; at least one message is needed")
    return found


def _several(messages: object) -> Iterable[Any]:
    if isinstance(messages, (bytes, bytearray)) or not isinstance(messages, Iterable):
        raise invalid("messages", f"expected a string, {_MESSAGE_FORM}, or a list of them, got {type_name(messages)}")
    return messages


def _plain(raw: Any) -> Message | None:
    """Read the common form, a dict of role and text alone; None sends everything else the careful way."""
    if type(raw) is dict and len(raw) == 2:
        content, role = raw.get("content"), raw.get("role")
        if type(content) is str and (role == "user" or role == "assistant" or role == "system"):
            return Message(role, content)
    return None


def _message(raw: Any, place: str) -> Message:
    if isinstance(raw, Message):
        return raw
    fields = as_mapping(raw)
    if fields is None:
        hint = "; append its .message" if isinstance(getattr(raw, "message", None), Message) else ""
        raise invalid(place, f"expected {_MESSAGE_FORM}, got {type_name(raw)}{hint}")
    _check_keys(fields, place)
    role = _role(fields, place)
    if role == "assistant":
        return _assistant(fields, place)
    if fields.get("tool_calls") or fields.get("function_call"):
        raise invalid(f"{place}.tool_calls", f"only an assistant message has tool calls, this one's role is {role!r}")
    return _tool_result(fields, place) if role == "tool" else _said(role, fields, place)


def _check_keys(fields: Mapping[str, Any], place: str) -> None:
    for key, value in fields.items():
        if key in _KEYS or key in _LEFTOVERS or value is None:
            continue
        known = ", ".join(sorted(_KEYS))
        raise invalid(place, f"unknown key {key!r}{hint(key, _KEYS) or f' (known: {known})'}")


def _role(fields: Mapping[str, Any], place: str) -> Role:
    given = text_at(fields, "role", place)
    role = _ROLES.get(given)
    if role is None:
        other = _OTHER_ROLES.get(given.lower())
        advice = f"; did you mean {other!r}?" if other else hint(given, _ROLES)
        raise invalid(f"{place}.role", f"unknown role {given!r}{advice} (known: {', '.join(_ROLES)})")
    return role


def _said(role: Role, fields: Mapping[str, Any], place: str) -> Message:
    if fields.get("content") is None:
        raise invalid(place, "needs the key 'content' (a string or a list of parts)")
    if fields.get("tool_call_id") is not None:
        raise invalid(f"{place}.tool_call_id", f"belongs to a message with role 'tool', this one's role is {role!r}")
    return Message(role, _content(fields, place), name=optional_text(fields, "name", place))


def _assistant(fields: Mapping[str, Any], place: str) -> Message:
    if fields.get("tool_call_id") is not None:
        raise invalid(f"{place}.tool_call_id", "belongs to a message with role 'tool', not to an assistant message")
    calls = _tool_calls(fields, place)
    private = _private(fields.get("private"), f"{place}.private")
    content = _content(fields, place)
    if not content and not calls:
        # An SDK's refusal has content None and says why elsewhere; the next turn should still show what was said.
        content = optional_text(fields, "refusal", place) or content
        if "content" not in fields and not private and not content:
            raise invalid(place, "needs the key 'content' or 'tool_calls'")
    return Message("assistant", content, calls, name=optional_text(fields, "name", place), private=private)


def _tool_result(fields: Mapping[str, Any], place: str) -> Message:
    name = optional_text(fields, "name", place)
    answers = optional_text(fields, "tool_call_id", place)
    if fields["role"] == "function" and answers is None:
        answers = name  # the legacy protocol had no ids: call and result are paired by the function's name
    if answers is None:
        raise invalid(place, "a tool result needs the key 'tool_call_id' (the id of the call that it answers)")
    is_error = fields.get("is_error") or False
    if not isinstance(is_error, bool):
        raise invalid(f"{place}.is_error", f"expected a bool, got {type_name(is_error)}")
    return Message("tool", _result_content(fields, place), tool_call_id=answers, name=name, is_error=is_error)


def _content(fields: Mapping[str, Any], place: str) -> str | tuple[Part, ...]:
    content = fields.get("content")
    marked = bool(fields.get("cache_control"))  # a mark on the message means: after its last part
    if isinstance(content, str) and not marked:
        return content
    if content is None:
        return ""
    place = f"{place}.content"
    if isinstance(content, (str, Text, Image, Document, Mapping)):
        parts: tuple[Part, ...] = (parse_part(content, place),)
    elif isinstance(content, Sequence) and not isinstance(content, (bytes, bytearray)):
        parts = tuple([parse_part(part, f"{place}[{index}]") for index, part in enumerate(content)])
    else:
        raise invalid(place, f"expected a string or a list of parts, got {type_name(content)}")
    return (*parts[:-1], replace(parts[-1], cache=True)) if marked and parts else parts


def _result_content(fields: Mapping[str, Any], place: str) -> str | tuple[Part, ...]:
    """Read a tool's result: text and parts as they are, any other JSON value as its JSON text."""
    content = fields.get("content")
    several = isinstance(content, (list, tuple)) and len(content) > 0 and all(is_part(item) for item in content)
    if content is None or isinstance(content, str) or several or is_part(content):
        return _content(fields, place)
    found = as_mapping(content)
    return _json(content if found is None else dict(found), f"{place}.content")


def _tool_calls(fields: Mapping[str, Any], place: str) -> tuple[ToolCall, ...]:
    calls, legacy = fields.get("tool_calls"), as_mapping(fields.get("function_call"))
    if legacy is not None:
        name = text_at(legacy, "name", f"{place}.function_call")
        return (ToolCall(name, name, _arguments(legacy, f"{place}.function_call")),)
    if calls is None:
        return ()
    place = f"{place}.tool_calls"
    if not isinstance(calls, (list, tuple)):
        raise invalid(place, f"expected a list of tool calls, got {type_name(calls)}")
    return tuple([_tool_call(call, f"{place}[{index}]") for index, call in enumerate(calls)])


def _tool_call(raw: Any, place: str) -> ToolCall:
    if isinstance(raw, ToolCall):
        return raw
    fields = as_mapping(raw)
    if fields is None:
        raise invalid(place, f"expected a ToolCall or a dict with 'id' and 'function', got {type_name(raw)}")
    if fields.get("type") not in (None, "function", "function_call"):
        raise invalid(f"{place}.type", f"only 'function' calls are supported, got {fields['type']!r}")
    function = as_mapping(fields.get("function"))
    inner, where = (fields, place) if function is None else (function, f"{place}.function")
    call_id = optional_text(fields, "call_id", place) or text_at(fields, "id", place)
    return ToolCall(call_id, text_at(inner, "name", where), _arguments(inner, where))


def _arguments(fields: Mapping[str, Any], place: str) -> str:
    arguments = fields.get("arguments")
    if arguments is None:
        return "{}"
    if isinstance(arguments, str):
        return arguments
    if not isinstance(arguments, Mapping):
        raise invalid(f"{place}.arguments", f"expected JSON text or a dict, got {type_name(arguments)}")
    return _json(dict(arguments), f"{place}.arguments")


def _json(value: Any, place: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise invalid(place, f"cannot be written as JSON: {error}") from None


def _private(raw: Any, place: str) -> tuple[Private, ...]:
    if not raw:
        return ()
    if not isinstance(raw, (list, tuple)):
        raise invalid(place, f"expected a list of {{'origin': ..., 'data': ...}}, got {type_name(raw)}")
    return tuple([_private_part(item, f"{place}[{index}]") for index, item in enumerate(raw)])


def _private_part(raw: Any, place: str) -> Private:
    if isinstance(raw, Private):
        return raw
    if not isinstance(raw, Mapping) or "data" not in raw:
        raise invalid(place, "expected a dict with 'origin' and 'data'")
    return Private(text_at(raw, "origin", place), raw["data"])


# ------------------------------------------------------------------------------------------------ writing


def to_dict(message: Message) -> dict[str, Any]:
    """Return the message as an OpenAI-style, JSON-able dict; `normalize([to_dict(m)])` gives `m` back.

    Beside OpenAI's keys it has `private` (a list of origin and data) and `is_error` where the message has them.
    """
    found: dict[str, Any] = {"role": message.role, "content": _dump_content(message)}
    if message.tool_calls:
        found["tool_calls"] = [_dump_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        found["name"] = message.name
    if message.is_error:
        found["is_error"] = True
    if message.private:
        found["private"] = [{"origin": private.origin, "data": private.data} for private in message.private]
    return found


def _dump_content(message: Message) -> str | list[dict[str, Any]] | None:
    if isinstance(message.content, str):
        return None if message.tool_calls and not message.content else message.content
    return [dump_part(part) for part in message.content]


def _dump_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
