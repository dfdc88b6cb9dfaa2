"""What there is to choose from: models with their windows, prices and capabilities. Read from package data, no network.

Windows and prices come from the built-in table (genai-prices), prices in the file over them; capabilities from
`data/capabilities.yaml`, which names a source and a date for each family.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, TypeVar

from llmrouter.parts import invalid
from llmrouter.prices import Price, PriceTable
from llmrouter.units import amount, count

Budget: TypeAlias = Literal["low", "medium", "high"]
NumberT = TypeVar("NumberT", int, Decimal)

CAPABILITIES: Final = frozenset(
    (
        "tools",
        "images",
        "documents",
        "schema",
        "reasoning",
        "embeddings",
        "temperature",
        "temperature_without_reasoning",
    )
)
_GEMINI_API: Final = frozenset(("google", "google-generativeai"))  # the table has Vertex's Claude models under google
_THIRDS: Final[Mapping[str, int]] = MappingProxyType({"low": 1, "medium": 2, "high": 3})


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of one model.

    `context_window` and `max_output_tokens` are tokens, None when unknown, as is `price`. `capabilities` is everything
    the model can do (a subset of CAPABILITIES), None when nothing is known of it: then nothing is held against it.
    `deprecated`: its maker no longer serves it, or is about to stop.
    """

    target: str
    provider: str
    model: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    capabilities: frozenset[str] | None = None
    deprecated: bool = False

    def lacks(self, needs: Iterable[str]) -> frozenset[str]:
        """Return those of `needs` that the model is known to lack."""
        return frozenset() if self.capabilities is None else frozenset(needs) - self.capabilities


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the catalogue must know of a provider of the file: its kind, and its URL if the file gives one."""

    kind: str
    base_url: str | None = None


BUILT_IN: Final[Mapping[str, Endpoint]] = MappingProxyType(
    {name: Endpoint(name) for name in ("openai", "anthropic", "google")}
)


class Catalogue:
    """The models of a set of providers (by the file's names), priced by the file's table. Immutable, thread-safe."""

    def __init__(self, providers: Mapping[str, Endpoint] = BUILT_IN, prices: PriceTable | None = None) -> None:
        self._providers = providers
        self._prices = prices if prices is not None else PriceTable()

    @property
    def providers(self) -> Collection[str]:
        """The names of the providers whose models are listed."""
        return self._providers.keys()

    def models(self, provider: str | None = None) -> list[ModelInfo]:
        """List the models of one provider, or of all, as far as the built-in table has them; sorted by target.

        Only models that are billed by tokens are listed. A provider that the table does not have (a local server)
        gives an empty list. Raises KeyError for a name that is no provider.
        """
        from llmrouter.model_table import models_of, provider_id

        names = self._providers if provider is None else (provider,)
        now = datetime.now(UTC)
        found = []
        for name in names:
            endpoint = self._providers[name]
            listed = provider_id(name, endpoint.kind, endpoint.base_url)
            ids = [entry.model.id for entry in models_of(listed or "") if not entry.model.id.endswith("-")]  # a pattern
            if endpoint.kind in _GEMINI_API:
                ids = [model for model in ids if "claude" not in model]
            targets = (f"{name}/{model}" for model in ids)
            found += [info for target in targets if (info := self.model_info(target, now=now)).price is not None]
        return sorted(found, key=lambda info: info.target)

    def model_info(self, target: str, *, now: datetime | None = None) -> ModelInfo:
        """Return what is known of `target`; fields are None where nothing is. Never raises for an unknown model."""
        from llmrouter.model_table import find

        provider, _, model = target.partition("/")
        endpoint = self._providers.get(provider, Endpoint(provider))
        price = self._prices.resolve(target, kind=endpoint.kind, base_url=endpoint.base_url, now=now)
        entry = find(provider, model, endpoint.kind, endpoint.base_url)
        family = _family(model)
        return ModelInfo(
            target=target,
            provider=provider,
            model=model,
            context_window=entry.model.context_window if entry is not None else None,
            max_output_tokens=family.max_output if family is not None else None,
            price=price,
            capabilities=family.has if family is not None else None,
            deprecated=bool((entry and entry.model.deprecated) or (family and family.retired)),
        )

    def recommend(
        self,
        needs: Iterable[str] = (),
        budget: Budget | None = None,
        max_input_price: float | None = None,
        min_context: int | str | None = None,
        usable_providers: Collection[str] | None = None,
    ) -> list[ModelInfo]:
        """List models that are known to fit, the cheapest first.

        `needs` are words of CAPABILITIES that a model must be known to have. `max_input_price` is USD per million
        tokens, `min_context` tokens. `budget` `low` keeps the cheapest third of what fits, `medium` two thirds, `high`
        (and None) all. `usable_providers` leaves out all others (None: none). Deprecated models are left out.
        Cheap is the price of three input tokens and one output token. Raises InvalidRequestError, which is a
        ValueError, for an unknown need or budget, and for what is no price or no count.
        """
        wanted = _known_needs(needs)
        if budget is not None and budget not in _THIRDS:
            raise invalid("budget", f"unknown budget {budget!r}: use low, medium or high")
        dearest = _parsed("max_input_price", amount, max_input_price)
        smallest = _parsed("min_context", count, min_context)
        names = [name for name in self._providers if usable_providers is None or name in usable_providers]
        fitting = [
            info
            for name in names
            for info in self.models(name)
            if _can(info, wanted)
            and (dearest is None or _input_price(info) <= dearest)
            and (smallest is None or (info.context_window or 0) >= smallest)
        ]
        fitting.sort(key=lambda info: (_blend(info), info.target))
        return fitting[: -(-len(fitting) * _THIRDS[budget or "high"] // 3)]


def _known_needs(needs: Iterable[str]) -> frozenset[str]:
    wanted = frozenset((needs,) if isinstance(needs, str) else needs)
    if unknown := wanted - CAPABILITIES:
        raise invalid("needs", f"unknown need {', '.join(sorted(unknown))}: use {', '.join(sorted(CAPABILITIES))}")
    return wanted


def _parsed(place: str, parse: Callable[[object], NumberT], value: object) -> NumberT | None:
    try:
        return None if value is None else parse(value)
    except ValueError as error:
        raise invalid(place, str(error)) from None


def _can(info: ModelInfo, wanted: frozenset[str]) -> bool:
    """Whether the model has all that is wanted, and answers in text where nothing says that vectors are wanted."""
    if info.deprecated or info.capabilities is None:
        return False
    return wanted <= info.capabilities and ("embeddings" in wanted or _answers(info.capabilities))


def _answers(capabilities: frozenset[str]) -> bool:
    return bool(capabilities - {"embeddings"})


def _input_price(info: ModelInfo) -> Decimal:
    return info.price.input if info.price is not None else Decimal("Infinity")


def _blend(info: ModelInfo) -> Decimal:
    """Return what models are compared by: the price of three input tokens and one output token."""
    return 3 * info.price.input + info.price.output if info.price is not None else Decimal("Infinity")


# ------------------------------------------------------------------------------------------------ capabilities


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the capabilities file."""

    pattern: re.Pattern[str]
    has: frozenset[str]
    max_output: int | None
    retired: bool
    source: str
    date: str


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """Return the rows of the capabilities file, in its order."""
    import yaml

    text = files("llmrouter").joinpath("data/capabilities.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it is there, takes a tenth of the time
    rows: list[dict[str, Any]] = yaml.load(text, Loader=loader)["families"]  # noqa: S506 - the safe loader
    return tuple(
        Family(
            pattern=re.compile(row["match"]),
            has=frozenset(row["has"]),
            max_output=row.get("max_output"),
            retired=row.get("retired", False),
            source=row["source"],
            date=str(row["date"]),
        )
        for row in rows
    )


@lru_cache(maxsize=4096)
def _family(model: str) -> Family | None:
    name = model.rpartition("/")[2].lower()
    return next((family for family in families() if family.pattern.search(name)), None)


def capabilities(model: str) -> frozenset[str] | None:
    """Return what a model can do, judged by its name; None when the file does not know its family."""
    family = _family(model)
    return family.has if family is not None else None
