"""What was used and paid: the ledger's rows, added up by time, route, model or tag.

Periods are in UTC. Money is added as whole nano-USD, so that the parts always make the total.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from llmrouter.columns import table
from llmrouter.errors import InvalidRequestError, LLMRouterError
from llmrouter.store.ledger_row import OPEN, Filter, Row
from llmrouter.units import duration, show_usd, usd

if TYPE_CHECKING:
    from llmrouter.store.ledger import Ledger

Moment: TypeAlias = "str | float | date | timedelta | None"
"""A moment: a date or datetime (without a zone: UTC), an ISO date as text, Unix seconds, or how long ago ("7d")."""

_BY_TIME: Final[Mapping[str, str]] = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
_BY_FACT: Final[Mapping[str, Callable[[Row], str]]] = {
    "route": lambda row: row.route,
    "target": lambda row: row.target,
    "model": lambda row: row.target.partition("/")[2],
    "provider": lambda row: row.provider,
    "outcome": lambda row: "stale" if row.stale else row.outcome,
}
GROUPS: Final = (*_BY_TIME, *_BY_FACT, "tag:<name>")
_UNTAGGED: Final = "-"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one group of the ledger comes to.

    `calls` are counted where their last attempt is, so that groups add up; `failed_calls` had no answer at their end.
    `attempts` are requests to providers; `absorbed` are those that failed while their call got its answer in the end,
    and `open_attempts` those that are under way, or were when their process was killed: their prompt is estimated.
    Tokens and cost are of the attempts; `cost_nano` (nano-USD) leaves out `unpriced` attempts, whose price is unknown.
    `cache_hits` are answers that cost nothing, and `cache_saved_nano` what they would have cost; `prompt_cache_nano` is
    what the providers' own prompt caches saved (below 0: their writes cost more than their reads saved). `p50_s` and
    `p95_s` are seconds of successful attempts, None without any.
    """

    key: str
    calls: int = 0
    failed_calls: int = 0
    attempts: int = 0
    absorbed: int = 0
    open_attempts: int = 0
    uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    cache_hits: int = 0
    cache_saved_nano: int = 0
    prompt_cache_nano: int = 0
    p50_s: float | None = None
    p95_s: float | None = None

    @property
    def input_tokens(self) -> int:
        """All prompts together."""
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cost_usd(self) -> float:
        """`cost_nano` in USD."""
        return usd(self.cost_nano)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields by name, with `cost_usd`."""
        return {**asdict(self), "cost_usd": self.cost_usd}


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage by group, in order, and its total; `print(report)` shows a table. `since` and `until` are Unix seconds."""

    by: str
    rows: tuple[UsageRow, ...]
    total: UsageRow
    since: float | None = None
    until: float | None = None

    def to_json(self) -> str:
        """Return the report as JSON; money in nano-USD, and the cost in USD beside it."""
        document = {
            "by": self.by,
            "since": self.since,
            "until": self.until,
            "rows": [row.as_dict() for row in self.rows],
            "total": self.total.as_dict(),
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def to_csv(self) -> str:
        """Return the rows as CSV under a header, without the total."""
        out = io.StringIO()
        writer = csv.DictWriter(out, [self.by, *_NAMES[1:], "cost_usd"], lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            fields = row.as_dict()
            writer.writerow({self.by: fields.pop("key"), **fields})
        return out.getvalue()

    @property
    def table(self) -> list[tuple[str, ...]]:
        """The report as text: a header, a row for each group, and the total."""
        header = (
            self.by,
            "calls",
            "failed",
            "attempts",
            "in",
            "cached in",
            "out",
            "cost",
            "hits",
            "saved",
            "p50",
            "p95",
        )
        return [header, *(_cells(row) for row in self.rows), _cells(self.total)]

    @property
    def notes(self) -> list[str]:
        """What the table cannot show."""
        total, found = self.total, []
        if total.unpriced:
            found.append(f"{_plural(total.unpriced, 'attempt')} of unknown price: their cost is not in the table")
        if total.open_attempts:
            found.append(
                f"{_plural(total.open_attempts, 'attempt')} open: under way, or lost with their process; "
                "their prompts are estimated"
            )
        if total.absorbed:
            found.append(f"{_plural(total.absorbed, 'failed attempt')} absorbed: the call got its answer all the same")
        if total.prompt_cache_nano:
            found.append(f"the providers' prompt caches saved {_usd(total.prompt_cache_nano)}")
        return found

    def __str__(self) -> str:
        return "\n".join([table(self.table), *self.notes])


_NAMES: Final = tuple(each.name for each in fields(UsageRow))
_ADDED: Final = _NAMES[1:-2]


def usage_of(
    ledger: Ledger, *, since: Moment = None, until: Moment = None, by: str = "day", **only: str | None
) -> UsageReport:
    """Read a ledger and add it up.

    `only` keeps rows of one `route`, `target`, `provider`, `outcome` or `process`. Raises InvalidRequestError for a
    group or a moment that is none, and LLMRouterError when the ledger cannot be read.
    """
    from llmrouter.store.lost import LedgerLostError

    which = Filter(moment(since), moment(until), **only)
    key_of = grouping(by)
    try:
        rows = ledger.read(which)
    except LedgerLostError as error:
        raise LLMRouterError(f"the ledger cannot be read: {error.reason}") from error
    return report(rows, by, key_of, which)


def report(rows: Sequence[Row], by: str, key_of: Callable[[Row], str], which: Filter = Filter()) -> UsageReport:  # noqa: B008 - a tuple, never changed
    """Add up rows by their keys; groups come in the order of their keys."""
    last = _last_attempts(rows)
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key_of(row)].append(row)
    summed = tuple(_sum(key, groups[key], last) for key in sorted(groups))
    return UsageReport(by, summed, _total(summed, rows), which.since, which.until)


def grouping(by: str) -> Callable[[Row], str]:
    """Return what gives a row its group's key. Raises InvalidRequestError for a group that there is not."""
    pattern, name = _BY_TIME.get(by), by.removeprefix("tag:")
    if pattern is not None:
        return lambda row: datetime.fromtimestamp(row.time, UTC).strftime(pattern)
    if by in _BY_FACT:
        return _BY_FACT[by]
    if name != by and name:
        return lambda row: _tag(row, name)
    raise InvalidRequestError(f"by={by!r}: expected one of {', '.join(GROUPS)}")


def moment(given: Moment) -> float | None:
    """Return a Moment as Unix seconds, None for None. Raises InvalidRequestError."""
    if given is None:
        return None
    if isinstance(given, bool) or (isinstance(given, int | float) and not math.isfinite(given)):
        raise InvalidRequestError(f"{given!r} is not a moment")
    if isinstance(given, int | float):
        return float(given)
    if isinstance(given, timedelta):
        return datetime.now(UTC).timestamp() - given.total_seconds()
    if isinstance(given, str):
        return _read(given)
    whole = given if isinstance(given, datetime) else datetime.combine(given, time())
    return (whole if whole.tzinfo else whole.replace(tzinfo=UTC)).timestamp()


def _read(text: str) -> float:
    try:
        return datetime.now(UTC).timestamp() - duration(text)
    except ValueError:
        pass
    try:
        return moment(datetime.fromisoformat(text)) or 0.0
    except ValueError:
        raise InvalidRequestError(
            f"{text!r} is not a moment; write a date such as 2026-11-20, or how long ago, such as 7d"
        ) from None


def summary_of(ledger: Ledger, process: str, since: float) -> str:
    """Return what one process has used since a moment, in a few lines for the end of a script."""
    used = usage_of(ledger, since=since, by="target", process=process)
    total = used.total
    if not total.calls:
        return "no calls"
    parts = [_plural(total.calls, "call"), f"{total.input_tokens:,} tokens in", f"{total.output_tokens:,} out"]
    parts.append(
        _usd(total.cost_nano)
        + (f" and {_plural(total.unpriced, 'attempt')} of unknown price" if total.unpriced else "")
    )
    if total.cache_hits:
        parts.append(f"{total.cache_hits:,} from the cache saved {_usd(total.cache_saved_nano)}")
    if total.failed_calls:
        parts.append(f"{total.failed_calls:,} failed")
    if total.open_attempts:
        parts.append(f"{total.open_attempts:,} open")
    return "\n".join([" | ".join(parts), *(_line(row) for row in used.rows)])


def _line(row: UsageRow) -> str:
    return f"  {row.key}: {_plural(row.attempts, 'request')}, {_usd(row.cost_nano)}"


def _plural(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


# ------------------------------------------------------------------------------------------------ adding up


def _last_attempts(rows: Iterable[Row]) -> dict[str, Row]:
    """Return each call's last attempt, which says how the call ended."""
    last: dict[str, Row] = {}
    for row in rows:
        known = last.get(row.call)
        if known is None or row.place > known.place:
            last[row.call] = row
    return last


def _sum(key: str, rows: Sequence[Row], last: Mapping[str, Row]) -> UsageRow:
    ended = [row for row in rows if last[row.call] is row]
    asked = [row for row in rows if not row.cached]
    hits = [row for row in rows if row.cached]
    p50_s, p95_s = _latency(rows)
    return UsageRow(
        key=key,
        calls=len(ended),
        failed_calls=sum(row.outcome == "failed" for row in ended),
        attempts=len(asked),
        absorbed=sum(row.outcome == "failed" and last[row.call].outcome in ("ok", "cached") for row in asked),
        open_attempts=sum(row.outcome == OPEN for row in asked),
        uncached_tokens=sum(row.uncached_tokens for row in asked),
        cache_read_tokens=sum(row.cache_read_tokens for row in asked),
        cache_write_tokens=sum(row.cache_write_tokens for row in asked),
        output_tokens=sum(row.output_tokens for row in asked),
        reasoning_tokens=sum(row.reasoning_tokens for row in asked),
        cost_nano=sum(row.cost_nano or 0 for row in asked),
        unpriced=sum(row.cost_nano is None for row in asked),
        cache_hits=len(hits),
        cache_saved_nano=sum(row.saved_nano or 0 for row in hits),
        prompt_cache_nano=sum(row.prompt_cache_nano or 0 for row in asked),
        p50_s=p50_s,
        p95_s=p95_s,
    )


def _total(groups: Sequence[UsageRow], rows: Sequence[Row]) -> UsageRow:
    added = {name: sum(getattr(group, name) for group in groups) for name in _ADDED}
    p50_s, p95_s = _latency(rows)
    return UsageRow("total", **added, p50_s=p50_s, p95_s=p95_s)


def _latency(rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """Return the seconds that half, and all but a twentieth, of the successful attempts took at most."""
    seconds = sorted(row.seconds for row in rows if row.outcome == "ok")
    return _nearest_rank(seconds, 0.50), _nearest_rank(seconds, 0.95)


def _nearest_rank(ordered: Sequence[float], share: float) -> float | None:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _tag(row: Row, name: str) -> str:
    if row.tags is None:
        return _UNTAGGED
    value = json.loads(row.tags).get(name)
    return _UNTAGGED if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------ as text


def _cells(row: UsageRow) -> tuple[str, ...]:
    cost = _usd(row.cost_nano) + ("+?" if row.unpriced else "")
    numbers = (row.calls, row.failed_calls, row.attempts, row.input_tokens, row.cache_read_tokens, row.output_tokens)
    return (
        row.key,
        *(f"{number:,}" for number in numbers),
        cost,
        f"{row.cache_hits:,}",
        _usd(row.cache_saved_nano),
        _seconds(row.p50_s),
        _seconds(row.p95_s),
    )


def _usd(nano: int) -> str:
    return f"-{show_usd(usd(-nano))}" if nano < 0 else show_usd(usd(nano))


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}s"
