"""RoutesConfig -> {name: RoutePlan}: everything that can be decided before a call is decided here, once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from llmrouter.catalogue import Catalogue, Endpoint, ModelInfo
from llmrouter.config.fields import BUILT_IN, Surroundings, rung_shorthand
from llmrouter.config.inherit import ad_hoc, chain, resolved
from llmrouter.config.loader import Loaded
from llmrouter.config.models import (
    LimitsConfig,
    ParamsConfig,
    RouteConfig,
    RungConfig,
    SpendLimitConfig,
    TimeoutsConfig,
)
from llmrouter.config.problems import Finding, dotted, finding, kind_of, without_misspelled
from llmrouter.errors import ConfigError, InvalidRequestError, Problem, RouteNotFoundError
from llmrouter.hints import nearest
from llmrouter.pipeline.plan import Budget, CachePolicy, RoutePlan, RungPlan, Timeouts
from llmrouter.policy.breaker import BreakerSettings, Circuit
from llmrouter.policy.hedge import Hedge
from llmrouter.policy.limits import Limits, Scope, Subject
from llmrouter.policy.outcomes import Actions
from llmrouter.policy.retry import schedule
from llmrouter.policy.shared import key_of
from llmrouter.policy.spend import SpendLimit
from llmrouter.prices import PriceTable
from llmrouter.providers import registry
from llmrouter.providers.base import Provider, ProviderSettings
from llmrouter.schema import as_schema
from llmrouter.store.keys import target_prefix
from llmrouter.types import EMPTY, Params, Schema, Usage
from llmrouter.units import nano_usd

DEADLINE_S: Final = 120.0
_AD_HOC_KEPT: Final = 256  # routes made on the fly and remembered; a caller may build targets from user input

# Hundreds of routes name a handful of targets.
_key_of = lru_cache(maxsize=_AD_HOC_KEPT)(key_of)
_key_prefix = lru_cache(maxsize=_AD_HOC_KEPT)(target_prefix)


class Compiled:
    """One version of the file, compiled. Immutable but for the routes it makes on the fly for target strings.

    `before` is the version it replaces: providers whose settings did not change are taken over, and with them their
    open connections.
    """

    def __init__(self, loaded: Loaded, before: Compiled | None = None) -> None:
        self.loaded = loaded
        self._before = before._providers if before is not None else {}
        self._providers: dict[tuple[str, str | None], Provider] = {}
        config = loaded.config
        names = {*BUILT_IN, *config.providers}
        settings = {name: self._settings(name, None) for name in sorted(names)}
        self.endpoints = {name: Endpoint(each.kind, each.base_url) for name, each in settings.items()}
        self.prices = PriceTable(config.prices)
        self.catalogue = Catalogue(self.endpoints, self.prices)
        # Of a file its path; of a dict what it says, so that two programs with a route of one name keep apart.
        self.identity = str(loaded.path.resolve()) if loaded.path is not None else repr(config)
        # Looked up once, however many routes name a target.
        self._list_price = lru_cache(maxsize=_AD_HOC_KEPT)(partial(Bill, self.prices))
        self._info = lru_cache(maxsize=_AD_HOC_KEPT)(self.catalogue.model_info)
        self.plans: Mapping[str, RoutePlan] = {name: self._named(name) for name in config.routes}
        self._ad_hoc = lru_cache(maxsize=_AD_HOC_KEPT)(self._target)
        self._replaced = lru_cache(maxsize=_AD_HOC_KEPT)(self._with_fallbacks)
        self._before = {}

    def plan(self, route: str, fallbacks: Sequence[Any] | None = None) -> RoutePlan:
        """Return the plan of a route's name or of a target string, with other fallbacks if they are given.

        Raises RouteNotFoundError with near misses, InvalidRequestError for a route that is no text, and ConfigError
        for fallbacks that are no targets.
        """
        if not isinstance(route, str):
            raise InvalidRequestError(f"route: expected the name of a route, or a target, got {route!r}")
        if fallbacks is not None:
            if isinstance(fallbacks, str) or not isinstance(fallbacks, Sequence):
                raise ConfigError([Problem(f"must be a list of targets, not {kind_of(fallbacks)}", "fallbacks")])
            try:
                return self._replaced(route, tuple(fallbacks))
            except TypeError:  # a fallback given as a map cannot be a key; it is compiled each time
                return self._with_fallbacks(route, tuple(fallbacks))
        found = self.plans.get(route)
        return found if found is not None else self._ad_hoc(route)

    def unusable(self) -> dict[str, str]:
        """Return why a provider cannot be used, by provider, for those that the routes name."""
        rungs = (rung for plan in self.plans.values() for rung in plan.rungs)
        return {rung.provider.settings.name: rung.unusable for rung in rungs if rung.unusable is not None}

    def lacks(self) -> str:
        """Return the same in a line: what each of those providers lacks, which nearly always is a key."""
        found = []
        for name, reason in self.unusable().items():
            variables = self.missing_key(self.provider(name))
            found.append(f"{name} ({'set ' + ' or '.join(variables) if variables else reason})")
        return ", ".join(found)

    def why_unusable(self, provider: Provider) -> str | None:
        """Return why a provider cannot be asked, None if it can.

        An entry that names variables which are not set is not completed from elsewhere: a missing URL would send the
        key to the kind's usual host, and a missing key another host's.
        """
        unset = self.loaded.unset.get(provider.settings.name)
        if unset:
            return (
                f"not set: {', '.join(unset)} (environment or .env), which providers.{provider.settings.name} asks for"
            )
        return provider.unusable()

    def missing_key(self, provider: Provider) -> tuple[str, ...]:
        """Return the variables of which one would do; none where the provider is usable, or lacks something else."""
        settings = provider.settings
        return settings.key_variables if self.why_unusable(provider) == settings.no_key() else ()

    def provider(self, name: str, api: str | None = None) -> Provider:
        """Return the provider of this name, one object for all routes. Raises ConfigError for an unknown kind."""
        key = name, api
        if key not in self._providers:
            settings = self._settings(name, api)
            old = self._before.get(key)
            same = old is not None and old.settings == settings
            self._providers[key] = old if old is not None and same else registry.create(settings)
        return self._providers[key]

    def _settings(self, name: str, api: str | None) -> ProviderSettings:
        entry = self.loaded.config.providers.get(name)
        fields = {} if entry is None else entry.model_dump(exclude_unset=True)
        if api is not None:
            fields["api"] = api
        if fields.get("ca_bundle") is not None:
            fields["ca_bundle"] = str(self.loaded.file(fields["ca_bundle"]))
        return registry.settings(name, fields or None, self.loaded.environ)

    def _named(self, name: str) -> RoutePlan:
        return self._route(name, resolved(self.loaded.config, name))

    def _target(self, target: str) -> RoutePlan:
        return self._route(target, self._target_config(target))

    def _target_config(self, target: str) -> RouteConfig:
        provider, slash, model = target.partition("/")
        known = {*registry.names(), *self.loaded.config.providers}
        if not slash:
            raise RouteNotFoundError(target, nearest(target, self.loaded.config.routes, 2))
        whole = bool(model) and target.split() == [target]  # of one word, as in the file
        if not whole or provider not in known:
            meant, near = "".join(model.split()), nearest(provider, known, 2)
            raise RouteNotFoundError(target, [f"{name}/{meant}" for name in near if meant])
        return ad_hoc(self.loaded.config, target)

    def _with_fallbacks(self, route: str, fallbacks: tuple[Any, ...]) -> RoutePlan:
        config = self.loaded.config
        base = resolved(config, route) if route in config.routes else self._target_config(route)
        known = frozenset({*registry.names(), *config.providers})
        context = Surroundings(providers=known, kinds=registry.names(), folder=self.loaded.folder)
        rungs = tuple(_own_rung(each, f"fallbacks[{index}]", context) for index, each in enumerate(fallbacks))
        return self._route(route, base.model_copy(update={"fallbacks": rungs}))

    def _route(self, name: str, route: RouteConfig) -> RoutePlan:
        budget = route.token_budget
        cache = route.cache
        return RoutePlan(
            name=name,
            rungs=tuple(self._rung(name, route, rung) for rung in chain(route)),
            deadline_s=route.deadline if route.deadline is not None else DEADLINE_S,
            actions=Actions(route.on),
            description=route.description or "",
            system=route.system,
            schema=self._schema(name, route),
            budget=Budget()
            if budget is None
            else Budget(budget.input, budget.output, budget.overflow or "drop_oldest"),
            cache=None if cache is None else CachePolicy(cache.ttl, cache.stale_if_error or 0.0),
            on_break=route.on_break,
            prompt_cache=route.prompt_cache,
            strategy=route.strategy,
            hedge=None if route.hedge is None else Hedge(route.hedge.after, route.hedge.max_extra),
            spend_limits=(
                *_spend_limits(f"route:{name}", route.spend_limit),
                *_spend_limits("all", self.loaded.config.spend_limit),
            ),
        )

    def _pace(self, route_name: str, route: RouteConfig, settings: ProviderSettings) -> Scope:
        entry = self.loaded.config.providers.get(settings.name)
        provider_limits, route_limits = _limits(None if entry is None else entry.limits), _limits(route.limits)
        if provider_limits == route_limits == Limits():
            return Scope()
        of_provider = key_of("pace", "provider", settings.name, settings.kind, settings.base_url, _account(settings))
        of_route = key_of("pace", "route", self.identity, route_name)
        return Scope.of(
            Subject(f"provider {settings.name}", of_provider, provider_limits),
            Subject(f"route {route_name}", of_route, route_limits),
        )

    def _schema(self, name: str, route: RouteConfig) -> Schema | None:
        if route.output_schema is None:
            return None
        try:
            return as_schema(route.output_schema, self.loaded.folder)
        except ConfigError as error:
            found = [problem.message for problem in error.problems]
            raise ConfigError(self._at(("routes", name, "schema"), found)) from None

    def _at(self, path: tuple[str, ...], messages: Iterable[str]) -> list[Problem]:
        return [self.loaded.problem(path, message) for message in messages]

    def _rung(self, route_name: str, route: RouteConfig, rung: RungConfig) -> RungPlan:
        target = rung.model
        name, _, model = target.partition("/")
        provider = self.provider(name, rung.api)
        settings = provider.settings
        overrides = {target: rung.prices} if rung.prices is not None else dict(route.prices)
        price_at = self._list_price if not overrides else partial(Bill, self.prices, overrides=overrides)
        bill = price_at(target, settings.kind, settings.base_url)
        info = self._info(target)
        retry, entry = rung.retry, self.loaded.config.providers.get(name)
        return RungPlan(
            target=target,
            model=model,
            provider=provider,
            params=_params(rung.params),
            timeouts=_timeouts(rung.timeouts),
            schedule=schedule(retry.attempts, retry.backoff, retry.initial, retry.max, retry.jitter),
            key_prefix=_key_prefix(settings.kind, settings.base_url, settings.api or "", model),
            bill=bill,
            price=bill.price,
            unusable=self.why_unusable(provider),
            window=info.context_window,
            max_output=info.max_output_tokens,
            capabilities=_capabilities(provider, info),
            weight=rung.weight,
            circuit=_circuit(route, target, settings),
            pace=self._pace(route_name, route, settings),
            spend_limits=() if entry is None else _spend_limits(f"provider:{name}", entry.spend_limit),
        )


def _own_rung(written: Any, place: str, surroundings: Surroundings) -> RungConfig:
    """Return a rung that a call brings along, a target or a map as in the file. Raises ConfigError."""
    try:
        return RungConfig.model_validate(rung_shorthand(written), context=surroundings)
    except ValidationError as error:
        found = without_misspelled([finding(detail, RungConfig) for detail in error.errors(include_url=False)])
    except ValueError as error:
        found = [Finding((), str(error))]
    raise ConfigError(
        [Problem(each.message, ".".join(filter(None, (place, dotted(each.path)))), hint=each.hint) for each in found]
    )


def _account(settings: ProviderSettings) -> str | None:
    """Return whose account it is, to be hashed: two keys have two allowances."""
    return None if settings.api_key is None else settings.api_key.reveal()


def _circuit(route: RouteConfig, target: str, settings: ProviderSettings) -> Circuit:
    """Return a target as the breaker sees it; its key names the endpoint, because others may share it, and the account.

    A target that rests because one account's allowance is used up is there for another's.
    """
    model = target.partition("/")[2]
    key = _key_of("breaker", settings.kind, settings.base_url, settings.api, model, _account(settings))
    breaker = route.breaker
    chosen = None if breaker is None else BreakerSettings(breaker.failures, breaker.window, breaker.cooldown)
    return Circuit(target, key, None if settings.kind == "python" else chosen)


def _limits(section: LimitsConfig | None) -> Limits:
    if section is None:
        return Limits()
    return Limits(section.requests_per_minute, section.tokens_per_minute, section.concurrency)


class Bill:
    """What usage of one target costs, in nano-USD; looks its price up again when a dated price has ended."""

    __slots__ = ("_look_up", "_prices", "_target", "_until", "price")

    def __init__(
        self, prices: PriceTable, target: str, kind: str, base_url: str | None, overrides: Any = EMPTY
    ) -> None:
        self._prices, self._target = prices, target
        self._look_up = {"kind": kind, "base_url": base_url, "overrides": overrides}
        self._resolve()

    def _resolve(self) -> None:
        self.price = self._prices.resolve(self._target, **self._look_up)
        until = None if self.price is None else self.price.until
        self._until = math.inf if until is None else until.timestamp()

    def __call__(self, usage: Usage) -> int | None:
        if time.time() >= self._until:
            self._resolve()
        if self.price is None or not usage.others:
            return None if self.price is None else self.price.nano_usd(usage)
        return self._prices.cost(self._target, usage, self.price, **self._look_up)


def _capabilities(provider: Provider, info: ModelInfo) -> frozenset[str] | None:
    """Return what the model can do, and what its protocol makes up for (structured output through a forced tool)."""
    made_up: frozenset[str] = getattr(provider.codec, "makes_up", frozenset())
    return None if info.capabilities is None else info.capabilities | made_up


def _spend_limits(scope: str, section: SpendLimitConfig | None) -> tuple[SpendLimit, ...]:
    if section is None:
        return ()
    return (SpendLimit(scope, nano_usd(section.usd), section.per, section.on_exceed == "next"),)


def _params(params: ParamsConfig) -> Params:
    return Params(
        temperature=params.temperature,
        top_p=params.top_p,
        max_tokens=params.max_tokens,
        stop=params.stop or (),
        seed=params.seed,
        reasoning=params.reasoning,
        extra=params.extra or EMPTY,
    )


@lru_cache(maxsize=_AD_HOC_KEPT)
def _timeouts(timeouts: TimeoutsConfig) -> Timeouts:
    given = {name: value for name, value in timeouts.model_dump().items() if value is not None}
    return Timeouts(**given, watched=bool(given.keys() & {"first_token", "idle"}))


def file_stamp(path: Path | None) -> tuple[int, int, int] | None:
    """Return what changes when a file is edited or replaced (time, size, inode); None when it is not there."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
