"""How the ceilings of a router stand: what each limit allows, and how much of it is taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from llmrouter.policy.spend import SpendLimit, period_of
from llmrouter.store.spend import Claim
from llmrouter.units import usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmrouter.pipeline.plan import RoutePlan
    from llmrouter.policy.breaker import BreakerState
    from llmrouter.policy.limits import Limiter, Subject
    from llmrouter.store.spend import Book


@dataclass(frozen=True, slots=True)
class SpendStanding:
    """One spend limit now, in USD. `scope` is `route:<name>`, `provider:<name>` or `all`.

    `reserved_usd` is what attempts under way may still cost; `resets_at` is in Unix seconds, None: never.
    """

    scope: str
    per: str
    limit_usd: float
    spent_usd: float
    reserved_usd: float
    resets_at: float | None


@dataclass(frozen=True, slots=True)
class LimitStanding:
    """One limit on pace now: `used` of `most`, counted over the last minute or, for `concurrency`, at this moment."""

    name: str
    kind: Literal["requests_per_minute", "tokens_per_minute", "concurrency"]
    used: int
    most: int


class Watched(Protocol):
    """What of a router can be read at any time, without network."""

    def status(self) -> Mapping[str, BreakerState]:
        """Return the breaker of each target."""
        ...

    def limits(self) -> Sequence[LimitStanding]:
        """Return how the limits on pace stand."""
        ...

    def spending(self) -> Sequence[SpendStanding]:
        """Return how the spend limits stand."""
        ...


def spending_of(plans: Sequence[RoutePlan], book: Book) -> list[SpendStanding]:
    """Return how the spend limits of `plans` stand, each once."""
    now = time.time()
    return [_spending(limit, book, now) for limit in dict.fromkeys(_limits(plans))]


def _limits(plans: Sequence[RoutePlan]) -> Iterator[SpendLimit]:
    for plan in plans:
        yield from plan.spend_limits
        for rung in plan.rungs:
            yield from rung.spend_limits


def _spending(limit: SpendLimit, book: Book, now: float) -> SpendStanding:
    period = period_of(limit.per, now)
    tally = book.tally(Claim(limit.scope, period.name, period.ends, limit.nano), now)
    return SpendStanding(limit.scope, limit.per, usd(limit.nano), usd(tally.spent), usd(tally.reserved), period.ends)


def limits_of(plans: Sequence[RoutePlan], limiter: Limiter) -> list[LimitStanding]:
    """Return how the limits on pace of `plans` stand, each once."""
    now = time.time()
    subjects = dict.fromkeys(subject for plan in plans for rung in plan.rungs for subject in rung.pace.subjects)
    return [each for subject in subjects for each in _limits_of(subject, limiter, now)]


def _limits_of(subject: Subject, limiter: Limiter, now: float) -> Iterator[LimitStanding]:
    requests, tokens, running = limiter.standing(subject, now)
    limits = subject.limits
    if limits.requests_per_minute is not None:
        yield LimitStanding(subject.name, "requests_per_minute", requests, limits.requests_per_minute)
    if limits.tokens_per_minute is not None:
        yield LimitStanding(subject.name, "tokens_per_minute", tokens, limits.tokens_per_minute)
    if limits.concurrency is not None:
        yield LimitStanding(subject.name, "concurrency", running, limits.concurrency)
