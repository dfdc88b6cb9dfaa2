"""The token counts of `Usage` as numbers: added up, and taken from each other, bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from llmrouter.types import Usage

BUCKETS: Final = (
    "uncached_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)


def added(usages: Iterable[Usage]) -> Usage:
    """Return the sum, an estimate where one of them is; what they used of `others` is left out."""
    parts = list(usages)
    counts = {name: sum(getattr(part, name) for part in parts) for name in BUCKETS}
    return Usage(**counts, estimated=any(part.estimated for part in parts))


def less(whole: Usage, part: Usage) -> Usage:
    """Return what is left of `whole` without `part`, never below 0; what they used of `others` is left out."""
    counts = {name: max(0, getattr(whole, name) - getattr(part, name)) for name in BUCKETS}
    return Usage(**counts, estimated=whole.estimated)
