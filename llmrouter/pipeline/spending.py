"""The guard of money: reserves the worst case before an attempt, and books what it came to."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from llmrouter.errors import BudgetExceededError
from llmrouter.policy.spend import LEASE_BEYOND_S, PROMPT_MARGIN, SpendLimit, period_of, worst_case_nano
from llmrouter.store.spend import Claim, Refused
from llmrouter.units import show_usd, usd

if TYPE_CHECKING:
    from llmrouter.pipeline.call import Call
    from llmrouter.pipeline.guard import Result, Settle
    from llmrouter.pipeline.rung import Ready
    from llmrouter.store.spend import Book, Tally
    from llmrouter.tokens.counter import TokenCounter


class SpendGuard:
    """Keeps attempts within the spend limits of their route, their provider and the file."""

    def __init__(self, book: Book, counter: TokenCounter) -> None:
        self._book, self._counter = book, counter

    def admit(self, call: Call, prepared: Ready, now: float, *, last_resort: bool) -> Settle | None:
        """Reserve the most that the attempt can cost. Raises BudgetExceededError; see Guard."""
        del now, last_resort  # periods are of the calendar; a ceiling holds for the last rung too
        limits = (*call.plan.spend_limits, *prepared.rung.spend_limits)
        if not limits:
            return None
        nano = self._worst_nano(prepared, limits)
        if not nano:
            return None  # it costs nothing, on a model of one's own
        wall = time.time()
        claims = [_claim(limit, wall) for limit in limits]
        lasts_s = max(prepared.timeouts.attempt, prepared.timeouts.total)
        reserved = self._book.reserve(claims, nano, lasts_s + LEASE_BEYOND_S, wall)
        if isinstance(reserved, Refused):
            raise _exceeded(limits[reserved.claim], claims[reserved.claim], reserved.tally, nano)
        return partial(self._settle, reserved, claims, nano)

    def _settle(self, reservation: str, claims: Sequence[Claim], reserved: int, result: Result) -> None:
        """Book what the attempt cost; a failure that was not billed costs nothing."""
        cost = 0 if result.usage is None else reserved if result.cost_nano is None else result.cost_nano
        self._book.settle(reservation, claims, cost)

    def _worst_nano(self, prepared: Ready, limits: Sequence[SpendLimit]) -> int:
        rung = prepared.rung
        output = prepared.output_bound()
        if output is None:
            output = rung.window  # no answer is longer than the model's whole window
        prompt = math.ceil(prepared.prompt_tokens(self._counter) * PROMPT_MARGIN)
        nano = worst_case_nano(rung.price, prompt, output)
        if nano is not None:
            return nano
        lacks, advice = (
            ("price is unknown", "give it one under `prices:`")
            if rung.price is None
            else ("longest answer is unknown", "set `max_tokens`")
        )
        raise _refusal(limits[0], f"{rung.target} may not be asked within the {limits[0].name}: its {lacks}; {advice}")


def _claim(limit: SpendLimit, now: float) -> Claim:
    period = period_of(limit.per, now)
    return Claim(limit.scope, period.name, period.ends, limit.nano)


def _exceeded(limit: SpendLimit, claim: Claim, tally: Tally, nano: int) -> BudgetExceededError:
    resets = "it never resets" if claim.ends is None else f"it resets at {_moment(claim.ends)}"
    per = "in total" if limit.per == "total" else f"a {limit.per}"
    error = _refusal(
        limit,
        f"{limit.name}, {_usd(limit.nano)} {per}: {_usd(tally.spent)} is spent, {_usd(tally.reserved)} is reserved by "
        f"attempts under way, and this attempt may cost up to {_usd(nano)}; {resets}",
    )
    error.spent_usd, error.reserved_usd, error.resets_at = usd(tally.spent), usd(tally.reserved), claim.ends
    return error


def _refusal(limit: SpendLimit, message: str) -> BudgetExceededError:
    error = BudgetExceededError(message)
    error.limit_usd, error.may_try_next = usd(limit.nano), limit.may_try_next
    return error


def _usd(nano: int) -> str:
    return show_usd(usd(nano))


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
