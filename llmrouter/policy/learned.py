"""What providers say of their own limits in the headers of each answer, and what follows for the next request.

The numbers already contain what other processes used, so each process keeps what it was told itself, in memory.
Providers refill steadily: between two answers the room grows in a straight line to the limit at the reset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from llmrouter import forks

LONGEST_S: Final = 120.0  # a reset further away is a quota of a day or a month, and no reason to wait
_MOST_KEYS: Final = 4096

_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of one limit: `remaining` now, all of `limit` (None: unknown) again after `reset_s` seconds."""

    remaining: float
    reset_s: float
    limit: float | None = None

    def wait_s(self, need: float, elapsed_s: float) -> float:
        """Return the seconds until there is room for `need`, `elapsed_s` after this was said."""
        left_s = self.reset_s - elapsed_s
        if need <= self.remaining or left_s <= 0:
            return 0.0
        if self.limit is None or self.limit <= self.remaining or need >= self.limit:
            return left_s
        share = (need - self.remaining) / (self.limit - self.remaining)
        return max(0.0, share * self.reset_s - elapsed_s)


@dataclass(frozen=True, slots=True)
class Observed:
    """The limits that one answer told of; None for what it did not mention."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


def from_headers(headers: Mapping[str, str], now: float) -> Observed | None:
    """Read OpenAI's `x-ratelimit-*` or Anthropic's `anthropic-ratelimit-*`; None where neither is there.

    Header names are lower case. `now` is the wall clock, for resets given as a date where the answer has no date
    itself. What cannot be read is left out.
    """
    if "anthropic-ratelimit-requests-remaining" in headers or "anthropic-ratelimit-tokens-remaining" in headers:
        said_at = _date(headers.get("date"), now)
        requests, tokens = (_anthropic(headers, what, said_at) for what in ("requests", "tokens"))
    elif "x-ratelimit-remaining-requests" in headers or "x-ratelimit-remaining-tokens" in headers:
        requests, tokens = (_openai(headers, what) for what in ("requests", "tokens"))
    else:
        return None
    return Observed(requests, tokens) if requests or tokens else None


def _anthropic(headers: Mapping[str, str], what: str, said_at: float) -> Allowance | None:
    name = f"anthropic-ratelimit-{what}-"
    remaining, limit = _number(headers.get(name + "remaining")), _number(headers.get(name + "limit"))
    try:
        reset_s = datetime.fromisoformat(headers.get(name + "reset", "")).timestamp() - said_at
    except (ValueError, OverflowError):
        return None
    return _allowance(remaining, reset_s, limit)


def _openai(headers: Mapping[str, str], what: str) -> Allowance | None:
    text = headers.get(f"x-ratelimit-reset-{what}", "")
    remaining, limit = (_number(headers.get(f"x-ratelimit-{part}-{what}")) for part in ("remaining", "limit"))
    reset_s = _seconds(text)
    if reset_s is not None and f"x-ratelimit-renewalperiod-{what}" in headers and _number(text) is not None:
        reset_s /= 1000  # Azure, which also says how long its period is, gives plain milliseconds
    return _allowance(remaining, reset_s, limit)


def _allowance(remaining: float | None, reset_s: float | None, limit: float | None) -> Allowance | None:
    if remaining is None or reset_s is None or remaining < 0:
        return None
    return Allowance(remaining, max(0.0, reset_s), limit)


def _number(text: str | None) -> float | None:
    """Return a plain number that is not too large to be meant, or None."""
    if text is None or not re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text.strip(), re.ASCII):
        return None
    return float(text)


def _seconds(text: str) -> float | None:
    """Read `6m0s`, `1.2s`, `12ms` or a plain number; None for anything else."""
    text = text.strip()
    plain = _number(text)
    if plain is not None:
        return plain
    found = _DURATION.fullmatch(text) if text and len(text) <= 40 else None
    if found is None or not text.isascii():
        return None
    return sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS, strict=True) if part)


def _date(text: str | None, otherwise: float) -> float:
    if text is None:
        return otherwise
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return otherwise


class Learned:
    """The latest word of each provider about its limits, by key (a target). Threads may share it."""

    def __init__(self) -> None:
        self._lock = forks.lock()
        self._latest: dict[str, tuple[Observed, float]] = {}

    def observe(self, key: str, headers: Mapping[str, str], now: float) -> None:
        """Take note of the headers of an answer."""
        observed = from_headers(headers, now)
        if observed is None:
            return
        with self._lock:
            if len(self._latest) >= _MOST_KEYS:
                self._latest.clear()
            self._latest[key] = (observed, now)

    def wait_s(self, key: str, tokens: int, now: float) -> float:
        """Return the seconds until the provider has room for a request of `tokens`, as far as it told; 0: now."""
        latest = self._latest.get(key)
        if latest is None:
            return 0.0
        observed, at = latest
        waits = [
            allowance.wait_s(need, max(0.0, now - at))
            for allowance, need in ((observed.requests, 1), (observed.tokens, tokens))
            if allowance is not None and allowance.reset_s <= LONGEST_S
        ]
        return max(waits, default=0.0)

    def sent(self, key: str, tokens: int) -> None:
        """Count a request that is on its way, until the next answer says what is left."""
        with self._lock:
            latest = self._latest.get(key)
            if latest is None:
                return
            observed, at = latest
            left = Observed(_less(observed.requests, 1), _less(observed.tokens, tokens))
            self._latest[key] = (left, at)


def _less(allowance: Allowance | None, used: int) -> Allowance | None:
    return None if allowance is None else replace(allowance, remaining=max(0.0, allowance.remaining - used))
