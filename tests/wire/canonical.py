"""Two requests that mean the same, written the same way.

Each rule takes away one difference between how we write a body and how another client may write it; its docstring is
the reason why the difference does not matter. What no rule explains is a difference that a test reports, or an entry of
`DIFFERENT` with its own reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

# Differences of single recordings: what is left out of the comparison on both sides, and why.
DIFFERENT: Final[Mapping[str, tuple[str, str]]] = {  # fields (separated by spaces), reason
    "anthropic/refusal-in-content#0": ("disable_parallel_tool_use", "one call at most is `extra`, not a word of ours"),
    "openai/chat-cached-tokens-gpt56#0": ("prompt_cache_breakpoint", "OpenAI caches prefixes unasked; we set no marks"),
    "openai/chat-cached-tokens-gpt56#1": ("prompt_cache_breakpoint", "OpenAI caches prefixes unasked; we set no marks"),
    "openai/chat-json-schema#0": ("description", "a schema's own description stands in the schema"),
    "openai/chat-json-schema#1": ("description", "a schema's own description stands in the schema"),
    "openai/chat-json-schema#2": ("description", "a schema's own description stands in the schema"),
    "gemini/err-500#0": (
        "responseJsonSchema",
        "its root is a $ref and it has a default: Gemini takes neither",
    ),
    "gemini/thinking-stockvcr#0": ("description", "the order of properties is written into the description"),
    "gemini/thinking-stockvcr#1": ("description", "the order of properties is written into the description"),
    "gemini/tool-call-stream-thought-signature#1": ("id", "that client makes an id up; we send none where none came"),
    "openai/resp-stream-phase-tools#1": ("text encrypted_content", "an item is encrypted anew in the last event"),
    "gemini/thinking#1": ("thoughtSignature", "that client moves the signature to the thought; we leave it in place"),
    "gemini/schema#0": ("responseMimeType", "that client leaves it out"),
}


def canonical(body: Any, at: str) -> Any:
    """Return `body` with every rule applied, and without what `DIFFERENT` names for this recording."""
    for rule in _RULES:
        body = rule(body)
    return _without(body, set(DIFFERENT.get(at, ("", ""))[0].split()))


def _without(value: Any, names: set[str]) -> Any:
    """Leave out some keys everywhere, and then whatever is empty."""
    if isinstance(value, dict):
        kept = {name: _without(held, names) for name, held in value.items() if name not in names}
        return {name: held for name, held in kept.items() if held not in (None, "", [], {})}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def _everywhere(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        return change({name: _everywhere(held, change) for name, held in value.items()})
    return [_everywhere(item, change) for item in value] if isinstance(value, list) else value


def _without_defaults(body: Any) -> Any:
    """A missing field, null and an empty one are the same; `stream: false` and closing every object are defaults."""
    return _without({name: held for name, held in body.items() if held is not False}, {"additionalProperties"})


def _without_our_own(body: Any) -> Any:
    """What we add for ourselves: usage in streams, cache marks, stateless Responses, the strictness of schemas."""
    return _without(body, {"stream_options", "cache_control", "store", "include", "strict"})


def _one_limit(body: Any) -> Any:
    """OpenAI's `max_tokens` is the old name of `max_completion_tokens`."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return _without({**body, "max_tokens": limit, "max_completion_tokens": None}, set())


def _parts(body: Any) -> Any:
    """Plain content is one part of text, whatever the protocol calls a part; so is a system prompt."""

    def change(held: dict[str, Any]) -> dict[str, Any]:
        if held.get("type") in ("input_text", "output_text"):
            held = {"type": "text", "text": held["text"]}
        for name in ("content", "system"):
            if isinstance(held.get(name), str) and held[name]:
                held = {**held, name: [{"type": "text", "text": held[name]}]}
        return held

    return _everywhere(body, change)


def _items(body: Any) -> Any:
    """In Responses a plain input is a user's message, and instructions are a system message in front."""
    if "input" not in body:
        return body
    asked = body["input"]
    items = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)
    said = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    # An item's id and state are the server's memory of it, which a stateless request does without.
    plain = [{name: held for name, held in item.items() if name not in ("id", "status")} for item in said + items]
    messages = [{**item, "type": None} if item.get("type") == "message" else item for item in plain]
    return {**body, "input": messages, "instructions": None}


def _decoded_arguments(body: Any) -> Any:
    """Arguments are JSON in a string: its white space says nothing."""

    def change(held: dict[str, Any]) -> dict[str, Any]:
        text = held.get("arguments")
        return {**held, "arguments": json.loads(text or "{}")} if isinstance(text, str) else held

    return _everywhere(body, change)


def _bytes(body: Any) -> Any:
    """Bytes are the same in either alphabet of base64."""

    def change(held: dict[str, Any]) -> dict[str, Any]:
        signature = held.get("thoughtSignature")
        return held if signature is None else {**held, "thoughtSignature": signature.translate(_STANDARD)}

    return _everywhere(body, change)


_STANDARD: Final = str.maketrans("-_", "+/")


def _without_thoughts(body: Any) -> Any:
    """Gemini reads signatures; thoughts without one say nothing to it and would be paid for as input."""

    def change(held: dict[str, Any]) -> dict[str, Any]:
        if "parts" not in held:
            return held
        return {**held, "parts": [part for part in held["parts"] if not part.get("thought")]}

    return _everywhere(body, change)


def _camels(body: Any) -> Any:
    """Google reads `snake_case` as `camelCase`, and its own dialect of schemas beside JSON Schema."""
    if "contents" not in body:
        return body

    def change(held: dict[str, Any]) -> dict[str, Any]:
        held = {re.sub("_([a-z])", lambda found: found[1].upper(), name): value for name, value in held.items()}
        if "responseSchema" in held:
            held["responseJsonSchema"] = held.pop("responseSchema")
        if isinstance(held.get("type"), str):
            held["type"] = held["type"].lower()
        held.pop("propertyOrdering", None)
        return held

    system = body.get("systemInstruction")
    body = {**body, "systemInstruction": {**system, "role": None}} if system else body
    return _everywhere(body, change)


_RULES: Final = (
    _items,
    _parts,
    _decoded_arguments,
    _camels,
    _bytes,
    _without_thoughts,
    _one_limit,
    _without_our_own,
    _without_defaults,
)
