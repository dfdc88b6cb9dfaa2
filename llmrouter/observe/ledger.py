"""Money on disk: the ledger is told of each attempt, on the way of every call and so without SQL or waits."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from llmrouter.config.models import LedgerConfig
from llmrouter.errors import ConfigError
from llmrouter.pipeline.spending import SpendGuard
from llmrouter.store.ledger import Ledger, open_ledger
from llmrouter.store.ledger_row import OPEN, Row
from llmrouter.store.opening import open_book
from llmrouter.types import Attempt, Usage
from llmrouter.units import show_usd
from llmrouter.usage import summary_of

if TYPE_CHECKING:
    from pathlib import Path

    from llmrouter.config.loader import Loaded
    from llmrouter.pipeline.call import Call
    from llmrouter.pipeline.observer import Key, UnderWay
    from llmrouter.pipeline.pipeline import Pipeline
    from llmrouter.pipeline.plan import RoutePlan, RungPlan
    from llmrouter.store.spend import Book

_NOTHING: Final = Usage()
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
_JSON: Final = json.JSONEncoder(ensure_ascii=True, default=str)  # ASCII: no text can be refused by a store


class LedgerRecorder:
    """Writes a row for each attempt of each call; rungs that were skipped have none.

    An attempt that lasts has one that is `open` until then.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._host, self._pid = socket.gethostname(), 0
        self._process = ""

    def sent(self, under_way: UnderWay) -> None:
        """See Recorder."""
        self._ledger.begin(under_way.key, under_way.since, partial(self._open_row, under_way))

    def record(self, call: Call, call_id: str, first: int, attempts: Sequence[Attempt], over: Sequence[Key]) -> None:
        """See Recorder."""
        facts = call.plan, call_id, time.time(), _kept(call.options.metadata)  # a tuple: the cheapest to make
        self._ledger.add_made(partial(self._rows, facts, first, attempts), over)

    def _open_row(self, under_way: UnderWay) -> Row:
        """Return the row of an attempt that is under way: what it costs at least."""
        call, target, usage = under_way.call, under_way.target, under_way.usage()
        seconds = time.monotonic() - under_way.since
        attempt = Attempt(target, OPEN, seconds=seconds, usage=usage, cost_nano=_bill(call.plan, target, usage))
        call_id, number = under_way.key
        facts = _Facts(call.plan, call_id, time.time() - seconds, _kept(call.options.metadata))
        return _row(facts, number, attempt, _tags(facts.metadata), self.process)

    def _rows(self, given: _Given, first: int, attempts: Sequence[Attempt]) -> list[Row]:
        """Return the rows of attempts that are over; it is the writing thread that has the time for it."""
        facts = _Facts(*given)
        tags, process = _tags(facts.metadata), self.process
        return [
            _row(facts, number, attempt, tags, process)
            for number, attempt in enumerate(attempts, first)
            if attempt.outcome != "skipped"
        ]

    @property
    def process(self) -> str:
        """The name of this process in the ledger: `host:pid`."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._process = f"{self._host}:{self._pid}"
        return self._process


class Accounts:
    """What a router keeps about money on disk: its ledger, and the tallies of its spend limits."""

    def __init__(self, pipeline: Pipeline, state_url: str | None) -> None:
        self._pipeline, self._state_url = pipeline, state_url  # for good: a reload does not move what is shared
        self._since = time.time()
        self._named: tuple[LedgerConfig | None, Path] | None = None  # what the file said last
        self._ledger: Ledger | None = None
        self._recorder: LedgerRecorder | None = None
        self.book: Book  # what was spent under each limit; there is one even without a ledger
        self._opened: tuple[Book | Ledger, ...] = ()

    @property
    def ledger(self) -> Ledger:
        """The ledger. Raises ConfigError where the file says `ledger: false`."""
        if self._ledger is None:
            raise ConfigError("there is no ledger to read: the file says `ledger: false`")
        return self._ledger

    def summary(self) -> str:
        """Return what this process has used since the router was made."""
        if self._ledger is None or self._recorder is None:
            return f"{show_usd(self._pipeline.books.total_usd)} was spent; `ledger: false` keeps no more than that"
        return summary_of(self._ledger, self._recorder.process, self._since)

    def close(self) -> None:
        """Write what is queued and let go of files and connections; using them again opens them again."""
        for each in self._opened:
            each.close()

    def use(self, loaded: Loaded) -> None:
        """Write to where the file says from now on; nothing is made before the first row. Raises ConfigError."""
        section = loaded.config.ledger
        path = loaded.file((section or LedgerConfig()).path)
        if self._named == (section, path):
            return
        before, pipeline, book = self._opened, self._pipeline, open_book(self._state_url, path.parent)
        url = section.url if section is not None else None
        self._ledger = None if section is None else open_ledger(path, None if url is None else url.reveal())
        self._recorder = None if self._ledger is None else LedgerRecorder(self._ledger)
        self._named = (section, path)
        self.book = book
        self._opened = (book,) if self._ledger is None else (self._ledger, book)
        others = (guard for guard in pipeline.guards if not isinstance(guard, SpendGuard))
        pipeline.recorder = self._recorder
        pipeline.guards = (*others, SpendGuard(book, pipeline.counter))
        for each in before:  # calls under way open it once more, for what they book
            each.close()


_Given: TypeAlias = "tuple[RoutePlan, str, float, Mapping[str, Any] | str | None]"
"""What `_Facts` is made of."""


class _Facts(NamedTuple):
    """What the rows of some attempts have in common."""

    plan: RoutePlan
    call: str
    time: float
    metadata: Mapping[str, Any] | str | None


def _row(facts: _Facts, number: int, attempt: Attempt, tags: str | None, process: str) -> Row:
    usage = attempt.usage or _NOTHING
    error, cached = attempt.error, attempt.outcome == "cached"
    return Row(
        facts.call,
        number,
        facts.time,
        facts.plan.name,
        attempt.target,
        attempt.target.partition("/")[0],
        attempt.outcome,
        None if error is None else type(error).__name__,
        usage.uncached_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        0 if attempt.usage is None else attempt.cost_nano,  # without usage nothing was billed, as far as anybody knows
        _bill(facts.plan, attempt.target, usage) if cached else None,
        None if cached else _prompt_cache_nano(facts.plan, attempt),
        usage.estimated,
        attempt.seconds,
        attempt.waited_s,
        cached,
        cached and attempt.reason == "stale",
        attempt.request_id,
        tags,
        process,
    )


def _prompt_cache_nano(plan: RoutePlan, attempt: Attempt) -> int | None:
    """Return what the provider's prompt cache saved; None when it had no part, or the price is unknown."""
    usage = attempt.usage
    if usage is None or attempt.cost_nano is None or not (usage.cache_read_tokens or usage.cache_write_tokens):
        return None
    plain = replace(
        usage,
        uncached_tokens=usage.input_tokens,
        cache_read_tokens=0,
        cache_write_tokens=0,
        cache_write_1h_tokens=0,
    )
    bill = _bill(plan, attempt.target, plain)
    return None if bill is None else bill - attempt.cost_nano


def _bill(plan: RoutePlan, target: str, usage: Usage) -> int | None:
    rung: RungPlan | None = next((rung for rung in plan.rungs if rung.target == target), None)
    return None if rung is None else rung.bill(usage)


def _kept(metadata: Mapping[str, Any] | None) -> Mapping[str, Any] | str | None:
    """Return metadata as it is now, whatever the caller does to it later: a copy, or JSON where that is too little."""
    if not metadata:
        return None
    copy = dict(metadata)
    return copy if _PLAIN.issuperset(map(type, copy.values())) else _tags(copy)


def _tags(metadata: Mapping[str, Any] | str | None) -> str | None:
    if metadata is None or isinstance(metadata, str):
        return metadata
    try:
        return _JSON.encode(metadata)
    except (TypeError, ValueError):
        return None
