"""What Google reports of the tokens of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter import shape
from llmrouter.types import Usage


def usage_of(body: Any) -> Usage | None:
    """Return the usage that one body reports; None when it reports none."""
    return usage_from(shape.mapping(shape.mapping(body).get("usageMetadata")))


def usage_from(counts: Mapping[str, Any]) -> Usage | None:
    """Read Google's `usageMetadata`, which counts the cached part within the prompt; None when it counts nothing."""
    if not any(name.endswith("TokenCount") for name in counts):
        return None
    prompt = _count(counts, "promptTokenCount") + _count(counts, "toolUsePromptTokenCount")
    cached = min(_count(counts, "cachedContentTokenCount"), prompt)
    thoughts = _count(counts, "thoughtsTokenCount")
    return Usage(
        uncached_tokens=prompt - cached,
        output_tokens=_count(counts, "candidatesTokenCount") + thoughts,
        cache_read_tokens=cached,
        reasoning_tokens=thoughts,
    )


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:  # int64 in protobuf's JSON is a string
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
