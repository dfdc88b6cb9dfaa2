"""What a request costs. Prices come from the route, then the file, then the table that genai-prices carries.

Money is exact: rates are integers of atto-USD (1e-18) per token, a bill is an integer of nano-USD (1e-9). The table's
own structures are converted once, when a target is resolved; after that a bill is integer arithmetic. No network, ever:
the table is the one installed, and `model_table.table_info()` says how old it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from llmrouter.types import EMPTY, Usage

if TYPE_CHECKING:
    from llmrouter.model_table import Found

_ATTO_PER_TOKEN: Final = 10**12  # one USD per million tokens, in atto-USD per token
_ATTO_PER_NANO: Final = 10**9

# Endpoints on the user's own machine cost nothing by definition, unless the file says otherwise.
LOCAL_KINDS: Final = frozenset(("python", "ollama", "vllm", "lmstudio"))


@dataclass(frozen=True, slots=True)
class Rates:
    """Atto-USD per token for each bucket of `Usage`; all are known, the fallbacks of `rates` having been applied."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one target.

    `base` holds for prompts up to the first tier. `tiers` are (tokens, rates) in rising order: a prompt of more input
    tokens than that is billed at those rates as a whole. `request` is atto-USD for each request. `source` says where
    the price comes from, `until` when the table's price changes next (None: no date is known), so resolve it again
    then.
    """

    base: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    request: int = 0
    source: str = "file"
    until: datetime | None = None

    def nano_usd(self, usage: Usage) -> int:
        """Return the bill for `usage` in nano-USD: each bucket at its rate, the total rounded half to even.

        Of `usage.others` nothing is billed here; `PriceTable.cost` does that.
        """
        rates = self.base
        if self.tiers:
            prompt = usage.input_tokens
            for above, tier in self.tiers:
                if prompt > above:
                    rates = tier
        hour = usage.cache_write_1h_tokens
        atto = (
            usage.uncached_tokens * rates.input
            + (usage.output_tokens - usage.reasoning_tokens) * rates.output
            + usage.reasoning_tokens * rates.reasoning
            + usage.cache_read_tokens * rates.cache_read
            + (usage.cache_write_tokens - hour) * rates.cache_write
            + hour * rates.cache_write_1h
            + self.request
        )
        nano, rest = divmod(atto, _ATTO_PER_NANO)
        half = _ATTO_PER_NANO // 2
        return nano + (rest > half or (rest == half and nano & 1))

    @property
    def input(self) -> Decimal:
        """USD per million input tokens."""
        return Decimal(self.base.input) / _ATTO_PER_TOKEN

    @property
    def output(self) -> Decimal:
        """USD per million output tokens."""
        return Decimal(self.base.output) / _ATTO_PER_TOKEN

    @property
    def cache_read(self) -> Decimal:
        """USD per million input tokens read from the provider's prompt cache."""
        return Decimal(self.base.cache_read) / _ATTO_PER_TOKEN

    @property
    def cache_write(self) -> Decimal:
        """USD per million input tokens written to the provider's prompt cache."""
        return Decimal(self.base.cache_write) / _ATTO_PER_TOKEN


FREE: Final = Price(Rates(0, 0, 0, 0, 0, 0), source="local")


def _atto(usd_per_million: Any) -> int:
    exact = Decimal(str(usd_per_million)) * _ATTO_PER_TOKEN
    return int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))


def rates(model: str, usd: Mapping[str, Any]) -> Rates:
    """Make the rates of `model` from USD per million tokens by bucket; a bucket may be missing or None.

    Missing `input` or `output` is not billed (an embedding model has no output). Cached reads and cache writes without
    a price of their own are billed as input. Writes that live an hour cost twice the input on Claude, as Anthropic
    publishes, and the same as other writes elsewhere. Reasoning is billed as output.
    """
    given = {bucket: _atto(price) for bucket, price in usd.items() if price is not None}
    plain = given.get("input", 0)
    output = given.get("output", 0)
    write = given.get("cache_write", plain)
    hour = 2 * plain if "claude" in model.lower() else write
    return Rates(
        input=plain,
        output=output,
        cache_read=given.get("cache_read", plain),
        cache_write=write,
        cache_write_1h=given.get("cache_write_1h", hour),
        reasoning=given.get("reasoning", output),
    )


class PriceTable:
    """Resolves targets to prices. `prices` is the file's `prices:`, by target or `*`-pattern; thread-safe, no state."""

    def __init__(self, prices: Mapping[str, Any] = EMPTY) -> None:
        self._file = prices

    def resolve(
        self,
        target: str,
        *,
        kind: str,
        base_url: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        now: datetime | None = None,
    ) -> Price | None:
        """Return the price of `target` at `now` (None: this moment), or None when it is unknown (never 0 for that).

        `overrides` is the route's `prices:`, which wins over the file's; in both an exact target wins over a pattern
        and a longer pattern over a shorter. An entry is a mapping or an object with `input`, `output`, `cache_read`,
        `cache_write`, `cache_write_1h`, `reasoning` in USD per million tokens. With both `input` and `output` it stands
        alone; without, it is laid over the built-in price, and `input` alone is enough where there is none.
        Then come local kinds, which are free, and the built-in table, asked for the provider by its name, its kind or
        its URL (see `model_table.provider_id`).
        """
        for source, prices in (("route", overrides), ("file", self._file)):
            entry = _entry(prices, target) if prices else None
            if entry is not None:
                return self._given(target, entry, source, kind, base_url, now)
        return _built_in(target, kind, base_url, now)

    def _given(
        self, target: str, entry: Any, source: str, kind: str, base_url: str | None, now: datetime | None
    ) -> Price | None:
        names = [field.name for field in fields(Rates)]
        usd = entry if isinstance(entry, Mapping) else {name: getattr(entry, name, None) for name in names}
        given = {name: usd[name] for name in names if usd.get(name) is not None}
        if "input" in given and "output" in given:
            return Price(rates(target, given), source=source)
        table = _built_in(target, kind, base_url, now)
        if table is not None:
            return _over(table, {name: _atto(price) for name, price in given.items()}, source)
        return Price(rates(target, given), source=source) if "input" in given else None

    def cost(
        self,
        target: str,
        usage: Usage,
        price: Price | None,
        *,
        kind: str,
        base_url: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        now: datetime | None = None,
    ) -> int | None:
        """Return the bill in nano-USD for `usage` of `target` at its resolved `price`, `usage.others` included.

        Further models are resolved beside the target, at the same provider. None when any price is unknown.
        """
        if price is None:
            return None
        total = price.nano_usd(usage)
        provider = target.partition("/")[0]
        for model, part in usage.others:
            other = f"{provider}/{model}"
            asked = self.resolve(other, kind=kind, base_url=base_url, overrides=overrides, now=now)
            bill = self.cost(other, part, asked, kind=kind, base_url=base_url, overrides=overrides, now=now)
            if bill is None:
                return None
            total += bill
        return total


def _entry(prices: Mapping[str, Any], target: str) -> Any:
    if target in prices:
        return prices[target]
    matching = [pattern for pattern in prices if "*" in pattern and fnmatchcase(target, pattern)]
    return prices[max(matching, key=len)] if matching else None


def _over(table: Price, atto: Mapping[str, int], source: str) -> Price:
    """Lay single rates over all tiers of the table's price."""
    tiers = tuple((above, replace(tier, **atto)) for above, tier in table.tiers)
    return replace(table, base=replace(table.base, **atto), tiers=tiers, source=source)


# ------------------------------------------------------------------------------------------------ the built-in table


def _built_in(target: str, kind: str, base_url: str | None, now: datetime | None) -> Price | None:
    if kind in LOCAL_KINDS:
        return FREE
    from llmrouter.model_table import find

    provider, _, model = target.partition("/")
    found = find(provider, model, kind, base_url)
    return table_price(found, model, now or datetime.now(UTC)) if found is not None else None


_TABLE_KEYS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}


def table_price(found: Found, model: str, now: datetime) -> Price | None:
    """Convert a model of the table. None when it is not billed by tokens (but by the hour, the picture, the page)."""
    prices = found.model.get_prices(now)
    usd = {bucket: getattr(prices, key) for bucket, key in _TABLE_KEYS.items()}
    if usd["input"] is None and usd["output"] is None:
        return None
    starts = {tier.start for price in usd.values() for tier in getattr(price, "tiers", ())}
    tiers = tuple((start, rates(model, {b: _at(p, start + 1) for b, p in usd.items()})) for start in sorted(starts))
    request = _at(prices.requests_kcount, 0) or 0
    return Price(
        base=rates(model, {bucket: _at(price, 0) for bucket, price in usd.items()}),
        tiers=tiers,
        request=_atto(request) * 10**3,
        source="genai-prices",
        until=found.next_change(now),
    )


def _at(price: Any, prompt: int) -> Decimal | None:
    """Return the price that holds for a prompt of so many input tokens."""
    if price is None or isinstance(price, Decimal):
        return price
    holding: Decimal = price.base
    for tier in price.tiers:
        if prompt > tier.start:
            holding = tier.price
    return holding
