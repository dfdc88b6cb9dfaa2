"""What a call would do: each rung's target, tokens, worst-case time and money, and whether the cache has an answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from llmrouter.columns import table
from llmrouter.errors import LLMRouterError
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.plan import RungPlan
from llmrouter.pipeline.rung import Prepared, lacking, prepare
from llmrouter.policy.breaker import BreakerState
from llmrouter.policy.deadline import Deadline
from llmrouter.policy.spend import worst_case_nano
from llmrouter.types import TokenCount, Trim
from llmrouter.units import show_usd

if TYPE_CHECKING:
    from llmrouter.pipeline.pipeline import Pipeline

_HEADER: Final[tuple[str, ...]] = ("#", "target", "tokens", "attempts", "worst time", "worst cost", "cache", "note")


@dataclass(frozen=True, slots=True)
class PlanRung:
    """One rung of a Plan.

    `reason` says why it is not `usable`, None if it is. `tokens` is the prompt as it would be sent, `trim` what the
    token budget would remove (None: nothing). `worst_seconds` is the longest that this rung can hold the call, its
    waits included; `worst_usd` the most that its attempts can cost, None when a price or the output's bound is unknown.
    `cache_key` is None without a cache; `cache_hit` whether a fresh answer is there. `breaker` is the target's.
    """

    target: str
    usable: bool
    reason: str | None = None
    tokens: TokenCount | None = None
    trim: Trim | None = None
    attempts: int = 0
    worst_seconds: float = 0.0
    worst_usd: float | None = None
    cache_key: str | None = None
    cache_hit: bool = False
    breaker: BreakerState = field(default_factory=BreakerState)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call to a route would do; `print(plan)` shows it as a table.

    `worst_seconds` is bounded by the deadline; `worst_usd` is the sum of the rungs', None when one is unknown.
    """

    route: str
    rungs: tuple[PlanRung, ...]
    deadline_s: float
    worst_seconds: float
    worst_usd: float | None

    @property
    def title(self) -> str:
        """The route and its worst case, in one line."""
        worst = f"worst case {self.worst_seconds:.1f}s and {show_usd(self.worst_usd)}"
        return f"route {self.route}: deadline {self.deadline_s:g}s, {worst}"

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table as text: a header, then a row for each rung."""
        return [_HEADER, *(_row(number, rung) for number, rung in enumerate(self.rungs, 1))]

    def __str__(self) -> str:
        return f"{self.title}\n{table(self.rows)}"


def explain(pipeline: Pipeline, call: Call) -> Plan:
    """Return what `call` would do. Nothing is sent and no socket is opened; the cache is read, never written."""
    usable = sum(lacking(call, rung) is None for rung in call.plan.rungs)
    deadline, now = Deadline(call.deadline_s), 0.0  # a clock that starts at 0 and runs through the worst case
    rungs = []
    for rung in call.plan.rungs:
        planned = _rung(pipeline, call, rung)
        if planned.usable:
            held = _worst_seconds(call, rung, deadline, now, usable)
            now, usable = now + held, usable - 1
            planned = replace(planned, worst_seconds=held)
        rungs.append(planned)
    asked = [rung for rung in rungs if rung.usable]
    costs = [rung.worst_usd for rung in asked]
    worst_usd = None if None in costs else sum(cost for cost in costs if cost is not None)
    return Plan(call.plan.name, tuple(rungs), call.deadline_s, min(now, call.deadline_s), worst_usd)


def _rung(pipeline: Pipeline, call: Call, rung: RungPlan) -> PlanRung:
    reason = lacking(call, rung)
    try:
        prepared = prepare(call, rung, pipeline.counter)
    except LLMRouterError as error:
        return PlanRung(rung.target, usable=False, reason=reason or str(error))
    tokens = pipeline.counter.count(rung.target, prepared.request.messages, call.tools, call.schema)
    entry = pipeline.cache.get(prepared.key) if prepared.key is not None else None
    attempts = rung.schedule.attempts
    return PlanRung(
        target=rung.target,
        usable=reason is None,
        reason=reason,
        tokens=tokens,
        trim=prepared.trim,
        attempts=attempts,
        worst_usd=_worst_usd(prepared, tokens.tokens, attempts),
        cache_key=prepared.key,
        cache_hit=entry is not None and entry.fresh,
        breaker=pipeline.traffic.breaker.state(rung.circuit, time.time()),
    )


def _worst_usd(prepared: Prepared, tokens: int, attempts: int) -> float | None:
    output = prepared.request.params.max_tokens or prepared.rung.max_output
    nano = worst_case_nano(prepared.rung.price, tokens, output)
    return None if nano is None else nano * attempts / 1e9


def _worst_seconds(call: Call, rung: RungPlan, deadline: Deadline, now: float, rungs_left: int) -> float:
    """Return how long the rung can hold the call when every attempt fails at its very end and is retried."""
    start, limit_s = now, call.timeouts(rung).attempt
    for number in range(1, rung.schedule.attempts + 1):
        attempt_s = deadline.attempt_s(now, limit_s, rungs_left)
        if attempt_s is None:
            break
        now += attempt_s
        wait_s = rung.schedule.longest_wait_s(number)
        if number == rung.schedule.attempts or wait_s > deadline.share_s(now, rungs_left):
            break
        now += wait_s
    return now - start


def _row(number: int, rung: PlanRung) -> tuple[str, ...]:
    if rung.tokens is None:
        return str(number), rung.target, "", "", "", "", "", rung.reason or ""
    tokens = f"{rung.tokens.tokens}" if rung.tokens.exact else f"~{rung.tokens.tokens}"
    cache = "-" if rung.cache_key is None else "hit" if rung.cache_hit else "miss"
    notes = [rung.reason] if rung.reason else []
    if rung.breaker.phase != "closed" or rung.breaker.not_before_s:
        notes.append(f"breaker {rung.breaker}")
    if rung.trim is not None:
        notes.append(f"trimmed from {rung.trim.tokens_before} tokens")
    times = (str(rung.attempts), f"{rung.worst_seconds:.1f}s") if rung.usable else ("0", "0.0s")
    cost = show_usd(rung.worst_usd) if rung.usable else "$0.00"
    return str(number), rung.target, tokens, *times, cost, cache, "; ".join(notes)
