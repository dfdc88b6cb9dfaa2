"""Ceilings on money: their periods, and what an attempt may cost at most, for `explain` and for reservations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from llmrouter.types import Usage

if TYPE_CHECKING:
    from llmrouter.prices import Price

Per: TypeAlias = Literal["minute", "hour", "day", "week", "month", "total"]

LEASE_BEYOND_S: Final = 60.0
"""How long a reservation outlives the longest that its attempt may take: the lease of a process that was killed."""


PROMPT_MARGIN: Final = 1.1
"""Prompts are counted before they are sent, for most models as an estimate; what is reserved has some room for that."""


class Period(NamedTuple):
    """One calendar period in UTC: its name, and when it ends (Unix seconds; None: never)."""

    name: str
    ends: float | None


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """At most `nano` nano-USD `per` calendar period, in UTC (weeks begin on Monday), for all that share `scope`.

    `scope` is what the money is counted under: `route:summarize`, `provider:openai` or `all`.
    """

    scope: str
    nano: int
    per: Per = "day"
    may_try_next: bool = False

    @property
    def name(self) -> str:
        """What the limit is, for messages."""
        kind, _, name = self.scope.partition(":")
        return f"spend_limit of {kind} {name!r}" if name else "spend_limit of all routes"


def period_of(per: Per, now: float) -> Period:
    """Return the period that `now` (Unix seconds) falls into."""
    moment = datetime.fromtimestamp(now, UTC)
    if per == "total":
        return Period("total", None)
    if per == "minute":
        start = moment.replace(second=0, microsecond=0)
        return Period(f"minute {start:%Y-%m-%dT%H:%M}", _after(start, timedelta(minutes=1)))
    if per == "hour":
        start = moment.replace(minute=0, second=0, microsecond=0)
        return Period(f"hour {start:%Y-%m-%dT%H}", _after(start, timedelta(hours=1)))
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if per == "day":
        return Period(f"day {midnight:%Y-%m-%d}", _after(midnight, timedelta(days=1)))
    if per == "week":
        monday = midnight - timedelta(days=midnight.weekday())
        return Period(f"week {monday:%Y-%m-%d}", _after(monday, timedelta(days=7)))
    first = midnight.replace(day=1)
    return Period(f"month {first:%Y-%m}", (first + timedelta(days=32)).replace(day=1).timestamp())


def _after(start: datetime, length: timedelta) -> float:
    return (start + length).timestamp()


def worst_case_nano(price: Price | None, prompt_tokens: int, output_tokens: int | None) -> int | None:
    """Return the most that one attempt can cost, in nano-USD; None when the price or the output bound is unknown.

    The prompt is billed at its dearest bucket: some providers charge more for writing their prompt cache than for
    reading the prompt plainly. So is the output: thinking may have a price of its own.
    """
    if price is None or (output_tokens is None and price.output):
        return None
    out = output_tokens or 0
    return max(
        price.nano_usd(
            Usage(
                uncached_tokens=prompt_tokens - written,
                cache_write_tokens=written,
                output_tokens=out,
                reasoning_tokens=thought,
            )
        )
        for written in (0, prompt_tokens)
        for thought in (0, out)
    )
