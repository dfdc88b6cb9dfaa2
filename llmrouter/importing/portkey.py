"""A Portkey config object: its tree of targets becomes the chain of one route."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from llmrouter.importing.chains import STICKY, as_route, distinct
from llmrouter.importing.draft import Draft, usual_variables
from llmrouter.importing.params import read_params, seconds
from llmrouter.importing.source import Hidden, Section
from llmrouter.providers.presets import PRESETS

_TARGETS: Final = ("targets", "provider", "virtual_key", "prompt_id", "passthrough")
NO_MODEL: Final = "CHOOSE-A-MODEL"
KINDS: Final[Mapping[str, str]] = {
    "openai": "openai", "anthropic": "anthropic", "google": "google", "gemini": "google", "azure-openai": "azure",
    "azure": "azure", "vertex-ai": "vertex", "vertex": "vertex", "bedrock": "bedrock", "mistral-ai": "mistral",
    "x-ai": "xai", "together-ai": "together", "fireworks-ai": "fireworks", "perplexity-ai": "perplexity",
    **{name: name for name in PRESETS},
}  # fmt: skip
_CODES: Final[Mapping[int, str]] = {
    400: "bad_request", 401: "authentication", 402: "quota", 403: "permission", 404: "not_found", 408: "timeout",
    413: "bad_request", 422: "bad_request", 429: "rate_limit", 503: "overloaded", 529: "overloaded",
}  # fmt: skip
_RETRIED: Final = ("rate_limit", "server")
_GUARD: Final = "check messages and answers in your code, around the call"
_ADVICE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("input_guardrails", "output_guardrails", "before_request_hooks", "after_request_hooks"), _GUARD),
    "on_status_codes": "what an error leads to is said for a whole route: write `on` there",
    "forward_headers": "write fixed headers as `headers` of the provider",
    "passthrough": "a route names its targets; to ask another one, call `provider/model` directly",
    "prompt_id": "keep the prompt in your code, or as `system` of the route",
    "drop_params": "leave the parameter out of the call, or give the rung its own `params`",
    "strict_open_ai_compliance": "answers are the same on every provider",
    **dict.fromkeys(
        ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "vertex_service_account_json"),
        "credentials of the cloud come from its own environment variables or profile; set them there",
    ),
}


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One target of the tree, with its share of the calls that start there."""

    rung: dict[str, Any]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Inherited:
    """What the inner targets take over from the outer ones."""

    retry: dict[str, Any] = field(default_factory=dict)
    timeouts: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    model: str | None = None


def fill(draft: Draft, data: Mapping[str, Any], name: str) -> None:
    """Fill the draft from a config object; the route is called as the config says, or as its file."""
    source = Section(data, (), draft.notes)
    route = draft.route_name(source.text("name") or Path(name).stem or "main", source, "name")
    _Tree(draft).route(route, source)


class _Tree:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def route(self, name: str, source: Section) -> None:
        strategy = source.section("strategy")
        if strategy.text("mode") == "conditional":
            self._conditional(name, source, strategy)
            return
        settings: dict[str, Any] = _retry(source) | _fallback_codes(strategy)
        settings["on"] = {**_fallback_codes(strategy).get("on", {}), **_retry(source).get("on", {})}
        settings |= {"timeouts": _timeouts(source), "cache": _cache(source), "breaker": _breaker(source)}
        if not _names_a_target(source):
            self._without_target(source, settings)
            return
        leaves = self._leaves(source, strategy, _Inherited(), top=True)
        if not leaves:
            return
        balanced = _is_balanced(strategy, source)
        rungs = distinct([leaf.rung | ({"weight": _neat(leaf.weight)} if balanced else {}) for leaf in leaves])
        if len({rung.get("weight") for rung in rungs}) == 1:
            rungs = [{key: value for key, value in rung.items() if key != "weight"} for rung in rungs]
        made = as_route(rungs)
        if balanced and len(rungs) > 1:
            made["strategy"] = "weighted"
            self._draft.remarks["routes", name, "strategy"] = STICKY
        self._draft.routes[name] = made | {key: value for key, value in settings.items() if value not in (None, {})}

    def _without_target(self, source: Section, settings: Mapping[str, Any]) -> None:
        """A config that leaves provider and model to the call: what it says holds for every route."""
        inherited = _with_params(_Inherited(), source.section("override_params"), source)
        source.report_rest(_ADVICE)
        found: dict[str, Any] = {**settings, "params": inherited.params}
        self._draft.defaults |= {key: value for key, value in found.items() if value not in (None, {})}

    def _conditional(self, name: str, source: Section, strategy: Section) -> None:
        default = strategy.text("default")
        strategy.value("conditions")
        strategy.note(
            "there are no conditions: each target is a route of its own; choose the route in code", "conditions"
        )
        for number, target in enumerate(source.sections("targets"), 1):
            called = target.text("name") or str(number)
            own = name if called == default else self._draft.route_name(f"{name}-{called}", target, "name")
            self.route(own, target)
        source.report_rest(_ADVICE)

    def _leaves(self, source: Section, strategy: Section, above: _Inherited, *, top: bool = False) -> list[_Leaf]:
        """Return the targets below `source` in the order in which they are tried."""
        inherited = above if top else _below(above, source)
        targets = source.sections("targets")
        override = source.section("override_params")
        if not targets:
            return self._leaf(source, override, inherited)
        inherited = _with_params(inherited, override, source)
        mode = strategy.text("mode") or "single"
        strategy.report_rest(_ADVICE)
        chosen = targets[:1] if mode == "single" else targets
        for target in targets[len(chosen) :]:
            target.note("`single` asks the first target only; left out")
        groups = [(_weight(target), self._below(target, inherited)) for target in chosen]
        groups = [(weight, leaves) for weight, leaves in groups if leaves]
        source.report_rest(_ADVICE)
        return _balanced(groups) if mode == "loadbalance" else _in_order(groups, source)

    def _below(self, target: Section, inherited: _Inherited) -> list[_Leaf]:
        strategy = target.section("strategy")
        for key in ("cache", "cb_config"):
            if key in target:
                target.value(key)
                target.note("holds for a whole route: write it on the route", key)
        target.text("name")
        return self._leaves(target, strategy, inherited)

    def _leaf(self, source: Section, override: Section, inherited: _Inherited) -> list[_Leaf]:
        if source.value("passthrough") is True:
            source.note(_ADVICE["passthrough"], "passthrough")
            return []
        inherited = _with_params(inherited, override, source)
        kind, provider = self._provider(source, inherited.model)
        if provider is None:
            source.note("names no provider; left out")
            return []
        model = _model(source, inherited.model)
        if model is None:
            source.note(f"names no model, the caller did: {NO_MODEL} is written; put the model's name there")
            model = NO_MODEL
        elif kind == "litellm":
            model = f"{source.text('provider') or ''}/{model}".lstrip("/")
        source.report_rest(_ADVICE)
        rung: dict[str, Any] = {"model": f"{provider}/{model}".replace("${", "$${")}
        for name in ("params", "timeouts", "retry"):
            if value := getattr(inherited, name):
                rung[name] = value
        return [_Leaf(rung)]

    # -------------------------------------------------------------------------------------- providers

    def _provider(self, source: Section, model: str | None) -> tuple[str, str | None]:
        """Return the kind and the name of the provider that a target asks."""
        named, virtual = source.text("provider"), source.value("virtual_key")
        if named is None and virtual is None and model is not None and model.startswith("@"):
            named = model.partition("/")[0]
        slug = named[1:] if named is not None and named.startswith("@") else None
        if named is None and virtual is None:
            return "", None
        kind = _kind(slug or named or (virtual.like if isinstance(virtual, Hidden) else ""))
        if kind is None:
            kind = self._unknown(source, known=slug is None and virtual is None)
        key = (*usual_variables(kind), f"{kind}_API_KEY".upper())[0]
        entry = self._entry(source, kind, key)
        if slug is not None and not entry["api_key"]:
            entry["api_key"] = self._vault(source, slug, key)
        elif virtual is not None and not entry["api_key"]:
            entry["api_key"] = self._draft.secret(virtual, key, source, "virtual_key")
        return kind, self._draft.provider(kind, entry, near=slug or "")

    def _unknown(self, source: Section, *, known: bool) -> str:
        if not known or "custom_host" in source:
            source.note(
                "does not tell whose it is; taken for one that speaks OpenAI's protocol: see `kind`", "provider"
            )
            return "openai"
        source.note("llmrouter does not speak its protocol; asked through the extra llmrouter[litellm]", "provider")
        return "litellm"

    def _vault(self, source: Section, slug: str, usual: str) -> str:
        name = re.sub(r"[^A-Z0-9]+", "_", slug.upper()).strip("_")
        name = usual if usual.startswith(name) else name if name.endswith("_KEY") else f"{name}_API_KEY"
        source.note(f"{slug} is kept in Portkey's vault; put its key into the environment or `.env` as {name}")
        return f"${{{name}}}"

    def _entry(self, source: Section, kind: str, key: str) -> dict[str, Any]:
        text = self._draft.text
        host = self._draft.url(source.value("custom_host"), f"{kind}_BASE_URL".upper(), source, "custom_host")
        if host is None and kind == "azure":
            resource = source.text("azure_resource_name", "resource_name")
            host = f"https://{resource}.openai.azure.com" if resource else None
        return {
            "base_url": host,
            "api_key": self._draft.secret(source.value("api_key"), key, source, "api_key"),
            "api_version": text(source.value("azure_api_version", "api_version"), "API_VERSION", source, "api_version"),
            "organization": text(source.value("openai_organization"), "OPENAI_ORG_ID", source, "openai_organization"),
            "project": text(
                source.value("openai_project", "vertex_project_id"), "PROJECT_ID", source, "openai_project"
            ),
            "region": text(source.value("aws_region", "vertex_region"), "REGION", source, "aws_region"),
        }


def _kind(name: str) -> str | None:
    if name in KINDS:
        return KINDS[name]
    return next((KINDS[known] for known in sorted(KINDS, key=len, reverse=True) if known in name.lower()), None)


def _names_a_target(source: Section) -> bool:
    params = (source.section("override_params"), source.section("default_params"))
    return any(key in source for key in _TARGETS) or any("model" in each for each in params)


def _model(source: Section, model: str | None) -> str | None:
    deployment = source.text("azure_deployment_id", "deployment_id", "azure_deployment_name")
    if deployment is not None:
        return deployment
    if model is not None and model.startswith("@"):
        return model.partition("/")[2] or None
    return model if model is None or model.split() == [model] else None


# ------------------------------------------------------------------------------------------------ the tree, flattened


def _weight(target: Section) -> float:
    weight = target.number("weight")
    return 1.0 if weight is None else float(weight)


def _is_balanced(strategy: Section, source: Section) -> bool:
    return strategy.text("mode") == "loadbalance" and len(source.items("targets")) > 1


def _balanced(groups: list[tuple[float, list[_Leaf]]]) -> list[_Leaf]:
    """Split each group's share between its targets, and put those that only follow behind all others."""
    shared: list[_Leaf] = []
    for weight, leaves in groups:
        total = sum(leaf.weight for leaf in leaves) or 1.0
        shared += [replace(leaf, weight=weight * leaf.weight / total) for leaf in leaves]
    return sorted(shared, key=lambda leaf: leaf.weight == 0)


def _in_order(groups: list[tuple[float, list[_Leaf]]], source: Section) -> list[_Leaf]:
    """Put the groups behind each other: the first one's targets share the calls, the rest only follow."""
    for number, (_, leaves) in enumerate(groups):
        if sum(leaf.weight > 0 for leaf in leaves) > 1:
            source.note("targets that share calls inside a fallback are tried in order", "targets", number)
    flat = [leaf for _, leaves in groups for leaf in leaves]
    return [replace(leaf, weight=float(index == 0)) for index, leaf in enumerate(flat)]


def _neat(weight: float) -> int | float:
    return int(weight) if weight == int(weight) else round(weight, 4)


# ------------------------------------------------------------------------------------------------ settings


def _below(above: _Inherited, source: Section) -> _Inherited:
    retry = _retry(source)
    if "on" in retry:
        source.note("what an error leads to is said for a whole route: write `on` there", "retry", "on_status_codes")
    return replace(
        above, retry=above.retry | retry.get("retry", {}), timeouts=above.timeouts | (_timeouts(source) or {})
    )


def _with_params(above: _Inherited, override: Section, source: Section) -> _Inherited:
    defaults = source.section("default_params")
    params = above.params | read_params(defaults) | read_params(override)
    model = override.text("model") or defaults.text("model") or above.model
    for section in (override, defaults):
        section.report_rest(otherwise="is no parameter that llmrouter knows; write it under `params: { extra }`")
    return replace(above, params=params, model=model)


def _retry(source: Section) -> dict[str, Any]:
    section = source.section("retry")
    attempts, codes = section.number("attempts"), list(_codes(section))
    section.value("use_retry_after_headers", "use_retry_after_header")  # always heeded
    section.report_rest()
    found: dict[str, Any] = {} if attempts is None else {"retry": {"attempts": int(attempts) + 1}}
    if codes:
        on = {name: "next" for name in _RETRIED if name not in codes}
        found["on"] = on | {name: "retry" for name in codes if name not in _RETRIED}
    return found


def _fallback_codes(strategy: Section) -> dict[str, Any]:
    if strategy.text("mode") != "fallback":
        return {}
    codes = list(_codes(strategy))
    if not codes:  # every failure leads to the next target
        return {"on": {"bad_request": "next", "content_filter": "next"}}
    strategy.note(
        "errors of other classes follow llmrouter's own rules; `on: { server: stop }` changes one", "on_status_codes"
    )
    return {"on": {"bad_request": "next", "content_filter": "next"}} if "bad_request" in codes else {}


def _codes(section: Section) -> Iterator[str]:
    for code in section.items("on_status_codes"):
        number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else 0
        name = _CODES.get(number) or ("server" if 500 <= number < 600 else None)
        if name is None:
            section.note(f"{code!r} is no status of a failure; left out", "on_status_codes")
        else:
            yield name


def _timeouts(source: Section) -> dict[str, Any] | None:
    milliseconds = source.number("request_timeout")
    limit = seconds(milliseconds / 1000) if milliseconds else None
    return {"attempt": limit} if limit else None


def _cache(source: Section) -> dict[str, Any] | bool | None:
    section = source.section("cache")
    if not section:
        return None
    if section.text("mode") == "semantic":
        section.note("only the same request is answered from the cache, never a similar one", "mode")
    age = section.number("max_age")
    if age is None:
        section.note("has no `max_age`: answers stay for good; better: `cache: 24h`")
    section.report_rest()
    return {"ttl": seconds(age)} if age else True


def _breaker(source: Section) -> dict[str, Any] | None:
    section = source.section("cb_config")
    failures, pause = section.number("failure_threshold"), section.number("cooldown_interval")
    section.report_rest()
    found: dict[str, Any] = {"failures": int(failures)} if failures else {}
    return found | ({"cooldown": seconds(pause / 1000)} if pause else {}) or None
