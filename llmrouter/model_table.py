"""The built-in table of models: the data of genai-prices, found by our names for providers. No network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

# Kinds whose name differs from the table's; all others are looked up as they are.
_BY_KIND: Final = {"google-generativeai": "google", "vertex": "google", "bedrock": "aws", "xai": "x-ai"}
_OWN_NAMES: Final = frozenset(("openai", "anthropic", "google"))


@dataclass(frozen=True, slots=True)
class Found:
    """A model of the table, and the provider whose price list it is on."""

    provider: Provider
    model: ModelInfo

    def next_change(self, now: datetime) -> datetime | None:
        """Return the next moment after `now` at which another of the model's dated prices may hold."""
        if not isinstance(self.model.prices, list):
            return None
        moments = [moment for price in self.model.prices for moment in _changes(price.constraint, now)]
        return min((moment for moment in moments if moment > now), default=None)


def _changes(constraint: Any, now: datetime) -> list[datetime]:
    if constraint is None:
        return []
    start = getattr(constraint, "start_date", None)
    if start is not None:
        return [datetime.combine(start, time(), UTC)]
    today = now.astimezone(UTC).date()
    edges = [edge if edge.tzinfo else edge.replace(tzinfo=UTC) for edge in (constraint.start_time, constraint.end_time)]
    return [datetime.combine(today + timedelta(days=day), edge) for day in (-1, 0, 1, 2) for edge in edges]


def provider_id(provider: str, kind: str, base_url: str | None = None) -> str | None:
    """Return the table's id for a provider of the file, None when the table has none.

    `openai`, `anthropic` and `google` mean those, whatever proxy or test server their URL names. A preset means its
    vendor, and azure, bedrock and vertex are what they say. `kind: openai` under a name of the user's own, with a URL,
    can be any server: there only a URL that the table knows counts.
    """
    known = _providers()
    if provider in _OWN_NAMES and provider == kind:
        return kind
    if kind == "openai" and base_url is not None:
        return _by_url(base_url)
    listed = _BY_KIND.get(kind, kind)
    if listed in known:
        return listed
    return _by_url(base_url) if base_url is not None else None


def _by_url(base_url: str) -> str | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider(None, None, base_url).id
    except LookupError:
        return None


def find(provider: str, model: str, kind: str, base_url: str | None = None) -> Found | None:
    """Return the table's entry for a model, matched as genai-prices matches names; None when there is none."""
    from genai_prices.data_snapshot import get_snapshot

    name = "litellm" if kind == "litellm" else provider_id(provider, kind, base_url)
    if name is None:
        return None
    try:
        return Found(*get_snapshot().find_provider_model(model, None, name, None))
    except LookupError:
        return None


def models_of(name: str) -> list[Found]:
    """Return all models on the price list of the table's provider `name`, [] when there is no such provider."""
    listed = _providers().get(name)
    return [Found(listed, model) for model in listed.models] if listed is not None else []


@lru_cache(maxsize=1)
def _providers() -> dict[str, Provider]:
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


def table_info(today: date | None = None) -> tuple[str, str]:
    """Return the table's name with its version, and the day its newest price in force began (ISO date, UTC)."""
    from genai_prices import __version__

    until = today or datetime.now(UTC).date()
    days = [
        start
        for provider in _providers().values()
        for model in provider.models
        if isinstance(model.prices, list)
        for price in model.prices
        if isinstance(start := getattr(price.constraint, "start_date", None), date) and start <= until
    ]
    return f"genai-prices {__version__}", max(days).isoformat() if days else "unknown"
