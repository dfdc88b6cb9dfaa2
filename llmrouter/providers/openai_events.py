"""The events of OpenAI's streams, of both protocols: JSON objects, and `[DONE]` at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from llmrouter import shape
from llmrouter.errors import MalformedResponseError
from llmrouter.providers.event_decoder import EventDecoder
from llmrouter.providers.failures import excerpt
from llmrouter.providers.sse import ServerEvent
from llmrouter.types import Delta


class JsonEventDecoder(EventDecoder):
    """An EventDecoder that hands a subclass each event as the JSON object in it."""

    def _event(self, event: ServerEvent, deltas: list[Delta]) -> None:
        data = event.data
        if not data or data.isspace():
            return
        if data.startswith("[DONE]"):
            self.ended = True
            return
        try:
            fields = shape.parse(data)
        except (ValueError, RecursionError):
            raise MalformedResponseError(f"a stream event is not JSON: {excerpt(data)}", body=excerpt(data)) from None
        if not isinstance(fields, dict):
            raise MalformedResponseError(f"a stream event is no JSON object: {excerpt(data)}", body=fields)
        self._take(fields, event.name, deltas)

    @abstractmethod
    def _take(self, fields: Mapping[str, Any], name: str, deltas: list[Delta]) -> None:
        """Take in the object of one event called `name`, and append what it adds to `deltas`."""
