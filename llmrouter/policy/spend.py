"""What an attempt may cost at most, for `explain` and for reservations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmrouter.types import Usage

if TYPE_CHECKING:
    from llmrouter.prices import Price


def worst_case_nano(price: Price | None, prompt_tokens: int, output_tokens: int | None) -> int | None:
    """Return the most that one attempt can cost, in nano-USD; None when the price or the output bound is unknown.

    The prompt is billed at its dearest bucket: some providers charge more for writing their prompt cache than for
    reading the prompt plainly.
    """
    if price is None or (output_tokens is None and price.output):
        return None
    out = output_tokens or 0
    buckets = (
        Usage(uncached_tokens=prompt_tokens, output_tokens=out),
        Usage(cache_write_tokens=prompt_tokens, output_tokens=out),
    )
    return max(price.nano_usd(usage) for usage in buckets)
