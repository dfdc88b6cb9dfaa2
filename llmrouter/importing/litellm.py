"""A LiteLLM proxy config: models become routes, the router's settings become what the routes inherit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from llmrouter.importing.chains import STICKY, as_route, distinct
from llmrouter.importing.draft import Draft, place_of
from llmrouter.importing.litellm_models import Deployment, read_deployments
from llmrouter.importing.litellm_settings import Settings, apply_settings
from llmrouter.importing.source import Section

_DEEPEST: Final = 5  # fallbacks of fallbacks, as LiteLLM follows them
_STRATEGIES: Final[Mapping[str, str]] = {
    "simple-shuffle": "weighted",
    "least-busy": "weighted",
    "usage-based-routing": "weighted",
    "usage-based-routing-v2": "weighted",
    "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest",
}
_NOT_THE_SAME: Final = frozenset({"least-busy", "usage-based-routing", "usage-based-routing-v2"})
_PROXY: Final = "is the proxy's own; llmrouter is a library and has no server, users or virtual keys: left out"
_SECTIONS: Final[Mapping[str, str]] = {
    "guardrails": "check messages and answers in your code, around the call",
    "callback_settings": "use `logging:` (one line per call), `llmrouter usage`, or wrap the call in your code",
    "prompts": "keep prompts in your code, or as `system` of a route",
    **dict.fromkeys(("mcp_servers", "search_tools", "vector_store_registry", "files_settings", "agents"), _PROXY),
}
_GENERAL: Final[Mapping[str, str]] = {
    "max_parallel_requests": "write `limits: { concurrency }` on a provider or a route",
    "global_max_parallel_requests": "write `limits: { concurrency }` on each provider",
    "completion_model": "the call names its route",
    "alerting": "watch the log lines (`logging:`) or `llmrouter usage`",
    "key_management_system": "put the keys into the environment or `.env`",
}


def fill(draft: Draft, data: Mapping[str, Any], name: str) -> None:
    """Fill the draft from the data of a config.yaml; `name` is not needed, routes have names of their own."""
    del name
    source = Section(data, (), draft.notes)
    deployments = read_deployments(draft, source, _credentials(source))
    settings = Settings(source.section("litellm_settings"), source.section("router_settings"))
    groups: dict[str, list[Deployment]] = {}
    for each in deployments:
        groups.setdefault(each.group, []).append(each)
    _Chains(draft, settings, groups).write()
    apply_settings(draft, settings)
    source.section("general_settings").report_rest(_GENERAL, _PROXY)
    for variable in source.section("environment_variables"):
        source.note("set it in the environment, or in `.env` beside the routes file", "environment_variables", variable)
    for file in source.items("include"):
        source.note(f"import {file} by itself, and put the two together", "include")
    source.report_rest(_SECTIONS)


def _credentials(source: Section) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for each in source.sections("credential_list"):
        values = each.value("credential_values")
        name = each.text("credential_name")
        if name is not None and isinstance(values, Mapping):
            found[name] = values
    return found


class _Chains:
    """Turns groups of deployments, and the fallbacks between them, into routes."""

    def __init__(self, draft: Draft, settings: Settings, groups: Mapping[str, list[Deployment]]) -> None:
        self._draft, self._settings, self._groups = draft, settings, groups
        self._by_id = {each.id: each for group in groups.values() for each in group if each.id is not None}
        self._names: dict[str, str] = {}
        self._said: set[str] = set()

    def write(self) -> None:
        for group, deployments in self._groups.items():
            self._names[group] = self._draft.route_name(group, deployments[0].where, "model_name")
        for group in self._groups:
            self._draft.routes[self._names[group]] = self._route(group)
        self._report_strangers()
        for alias, group, place in self._settings.aliases():
            self._alias(alias, group, place)

    def _route(self, group: str) -> dict[str, Any]:
        own = sorted(self._groups[group], key=lambda each: each.order if each.order is not None else 0)
        rungs = [dict(each.rung) for each in own]
        self._share(own, rungs)
        later = [dict(each.rung) for each in self._after(group)]
        weighted = len(own) > 1 and self._strategy(own) == "weighted"
        chain = distinct([*rungs, *({**rung, "weight": 0} if weighted else rung for rung in later)])
        route: dict[str, Any] = {}
        described = next((each.description for each in own if each.description), None)
        if described:
            route["description"] = described.replace("${", "$${")
        route |= as_route(chain)
        if len(own) > 1 and len(chain) > 1:
            self._say_strategy(group, own, route, bool(later))
        return route | self._of_route(route, group)

    def _of_route(self, route: Mapping[str, Any], group: str) -> dict[str, Any]:
        settings = self._settings.of_route(group)
        return settings | (
            {"retry": {**settings["retry"], **route["retry"]}} if "retry" in settings and "retry" in route else {}
        )

    def _strategy(self, own: list[Deployment]) -> str:
        if any(each.order is not None for each in own):
            return "priority"
        return _STRATEGIES.get(self._settings.strategy, "weighted")

    def _share(self, own: list[Deployment], rungs: list[dict[str, Any]]) -> None:
        measure = next((name for name in ("weight", "rpm", "tpm") if any(name in each.shares for each in own)), None)
        if len(own) < 2 or measure is None or self._strategy(own) != "weighted":
            return
        for each, rung in zip(own, rungs, strict=True):
            rung["weight"] = each.shares.get(measure, 0)

    def _say_strategy(self, group: str, own: list[Deployment], route: dict[str, Any], fallbacks: bool) -> None:
        strategy = self._strategy(own)
        if strategy == "priority":
            return
        route["strategy"] = strategy
        place = ("routes", self._names[group], "strategy")
        if strategy == "weighted":
            self._draft.remarks[place] = STICKY
        elif fallbacks:
            self._draft.remarks[place] = "It orders the whole chain, fallbacks too."
        if self._settings.strategy in _NOT_THE_SAME and group not in self._said:
            self._said.add(group)
            self._settings.router.note(
                f"{group}: shares are by weight, not by present load; limits on the providers keep the pace",
                "routing_strategy",
            )

    def _after(self, group: str) -> Iterator[Deployment]:
        """Give the deployments that follow when all of `group` have failed, without repeats."""
        seen = {group}

        def follow(name: str, depth: int) -> Iterator[Deployment]:
            for after in self._settings.fallbacks_of(name) if depth < _DEEPEST else ():
                if after in seen:
                    continue
                seen.add(after)
                yield from self._groups.get(after) or filter(None, [self._by_id.get(after)])
                yield from follow(after, depth + 1)

        yield from follow(group, 0)

    def _report_strangers(self) -> None:
        for name, place, where in self._settings.named():
            if name not in self._groups and name not in self._by_id:
                where.note(f"no model of `model_list` is called {name!r}; left out", *place)

    def _alias(self, alias: str, group: str, place: tuple[str | int, ...]) -> None:
        router = self._settings.router
        if group not in self._names:
            router.note(f"no model of `model_list` is called {group!r}; left out", *place)
            return
        name = self._draft.route_name(alias, router, "model_group_alias")
        if name in self._draft.routes:
            router.note("is the name of a model, too; left out", *place)
            return
        self._draft.alias(name, self._names[group])
        self._draft.remarks["routes", name] = place_of(router, *place)
