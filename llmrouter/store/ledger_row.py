"""One row of the ledger, and the tables that hold it: the same in SQLite and in PostgreSQL.

Attempts that are over are in one table, which nothing is ever taken from. Those that are under way are in another, and
leave it in the transaction that adds them to the first: whoever sums up either, or both, counts no attempt twice.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

TABLE: Final = "llmrouter_attempts"
UNDER_WAY: Final = "llmrouter_under_way"
OPEN: Final = "open"

Key: TypeAlias = tuple[str, int]
"""What tells the rows of one table apart: the call, and the number."""


class Row(NamedTuple):
    """One attempt: a request to one target, or an answer that cost none.

    `number` is the attempt's place in its call, from 0, rungs that were skipped included. `time` is when it was over
    (Unix seconds). `outcome` is ok, failed, cached, abandoned, cancelled or open; `error` the class of the error.
    Tokens are in the disjoint buckets of `Usage`; for a cached answer, what it took to make it. `cost_nano` is
    nano-USD, 0 when nothing was billed and None when the price is unknown. `saved_nano` is what a cached answer would
    have cost, `prompt_cache_nano` what the provider's prompt cache saved (below 0: its writes cost more than its reads
    saved); both are None when there is nothing to tell, or no price. `tags` is the call's `metadata` as JSON; `process`
    is `host:pid`.

    An attempt that is `open` is under way, or was when its process was killed. Then `number` counts the requests of the
    call, from 0, `time` is when it was sent, `seconds` how long before this row was made, and tokens and cost are those
    of the prompt, estimated.
    """

    call: str
    number: int
    time: float
    route: str
    target: str
    provider: str
    outcome: str
    error: str | None
    uncached_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nano: int | None
    saved_nano: int | None
    prompt_cache_nano: int | None
    estimated: bool
    seconds: float
    waited: float
    cached: bool
    stale: bool
    request_id: str | None
    tags: str | None
    process: str

    @property
    def place(self) -> tuple[bool, int]:
        """Where it stands in its call: what is under way comes after all that is over."""
        return self.outcome == OPEN, self.number


# The types are PostgreSQL's; SQLite takes them for INTEGER, REAL and TEXT. The key makes writing a row again harmless.
_COLUMNS: Final = """
    call TEXT NOT NULL,
    number INTEGER NOT NULL,
    time DOUBLE PRECISION NOT NULL,
    route TEXT NOT NULL,
    target TEXT NOT NULL,
    provider TEXT NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    uncached_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nano BIGINT,
    saved_nano BIGINT,
    prompt_cache_nano BIGINT,
    estimated BOOLEAN NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    waited DOUBLE PRECISION NOT NULL,
    cached BOOLEAN NOT NULL,
    stale BOOLEAN NOT NULL,
    request_id TEXT,
    tags TEXT,
    process TEXT NOT NULL,
    PRIMARY KEY (call, number)
"""
MIGRATIONS: Final = (
    (f"CREATE TABLE {TABLE} ({_COLUMNS})", f"CREATE INDEX {TABLE}_by_time ON {TABLE} (time)"),
    (f"CREATE TABLE {UNDER_WAY} ({_COLUMNS})",),
)

COLUMNS: Final = ", ".join(Row._fields)


class Filter(NamedTuple):
    """Which rows to read: `since` <= time < `until` (Unix seconds), and columns with one value. None: all."""

    since: float | None = None
    until: float | None = None
    route: str | None = None
    target: str | None = None
    provider: str | None = None
    outcome: str | None = None
    process: str | None = None

    def where(self) -> tuple[str, dict[str, str | float]]:
        """Return a WHERE clause with named parameters (`:since`), and their values."""
        values = {name: value for name, value in self._asdict().items() if value is not None}
        compared = {"since": "time >= :since", "until": "time < :until"}
        terms = [compared.get(name, f"{name} = :{name}") for name in values]
        return f" WHERE {' AND '.join(terms)}" if terms else "", values
