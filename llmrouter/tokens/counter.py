"""Counting the tokens of a prompt: exactly for OpenAI's o200k_base models, by a learned factor for all others.

The count of a chat follows the formula that OpenAI publishes in its cookbook ("How to count tokens with tiktoken"):
three tokens around each message, one more for a name, and the priming of the reply. It holds for text messages, and
agrees with reported usage. Tools, tool calls, images, documents and schemas are rendered by the provider in a form
that is not published; they make a count an estimate (`exact=False`), a little on the high side. The `private` parts
of a message are not counted.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmrouter import forks
from llmrouter.frozen import quickly_made
from llmrouter.tokens import encoding
from llmrouter.tokens.factors import Factors
from llmrouter.tokens.families import Family, family_of
from llmrouter.tokens.media import document_tokens, image_tokens
from llmrouter.types import Document, Image, Message, Part, Schema, Text, TokenCount, Tool

_PER_MESSAGE: Final = 3 + 1  # the role is one token, whichever it is
_PER_NAME: Final = 1
_PER_TOOL_CALL: Final = 11
# The cookbook's figures for the tools of gpt-4o and later.
_PER_TOOL: Final = 7 + 12
_PER_PROPERTIES: Final = 3
_PER_PROPERTY: Final = 3
_PER_ENUM: Final = -3
_PER_ENUM_ITEM: Final = 3

_MOST_BYTES: Final = 4  # of a character in UTF-8
_ENTRY_BYTES: Final = 150  # what a cache entry costs beside its text, roughly


@quickly_made
@dataclass(frozen=True, slots=True)
class Measured:
    """A count before and after the model's factor. `counted` is what `TokenCounter.learn` wants back."""

    counted: int
    tokens: int
    exact: bool


class TokenCounter:
    """Counts prompts; one per Router, shared by threads.

    `factors` holds what was learned (None: in memory only). Counts of texts are cached, up to `cache_bytes` of memory,
    so that a growing conversation is not counted anew at each turn.
    """

    def __init__(self, factors: Factors | None = None, *, cache_bytes: int = 4 << 20) -> None:
        self.factors = factors if factors is not None else Factors()
        self._cache: OrderedDict[str, int] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._used = 0
        self._lock = forks.lock()

    def count_text(self, text: str) -> int:
        """Return the o200k_base tokens of `text`. Never raises."""
        if not text:
            return 0
        known = self.known(text)
        if known is not None:
            return known
        tokens = encoding.count(text)
        self._remember(text, tokens)
        return tokens

    def known(self, text: str) -> int | None:
        """Return what `count_text` found for `text` before; None when it has to be counted."""
        with self._lock:
            known = self._cache.get(text)
            if known is not None:
                self._cache.move_to_end(text)
            return known

    def _remember(self, text: str, tokens: int) -> None:
        size = _weight(text)
        if size > self._cache_bytes:
            return
        with self._lock:
            if text not in self._cache:
                self._cache[text] = tokens
                self._used += size
            while self._used > self._cache_bytes:
                oldest, _ = self._cache.popitem(last=False)
                self._used -= _weight(oldest)

    def count(
        self, target: str, messages: Sequence[Message], tools: Sequence[Tool] = (), schema: Schema | None = None
    ) -> TokenCount:
        """Return the tokens that `target` (`provider/model`) will see as its prompt, and whether that is exact."""
        measured = self.measure(target, messages, tools, schema)
        return TokenCount(measured.tokens, measured.exact)

    def measure(
        self, target: str, messages: Sequence[Message], tools: Sequence[Tool] = (), schema: Schema | None = None
    ) -> Measured:
        """Count as `count` does, and keep the number before the factor for `learn`."""
        family = family_of(target)
        exact = family.exact and not tools and schema is None and all(map(_is_plain, messages))
        counted = family.priming + sum(self._message(message, target, family) for message in messages)
        if tools:
            counted += family.tools + sum(self._tool(tool, family) for tool in tools)
        if schema is not None:
            counted += family.schema + self.count_text(_compact(schema.json))
        return Measured(counted, counted if exact else self.factors.estimate(target, counted), exact)

    def surely_within(
        self, target: str, messages: Sequence[Message], tools: Sequence[Tool], schema: Schema | None, bound: int
    ) -> bool:
        """Return whether a prompt has at most `bound` tokens, told from its length alone: no token is without a byte.

        False: only counting it can tell.
        """
        if tools or schema is not None:
            return False
        family = family_of(target)
        most = family.priming
        for message in messages:
            text = message.content
            if not isinstance(text, str) or message.tool_calls or message.name is not None:
                return False
            most += _PER_MESSAGE + (len(text) if text.isascii() else _MOST_BYTES * len(text))
        return (most if family.exact else self.factors.estimate(target, most)) <= bound

    def wants(self, target: str) -> bool:
        """Whether to count even what surely fits, only to `learn` from it: not where counts are exact anyway."""
        return not family_of(target).exact and self.factors.due(target)

    def learn(self, target: str, counted: int, reported: int) -> None:
        """Take in what the provider reported (`usage.input_tokens`) for a prompt measured as `counted`; O(1)."""
        self.factors.learn(target, counted, reported)

    def _message(self, message: Message, target: str, family: Family) -> int:
        tokens = _PER_MESSAGE
        if message.name is not None:
            tokens += _PER_NAME + self.count_text(message.name)
        if isinstance(message.content, str):
            tokens += self.count_text(message.content)
        else:
            tokens += sum(self._part(part, target, family) for part in message.content)
        for call in message.tool_calls:
            tokens += _PER_TOOL_CALL + self.count_text(call.name) + self.count_text(call.arguments_json)
        return tokens

    def _part(self, part: Part, target: str, family: Family) -> int:
        if isinstance(part, Text):
            return self.count_text(part.text)
        if isinstance(part, Image):
            return image_tokens(part, target.rpartition("/")[2].lower(), family)
        if part.data is not None and (part.media_type or "").startswith("text/"):
            return self.count_text(_decoded(part))
        return document_tokens(part)

    def _tool(self, tool: Tool, family: Family) -> int:
        """Count a tool: by the cookbook's formula for OpenAI, the rest as JSON; for others all as JSON."""
        if family.maker != "openai":
            described = {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            return _PER_TOOL_CALL + self.count_text(_compact(described))
        tokens = _PER_TOOL + self.count_text(f"{tool.name}:{tool.description.rstrip('.')}")
        properties = tool.parameters.get("properties") or {}
        if properties:
            tokens += _PER_PROPERTIES + sum(self._property(name, schema) for name, schema in properties.items())
        return tokens

    def _property(self, name: str, schema: Any) -> int:
        if not isinstance(schema, Mapping):
            return _PER_PROPERTY + self.count_text(f"{name}:{schema}")
        description = str(schema.get("description", "")).rstrip(".")
        tokens = _PER_PROPERTY + self.count_text(f"{name}:{schema.get('type', '')}:{description}")
        items = schema.get("enum") or ()
        if items:
            tokens += _PER_ENUM + sum(_PER_ENUM_ITEM + self.count_text(str(item)) for item in items)
        rest = {key: value for key, value in schema.items() if key not in ("type", "description", "enum")}
        return tokens + (self.count_text(_compact(rest)) if rest else 0)


def _weight(text: str) -> int:
    return sys.getsizeof(text) + _ENTRY_BYTES


def _is_plain(message: Message) -> bool:
    """Whether the published formula covers the message: text of the system, the user or the assistant."""
    if message.tool_calls or message.role == "tool":
        return False
    return isinstance(message.content, str) or all(isinstance(part, Text) for part in message.content)


def _compact(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"), default=dict)


def _decoded(document: Document) -> str:
    from base64 import b64decode

    return b64decode((document.data or "") + "==").decode("utf-8", "replace")
