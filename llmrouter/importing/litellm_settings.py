"""LiteLLM's `litellm_settings` and `router_settings`, which overlap: the router's win."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from llmrouter.importing.draft import Draft, place_of
from llmrouter.importing.params import seconds
from llmrouter.importing.source import Section

_POLICY: Final[Mapping[str, str]] = {
    "BadRequestErrorRetries": "bad_request",
    "AuthenticationErrorRetries": "authentication",
    "TimeoutErrorRetries": "timeout",
    "RateLimitErrorRetries": "rate_limit",
    "ContentPolicyViolationErrorRetries": "content_filter",
    "InternalServerErrorRetries": "server",
}
_RETRIED_ANYWAY: Final = frozenset({"rate_limit", "server"})
_KINDS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_LONG: Final = 120  # seconds; llmrouter's own limit on a whole call
_CALLBACKS: Final = "use `logging:` (one line per call), `llmrouter usage`, or wrap the call in your code"
_REDIS: Final = "write `state: { url }` to share limits and breakers between processes"
_ADVICE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("callbacks", "success_callback", "failure_callback", "service_callbacks"), _CALLBACKS),
    **dict.fromkeys(("redis_host", "redis_port", "redis_password", "redis_url", "redis_db"), _REDIS),
    "drop_params": "there is no such switch: give a rung its own `params` where its model takes fewer",
    "modify_params": "there is no such switch; messages are made fit for each provider anyway",
    "set_verbose": "write `logging: { level: DEBUG }`",
    "json_logs": "llmrouter logs through loguru: add a sink with serialize=True",
    "turn_off_message_logging": "prompts and answers are not logged unless `logging:` says so",
    "enable_pre_call_checks": "a prompt that does not fit a model's window goes to the next rung anyway",
    "allowed_fails_policy": "a breaker counts failures of every kind: `breaker: { failures }`",
    "provider_budget_config": "write `spend_limit: { usd, per }` on the provider",
    "stream_timeout": "set `timeouts: { first_token, idle }`; `chat` then streams underneath, too",
    "enable_tag_filtering": "write one route per tag, and let the code choose the route",
    "max_budget": "write `spend_limit: { usd, per }` at the top of the routes file",
    "budget_duration": "write `spend_limit: { usd, per }` at the top of the routes file",
    "max_fallbacks": "a chain is as long as it is written",
    "routing_strategy_args": "`fastest` and `cheapest` have no settings",
    "num_workers": "llmrouter is a library and starts no workers",
    "ssl_verify": "set `ca_bundle` on the provider to trust certificates of your own",
    "guardrails": "check messages and answers in your code, around the call",
}


class Settings:
    """Both maps, read as LiteLLM reads them."""

    def __init__(self, module: Section, router: Section) -> None:
        self.module, self.router = module, router
        self.strategy = router.text("routing_strategy") or "simple-shuffle"
        self._maps = {kind: self._map(kind) for kind in _KINDS}
        own_default = [name for name, _, _ in self._maps["fallbacks"].pop("*", [])]
        self._default = own_default + [
            str(name) for name in self._holder("default_fallbacks").items("default_fallbacks")
        ]
        self._policies = router.section("model_group_retry_policy")

    def fallbacks_of(self, group: str) -> Iterator[str]:
        """Give the groups that follow `group`: for every error, then for too long prompts, then for blocked ones."""
        if group not in self._maps["fallbacks"]:
            yield from (name for name in self._default if name != group)
        for entries in self._maps.values():
            yield from (name for name, _, _ in entries.get(group, ()))

    def named(self) -> Iterator[tuple[str, tuple[str | int, ...], Section]]:
        """Give every group that a fallback names, with its place."""
        for entries in self._maps.values():
            for group, names in entries.items():
                yield from names
                if names:
                    _, place, where = names[0]
                    yield group, place[:2], where
        yield from ((name, ("default_fallbacks",), self._holder("default_fallbacks")) for name in self._default)

    def aliases(self) -> Iterator[tuple[str, str, tuple[str | int, ...]]]:
        """Give second names of groups: the name, the group, and its place in `router_settings`."""
        section = self.router.section("model_group_alias")
        for alias in section:
            value = section.value(alias)
            group = value.get("model") if isinstance(value, Mapping) else value
            yield alias, str(group), ("model_group_alias", alias)

    def of_route(self, group: str) -> dict[str, Any]:
        """Return what the settings say about one group alone."""
        found: dict[str, Any] = {}
        if group in self._policies:
            found |= retry_policy(self._policies.section(group))
        if group in self._maps["content_policy_fallbacks"]:
            found["on"] = {**found.get("on", {}), "content_filter": "next"}
        self._say_kinds(group)
        return found

    def _say_kinds(self, group: str) -> None:
        for kind in _KINDS[1:]:
            for _, place, where in self._maps[kind].get(group, ()):
                where.note("stands at the end of the chain, and so answers after other failures, too", *place)

    def _holder(self, key: str) -> Section:
        return self.router if key in self.router else self.module

    def _map(self, kind: str) -> dict[str, list[tuple[str, tuple[str | int, ...], Section]]]:
        where = self._holder(kind)
        found: dict[str, list[tuple[str, tuple[str | int, ...], Section]]] = {}
        for index, entry in enumerate(where.items(kind)):
            for group, names in entry.items() if isinstance(entry, Mapping) else ():
                listed = names if isinstance(names, list) else [names]
                found.setdefault(str(group), []).extend(
                    (self._name(name, where, (kind, index, str(group), at)), (kind, index, str(group), at), where)
                    for at, name in enumerate(listed)
                )
        return found

    @staticmethod
    def _name(name: Any, where: Section, place: tuple[str | int, ...]) -> str:
        if not isinstance(name, Mapping):
            return str(name)
        if name.keys() - {"model"}:
            where.note("a fallback has the parameters of its own route; give that route its own", *place)
        return str(name.get("model"))


def retry_policy(policy: Section) -> dict[str, Any]:
    """Return `retry` and `on` for numbers of retries by class of error."""
    counts = {name: count for key, name in _POLICY.items() if (count := policy.number(key)) is not None}
    policy.report_rest()
    if not counts:
        return {}
    most = int(max(counts.values()))
    if len({count for count in counts.values() if count}) > 1:
        policy.note(f"one number of attempts holds for every error: {most + 1}, from the largest")
    actions = {name: "retry" if count else "next" for name, count in counts.items() if count or name in _RETRIED_ANYWAY}
    on = {name: action for name, action in actions.items() if (action == "next") or name not in _RETRIED_ANYWAY}
    return {"retry": {"attempts": most + 1}} | ({"on": on} if on else {})


def apply_settings(draft: Draft, settings: Settings) -> None:
    """Write what all routes inherit, and report what none of them can."""
    _timeouts(draft, settings)
    _retry(draft, settings)
    _breaker(draft, settings)
    _cache(draft, settings.module)
    for section in (settings.router, settings.module):
        section.report_rest(_ADVICE)


def _first(settings: Settings, *keys: str) -> tuple[Section, float | None]:
    for section in (settings.router, settings.module):
        value = section.number(*keys)
        if value is not None:
            settings.module.value(*keys)  # overridden, and so read
            return section, value
    return settings.router, None


def _timeouts(draft: Draft, settings: Settings) -> None:
    section, value = _first(settings, "timeout", "request_timeout")
    limit = seconds(value)
    if limit is None or value is None:
        return
    draft.defaults["timeouts"] = {"attempt": limit}
    if value >= _LONG:
        draft.defaults["deadline"] = seconds(2 * value)
        draft.remarks["defaults", "deadline"] = (
            "The whole call, retries and fallbacks included; llmrouter's default is 2m."
        )
        section.note(f"a call has a deadline, too: {draft.defaults['deadline']} is written, so that two attempts fit")


def _retry(draft: Draft, settings: Settings) -> None:
    _, retries = _first(settings, "num_retries")
    _, initial = _first(settings, "retry_after")
    found: dict[str, Any] = {}
    if retries is not None:
        found["attempts"] = int(retries) + 1
        draft.remarks["defaults", "retry"] = "Requests to one target, the first one included."
    if initial and seconds(initial):
        found["initial"] = seconds(initial)
    by_class = retry_policy(settings.router.section("retry_policy"))
    found |= by_class.get("retry", {})
    if found:
        draft.defaults["retry"] = found
    if "on" in by_class:
        draft.defaults["on"] = by_class["on"]


def _breaker(draft: Draft, settings: Settings) -> None:
    _, fails = _first(settings, "allowed_fails")
    _, cooldown = _first(settings, "cooldown_time")
    if settings.router.flag("disable_cooldowns"):
        draft.defaults["breaker"] = False
        return
    found: dict[str, Any] = {}
    if fails is not None:
        found["failures"] = int(fails) + 1
        found["window"] = "60s"
    if cooldown and seconds(cooldown):
        found["cooldown"] = seconds(cooldown)
    if found:
        draft.defaults["breaker"] = found


def _cache(draft: Draft, module: Section) -> None:
    wanted, params = module.flag("cache"), module.section("cache_params")
    if not wanted and not params:
        return
    kind, ttl = params.text("type") or "local", params.number("ttl", "default_in_memory_ttl", "default_in_redis_ttl")
    off = params.text("mode") == "default_off"
    if kind != "local":
        params.note(f"the cache is a folder here, not {kind}; with `state: {{ url }}` it is in Redis", "type")
    if "semantic" in kind:
        params.note("only the same request is answered from the cache, never a similar one", "type")
    if off or not wanted:
        params.note("off unless asked for: write `cache: 24h` on the routes that may use it", "mode")
        return
    draft.defaults["cache"] = {"ttl": seconds(ttl)} if ttl else True
    if not ttl:
        draft.remarks["defaults", "cache"] = (
            f"{place_of(module, 'cache')} has no ttl: answers stay for good. Better: 24h"
        )
    params.report_rest(otherwise="a cache on disk has no such setting; left out")
