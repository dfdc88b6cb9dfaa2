"""Characters that a server cut in two.

JSON may write an emoji as two escapes. Servers that cut text by UTF-16 units send each in a message of its own, or only
the first one at the end of an answer; Python then holds surrogates, which can be neither printed nor sent back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from llmrouter.content import data_made_whole, has_half, made_whole
from llmrouter.types import Completion, Delta, Private, Text, ToolCall, ToolCallDelta

_Place: TypeAlias = tuple[type[Delta], int | None]  # texts that grow side by side: answer, reasoning, each tool call


class Halves:
    """Joins what a stream cut in two: a first half waits for the next piece."""

    def __init__(self) -> None:
        self._waiting: dict[_Place, str] = {}

    def joined(self, deltas: Sequence[Delta]) -> Sequence[Delta]:
        """Return the deltas with whole characters only; one that was nothing but a half is left out."""
        if not self._waiting and all(_text(delta).isascii() for delta in deltas):
            return deltas
        return [whole for delta in deltas if (whole := self._joined(delta)) is not None]

    def rest(self) -> Sequence[Delta]:
        """Return what stands for a half of the answer's text whose other half never came."""
        waited = self._waiting.pop((Text, None), "")
        return (Text(made_whole(waited)),) if waited else ()

    def _joined(self, delta: Delta) -> Delta | None:
        place = type(delta), delta.index if isinstance(delta, ToolCallDelta) else None
        given = _text(delta)
        text = self._waiting.pop(place, "") + given
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._waiting[place], text = text[-1], text[:-1]
        whole = made_whole(text)
        if whole == given:
            return delta
        if isinstance(delta, ToolCallDelta):
            return replace(delta, arguments_json=whole)
        return replace(delta, text=whole) if whole else None


def _text(delta: Delta) -> str:
    return delta.arguments_json if isinstance(delta, ToolCallDelta) else delta.text


def whole(completion: Completion) -> Completion:
    """Return the answer with its halves joined, and U+FFFD for one that is alone."""
    message, reasoning, private = completion.message, completion.reasoning, completion.message.private
    content = message.content
    calls = message.tool_calls
    if isinstance(content, str):
        content = made_whole(content)
    else:
        content = tuple(
            replace(part, text=made_whole(part.text)) if isinstance(part, Text) else part for part in content
        )
    if calls:
        calls = tuple(ToolCall(call.id, call.name, made_whole(call.arguments_json)) for call in calls)
    if reasoning is not None:
        reasoning = made_whole(reasoning)
    if has_half([each.data for each in private]):  # it is sent back as it is
        private = tuple(Private(each.origin, data_made_whole(each.data)) for each in private)
    before = message.content, message.tool_calls, message.private, completion.reasoning
    if (content, calls, private, reasoning) == before:
        return completion
    message = replace(message, content=content, tool_calls=calls, private=private)
    return replace(completion, message=message, reasoning=reasoning)
