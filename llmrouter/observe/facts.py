"""What spans and metrics say of a call that is over, so that both say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmrouter.buckets import added

if TYPE_CHECKING:
    from llmrouter.pipeline.observer import Ended
    from llmrouter.types import Attempt, Usage


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a call: the place of its rung in the chain, from 1 (0: unknown), and why it was made.

    `reason` is first, retry or fallback; for an answer that cost nothing cache, stale or shared; for a rung that was
    skipped, why.
    """

    attempt: Attempt
    rung: int
    reason: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A call that is over, as spans and metrics want it.

    `target` is who answered, or was asked last (`-` when nobody was), and `rung` its place in the chain, as in `Try`.
    """

    end: Ended
    tries: tuple[Try, ...]
    target: str
    rung: int

    @classmethod
    def of(cls, end: Ended) -> Digest:
        """Return the digest of a call that an observer was told of."""
        tries = tuple(_tries(end))
        asked = [each for each in tries if each.attempt.outcome != "skipped"]
        target = end.response.target if end.response is not None else asked[-1].attempt.target if asked else "-"
        return cls(end, tries, target, _rung(end, target))

    @property
    def model(self) -> str:
        """The model of `target`; where nobody was asked, that of the first rung."""
        target = self.end.call.plan.rungs[0].target if self.target == "-" else self.target
        return target.partition("/")[2]

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return sum(each.attempt.outcome not in ("skipped", "cached") for each in self.tries)

    @property
    def cost_usd(self) -> float | None:
        """What all attempts cost; None when the price of one that was billed is unknown."""
        billed = [each.attempt for each in self.tries if each.attempt.usage is not None]
        nano = [attempt.cost_nano for attempt in billed]
        return None if None in nano else sum(cost for cost in nano if cost is not None) / 1e9


def tokens_of(digest: Digest) -> Usage:
    """Return what all requests of a call used together."""
    attempts = [each.attempt for each in digest.tries if each.attempt.outcome != "cached"]
    return added(attempt.usage for attempt in attempts if attempt.usage is not None)


def _tries(end: Ended) -> Iterator[Try]:
    before: str | None = None
    for attempt in end.attempts:
        if attempt.outcome == "skipped":
            reason = attempt.reason or ""
        elif attempt.outcome == "cached":
            reason = attempt.reason or "cache"
        else:
            reason = "first" if before is None else "retry" if before == attempt.target else "fallback"
            before = attempt.target
        yield Try(attempt, _rung(end, attempt.target), reason)


def _rung(end: Ended, target: str) -> int:
    places = (place for place, rung in enumerate(end.call.plan.rungs, 1) if rung.target == target)
    return next(places, 0)
