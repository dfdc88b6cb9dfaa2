"""One row of the ledger, and the table that holds it: the same in SQLite and in PostgreSQL."""

from __future__ import annotations

from typing import Final, NamedTuple

TABLE: Final = "llmrouter_attempts"


class Row(NamedTuple):
    """One attempt: a request to one target, or an answer that cost none.

    `number` is the attempt's place in its call, from 0, rungs that were skipped included. `time` is when it was over
    (Unix seconds). `outcome` is ok, failed, cached, abandoned or cancelled; `error` the class of the error. Tokens are
    in the disjoint buckets of `Usage`; for a cached answer, what it took to make it. `cost_nano` is nano-USD, 0 when
    nothing was billed and None when the price is unknown. `saved_nano` is what a cached answer would have cost,
    `prompt_cache_nano` what the provider's prompt cache saved (below 0: its writes cost more than its reads saved);
    both are None when there is nothing to tell, or no price. `tags` is the call's `metadata` as JSON; `process` is
    `host:pid`.
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


# The types are PostgreSQL's; SQLite takes them for INTEGER, REAL and TEXT. The key makes writing a row again harmless.
MIGRATIONS: Final = (
    (
        f"""CREATE TABLE {TABLE} (
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
        )""",
        f"CREATE INDEX {TABLE}_by_time ON {TABLE} (time)",
    ),
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
