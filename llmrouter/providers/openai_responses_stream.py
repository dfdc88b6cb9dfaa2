"""A Responses stream: typed events to deltas, and the last event to the whole answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from llmrouter import shape
from llmrouter.errors import StreamInterruptedError
from llmrouter.providers.failures import lower
from llmrouter.providers.openai_chat_answer import arguments_text
from llmrouter.providers.openai_errors import failure, request_id
from llmrouter.providers.openai_events import JsonEventDecoder
from llmrouter.providers.openai_responses_answer import completion_of, is_call, tool_call, usage_of
from llmrouter.types import Completion, Delta, Reasoning, Text, ToolCallDelta, Usage

_Fields: TypeAlias = Mapping[str, Any]
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class ResponsesStreamDecoder(JsonEventDecoder):
    """Decodes one stream."""

    def __init__(self, name: str, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._name, self._headers = name, lower(headers)
        self._said: list[str] = []
        self._thought = False
        self._items: dict[int, dict[str, Any]] = {}  # finished items by their place in the output
        self._calls: dict[int, int] = {}  # a call's place in the output -> its place among the calls
        self._filled: set[int] = set()  # calls whose arguments have come, by their place in the output
        self._response: dict[str, Any] = {}  # the newest snapshot of the response
        self._over = False  # whether that snapshot is the final one

    def _completion(self) -> Completion:
        if not self._over:
            found = request_id(self._headers, self._response)
            error = StreamInterruptedError("the stream ended before its last event", request_id=found)
            error.partial = "".join(self._said)
            raise error
        body = self._response
        if not body.get("output") and self._items:  # some servers leave the items out of the last event
            body = {**body, "output": [self._items[place] for place in sorted(self._items)]}
        return completion_of(body, self._headers, self._name)

    def usage_so_far(self) -> Usage | None:
        """Return the usage reported until now."""
        return usage_of(self._response)

    def _take(self, fields: _Fields, name: str, deltas: list[Delta]) -> None:
        kind = fields.get("type")
        kind = kind if isinstance(kind, str) else name
        if kind == "error" or (fields.get("error") and not kind.startswith("response.")):
            raise failure(None, self._headers, fields)
        response = fields.get("response")
        if isinstance(response, dict):
            self._response = response
        if kind in _TERMINAL:
            self._over = self.ended = True
            if kind == "response.failed":
                raise failure(None, self._headers, self._response)
        read = _READERS.get(kind)
        if read is not None:
            read(self, fields, deltas)

    def _text(self, fields: _Fields, deltas: list[Delta]) -> None:
        text = shape.text(fields.get("delta"))
        if text:
            self._said.append(text)
            deltas.append(Text(text))

    def _reasoning(self, fields: _Fields, deltas: list[Delta]) -> None:
        thought = shape.text(fields.get("delta"))
        if thought:
            self._thought = True
            deltas.append(Reasoning(thought))

    def _reasoning_part(self, _fields: _Fields, deltas: list[Delta]) -> None:
        if self._thought:
            deltas.append(Reasoning("\n\n"))

    def _item_added(self, fields: _Fields, deltas: list[Delta]) -> None:
        item, place = shape.mapping(fields.get("item")), fields.get("output_index")
        if isinstance(place, int) and is_call(item) and place not in self._calls:
            self._calls[place] = index = len(self._calls)
            call = tool_call(item, index, shape.text(self._response.get("id")))
            if call.arguments_json:
                self._filled.add(place)
            deltas.append(ToolCallDelta(index, call.id, call.name, call.arguments_json))

    def _arguments(self, fields: _Fields, deltas: list[Delta]) -> None:
        place, piece = fields.get("output_index"), shape.text(fields.get("delta"))
        if isinstance(place, int) and place in self._calls and piece:
            self._filled.add(place)
            deltas.append(ToolCallDelta(self._calls[place], arguments_json=piece))

    def _item_done(self, fields: _Fields, deltas: list[Delta]) -> None:
        item, place = fields.get("item"), fields.get("output_index")
        if not isinstance(item, dict) or not isinstance(place, int):
            return
        self._items[place] = item
        self._item_added(fields, deltas)  # where it was not announced
        if place in self._calls and place not in self._filled:  # where its arguments came in one piece
            whole = arguments_text(item.get("arguments", item.get("input")))
            if whole:
                deltas.append(ToolCallDelta(self._calls[place], arguments_json=whole))


_READERS: Final[Mapping[str, Callable[[ResponsesStreamDecoder, _Fields, list[Delta]], None]]] = {
    "response.output_text.delta": ResponsesStreamDecoder._text,
    "response.refusal.delta": ResponsesStreamDecoder._text,
    "response.reasoning_summary_text.delta": ResponsesStreamDecoder._reasoning,
    "response.reasoning_text.delta": ResponsesStreamDecoder._reasoning,
    "response.reasoning_summary_part.added": ResponsesStreamDecoder._reasoning_part,
    "response.output_item.added": ResponsesStreamDecoder._item_added,
    "response.function_call_arguments.delta": ResponsesStreamDecoder._arguments,
    "response.custom_tool_call_input.delta": ResponsesStreamDecoder._arguments,
    "response.output_item.done": ResponsesStreamDecoder._item_done,
}
