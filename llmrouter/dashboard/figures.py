"""What the page shows, as data for JSON: the ledger added up by time, by route or model, and call by call.

Everything is added up by the same functions as `router.usage()`, so that page and report cannot differ. No prompt, no
answer, no error message and no metadata is in it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from llmrouter.errors import InvalidRequestError, LLMRouterError
from llmrouter.store.ledger_row import Filter, Row
from llmrouter.store.lost import LedgerLostError
from llmrouter.units import usd
from llmrouter.usage import UsageRow, grouping, report

if TYPE_CHECKING:
    from llmrouter.base_router import BaseRouter

RANGES: Final[Mapping[str, float | None]] = {
    "24h": 86_400.0,
    "7d": 7 * 86_400.0,
    "30d": 30 * 86_400.0,
    "90d": 90 * 86_400.0,
    "all": None,
}
STEPS: Final = ("hour", "day", "week")
GROUPS: Final = ("route", "model")
_MOST_STEPS: Final = 400  # more bars than a screen has room for
_MOST_SERIES: Final = 7  # and one for all others: more colours are not told apart
_LAST_CALLS: Final = 25
_OTHERS: Final = "others"


def figures(router: BaseRouter, chosen: str = "7d", step: str = "day", by: str = "route") -> dict[str, Any]:
    """Return everything the page shows of the time `chosen` (a key of RANGES), in bars of one `step`.

    Raises InvalidRequestError for a choice that there is not, and LLMRouterError when the ledger cannot be read.
    """
    for name, value, known in (("range", chosen, RANGES), ("step", step, STEPS), ("by", by, GROUPS)):
        if value not in known:
            raise InvalidRequestError(f"{name}={value!r}: expected one of {', '.join(known)}")
    started, now = time.monotonic(), time.time()
    rows = _rows(router, chosen, step, now)
    grouped = report(rows, by, grouping(by))
    return {
        "at": now,
        "total": _told(grouped.total),
        "groups": sorted(map(_told, grouped.rows), key=lambda group: -group["cost_nano"]),
        "time": _timeline(rows, step, by, now),
        "calls": last_calls(rows),
        "spending": [asdict(each) for each in router.spending()],
        "limits": [asdict(each) for each in router.limits()],
        "breakers": [
            {"target": target, "text": str(state), **asdict(state)} for target, state in router.status().items()
        ],
        "seconds": time.monotonic() - started,
    }


def _rows(router: BaseRouter, chosen: str, step: str, now: float) -> list[Row]:
    """Read the rows of the chosen time, from the start of its first step on."""
    span = RANGES[chosen]
    since = None if span is None else _start(now - span, step).timestamp()
    try:
        return router.ledger.read(Filter(since))
    except LedgerLostError as error:
        raise LLMRouterError(f"the ledger cannot be read: {error.reason}") from error


def _told(row: UsageRow) -> dict[str, Any]:
    return {
        **row.as_dict(),
        "input_tokens": row.input_tokens,
        "cache_saved_usd": usd(row.cache_saved_nano),
        "hit_rate": row.cache_hits / row.calls if row.calls else None,
        "error_rate": row.failed_calls / row.calls if row.calls else None,
    }


# ------------------------------------------------------------------------------------------------ over time


def _timeline(rows: Sequence[Row], step: str, by: str, now: float) -> dict[str, Any]:
    """Add up each step, and in each step each group; steps without a call are there too."""
    starts = _steps(min((row.time for row in rows), default=now), step, now)
    group_of = grouping(by)

    def start_of(row: Row) -> str:
        return str(int(_start(row.time, step).timestamp()))

    steps = {each.key: each for each in report(rows, step, start_of).rows}
    cells = {each.key: each for each in report(rows, step, lambda row: f"{start_of(row)} {group_of(row)}").rows}
    every = [steps.get(str(start), UsageRow("")) for start in starts]
    return {
        "step": step,
        "starts": starts,
        "calls": [each.calls for each in every],
        "failed": [each.failed_calls for each in every],
        "p50_s": [each.p50_s for each in every],
        "p95_s": [each.p95_s for each in every],
        "series": _series(cells, starts),
    }


def _series(cells: Mapping[str, UsageRow], starts: Sequence[int]) -> list[dict[str, Any]]:
    """Return the cost of each group at each step in nano-USD, the dearest first; the cheapest are one series."""
    costs: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for key, cell in cells.items():
        start, _, group = key.partition(" ")
        costs[group][start] = cell.cost_nano
    ranked = sorted(costs, key=lambda group: (-sum(costs[group].values()), group))
    named = [[group] for group in ranked[:_MOST_SERIES]] + [ranked[_MOST_SERIES:]] * (len(ranked) > _MOST_SERIES)
    return [
        {
            "name": groups[0] if len(groups) == 1 else _OTHERS,
            "nano": [sum(costs[group].get(str(start), 0) for group in groups) for start in starts],
        }
        for groups in named
    ]


def _start(moment: float, step: str) -> datetime:
    """Return when the step (UTC; weeks begin on Monday) began that `moment` falls into."""
    at = datetime.fromtimestamp(moment, UTC).replace(minute=0, second=0, microsecond=0)
    if step == "hour":
        return at
    day = at.replace(hour=0)
    return day if step == "day" else day - timedelta(days=day.weekday())


def _steps(first: float, step: str, now: float) -> list[int]:
    length = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}[step]
    start, last = _start(first, step), _start(now, step)
    start = max(start, last - (_MOST_STEPS - 1) * length)
    return [int((start + number * length).timestamp()) for number in range((last - start) // length + 1)]


# ------------------------------------------------------------------------------------------------ call by call


def last_calls(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the calls that ended last, each with its attempts, the newest first."""
    calls: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        calls[row.call].append(row)
    newest = sorted(calls.values(), key=lambda attempts: max(row.time for row in attempts), reverse=True)
    return [_call(sorted(attempts, key=lambda row: row.place)) for attempts in newest[:_LAST_CALLS]]


def _call(attempts: Sequence[Row]) -> dict[str, Any]:
    last = attempts[-1]
    asked = [row for row in attempts if not row.cached]
    unpriced = any(row.cost_nano is None for row in asked)
    return {
        "id": last.call,
        "time": last.time,
        "route": last.route,
        "target": last.target,
        "outcome": "stale" if last.stale else last.outcome,
        "input_tokens": sum(_input(row) for row in asked),
        "output_tokens": sum(row.output_tokens for row in asked),
        "cost_usd": None if unpriced else usd(sum(row.cost_nano or 0 for row in asked)),
        "seconds": sum(row.seconds + row.waited for row in attempts),
        "attempts": [_attempt(row) for row in attempts],
    }


def _attempt(row: Row) -> dict[str, Any]:
    return {
        "target": row.target,
        "outcome": "stale" if row.stale else row.outcome,
        "error": row.error,
        "seconds": row.seconds,
        "waited": row.waited,
        "cost_usd": None if row.cost_nano is None else usd(row.cost_nano),
        "input_tokens": _input(row),
        "output_tokens": row.output_tokens,
    }


def _input(row: Row) -> int:
    return row.uncached_tokens + row.cache_read_tokens + row.cache_write_tokens
