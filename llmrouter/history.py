"""History made fit for one provider: private parts, tool call ids, and a trailing assistant message.

Pure functions over tuples of Message; each returns its argument itself when there is nothing to change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from llmrouter.types import Message, ToolCall

_CONTINUE: Final = (
    "Your last message was cut off. Continue it from exactly where it ends: repeat nothing of it, "
    "and write nothing before or after the continuation."
)


def for_origin(messages: tuple[Message, ...], origin: str) -> tuple[Message, ...]:
    """Return the history as the provider `origin` may see it.

    Private parts of other origins are left out, and with them an assistant message that had nothing else.
    """
    if not any(message.private for message in messages):
        return messages
    seen = (_seen_by(origin, message) for message in messages)
    return tuple(message for message in seen if message is not None)


def _seen_by(origin: str, message: Message) -> Message | None:
    kept = tuple(private for private in message.private if private.origin == origin)
    if len(kept) == len(message.private):
        return message
    if not (kept or message.content or message.tool_calls):
        return None
    return replace(message, private=kept)


def safe_tool_ids(
    messages: tuple[Message, ...], pattern: str = "[a-zA-Z0-9_-]+", max_length: int = 64
) -> tuple[Message, ...]:
    """Return the history with every tool call id in the provider's form, in calls and results alike.

    An id that does not match `pattern` as a whole, or is longer than `max_length`, becomes a hash of itself: lower-case
    hexadecimal digits, `max_length` of them but at most 24, the same in every call so that prompt caches still hit.
    """
    used = dict.fromkeys(_tool_ids(messages))
    if not used:
        return messages
    safe = re.compile(pattern)
    unsafe = [given for given in used if len(given) > max_length or not safe.fullmatch(given)]
    if not unsafe:
        return messages
    renamed = _renamed(unsafe, set(used), min(max_length, 24))
    return tuple([_with_ids(message, renamed) for message in messages])


def _tool_ids(messages: tuple[Message, ...]) -> Iterable[str]:
    for message in messages:
        if message.tool_call_id is not None:
            yield message.tool_call_id
        for call in message.tool_calls:
            yield call.id


def _renamed(unsafe: list[str], taken: set[str], length: int) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for given in unsafe:
        candidate = given
        while candidate in taken:
            candidate = hashlib.sha256(candidate.encode("utf-8", "surrogatepass")).hexdigest()[:length]
        taken.add(candidate)
        renamed[given] = candidate
    return renamed


def _with_ids(message: Message, renamed: dict[str, str]) -> Message:
    answers = message.tool_call_id
    if answers is not None:
        return replace(message, tool_call_id=renamed.get(answers, answers))
    if not any(call.id in renamed for call in message.tool_calls):
        return message
    calls = (ToolCall(renamed.get(call.id, call.id), call.name, call.arguments_json) for call in message.tool_calls)
    return replace(message, tool_calls=tuple(calls))


def ends_with_prefill(messages: tuple[Message, ...]) -> bool:
    """Tell whether the last message is the beginning of the answer: an assistant's text without tool calls."""
    if not messages:
        return False
    last = messages[-1]
    return last.role == "assistant" and bool(last.content) and not last.tool_calls


def without_prefill(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the history for a model that refuses to continue an assistant message.

    The message stays, as the model's own words, and a user message asks to continue it from where it ends. The answer
    is still the continuation alone, as it is for a model that takes a prefill.
    """
    return (*messages, Message("user", _CONTINUE)) if ends_with_prefill(messages) else messages
