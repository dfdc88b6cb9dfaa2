"""LiteLLM's `model_list`: each deployment as one rung, with the provider entry that its parameters ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmrouter.importing.draft import Draft, usual_variables
from llmrouter.importing.params import per_million, read_params, seconds
from llmrouter.importing.source import Section

KINDS: Final[Mapping[str, str]] = {
    "openai": "openai", "text-completion-openai": "openai", "openai_like": "openai", "custom_openai": "openai",
    "litellm_proxy": "openai", "azure": "azure", "azure_text": "azure", "anthropic": "anthropic", "gemini": "google",
    "vertex_ai": "vertex", "vertex_ai_beta": "vertex", "bedrock": "bedrock", "bedrock_converse": "bedrock",
    "openrouter": "openrouter", "groq": "groq", "mistral": "mistral", "deepseek": "deepseek", "xai": "xai",
    "together_ai": "together", "fireworks_ai": "fireworks", "cerebras": "cerebras", "perplexity": "perplexity",
    "huggingface": "huggingface", "ollama": "ollama", "ollama_chat": "ollama", "hosted_vllm": "vllm", "vllm": "vllm",
    "lm_studio": "lmstudio",
}  # fmt: skip
_BARE: Final = (
    (re.compile(r"(gpt-|chatgpt-|o\d|text-embedding-|ft:)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gemini"), "vertex"),
)
# Where LiteLLM looks when a deployment does not say; llmrouter looks elsewhere.
_VARIABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "azure": {"api_key": "AZURE_API_KEY", "base_url": "AZURE_API_BASE", "api_version": "AZURE_API_VERSION"},
    "together": {"api_key": "TOGETHERAI_API_KEY"},
    "perplexity": {"api_key": "PERPLEXITYAI_API_KEY"},
    "huggingface": {"api_key": "HUGGINGFACE_API_KEY"},
}
_PERIODS: Final[Mapping[str, str]] = {
    "1m": "minute", "60s": "minute", "1h": "hour", "60m": "hour", "1d": "day", "24h": "day", "7d": "week", "1w": "week",
    "30d": "month", "31d": "month", "1mo": "month",
}  # fmt: skip
_MODES: Final = frozenset({"chat", "completion", "embedding", "responses"})
_COSTS: Final[Mapping[str, str]] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
}
_ENVIRONMENT: Final = "credentials of the cloud come from its own environment variables or profile; set them there"
_PARAM_ADVICE: Final[Mapping[str, str]] = {
    "stream_timeout": "set `timeouts: { first_token, idle }` on the route; `chat` then streams underneath, too",
    "mock_response": "use a `python/module:function` target, such as python/llmrouter.offline:summarize",
    "tags": "write one route per tag, and let the code choose the route",
    "drop_params": "there is no such switch; leave the parameter out of this target's `params`",
    "additional_drop_params": "there is no such switch; leave the parameter out of this target's `params`",
    "cache": "caching is said per route: `cache: 24h`",
    **dict.fromkeys(
        (
            *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile_name", "aws_role_name"),
            *("vertex_credentials", "tenant_id", "client_id", "client_secret", "azure_username", "azure_password"),
        ),
        _ENVIRONMENT,
    ),
    "ssl_verify": "set `ca_bundle` on the provider to trust certificates of your own",
    "azure_ad_token": "set AZURE_OPENAI_AD_TOKEN in the environment",
}
_INFO_ADVICE: Final[Mapping[str, str]] = {
    "base_model": "if `llmrouter check` knows no price for this target, give it one under `prices:`",
    "supported_environments": "keep one routes file per environment, and choose with LLMROUTER_ROUTES",
    "max_tokens": "windows are known for the usual models; a bound of your own is the route's `token_budget`",
    "max_input_tokens": "windows are known for the usual models; a bound of your own is `token_budget: { input }`",
    "access_groups": "there are no users here; keep one routes file per group of callers",
    "max_output_tokens": "a bound of your own is `params: { max_tokens }` or `token_budget: { output }`",
}


@dataclass(slots=True)
class Deployment:
    """One entry of `model_list`: the rung it becomes, and what its place in a chain depends on."""

    group: str
    rung: dict[str, Any]
    where: Section
    id: str | None = None
    order: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)  # weight, rpm, tpm: what traffic is split by
    description: str | None = None


def read_deployments(draft: Draft, source: Section, credentials: Mapping[str, Mapping[str, Any]]) -> list[Deployment]:
    """Return the deployments of `model_list` that can be asked here; the others are reported."""
    found = (_deployment(draft, each, credentials) for each in source.sections("model_list"))
    return [each for each in found if each is not None]


def _deployment(draft: Draft, entry: Section, credentials: Mapping[str, Mapping[str, Any]]) -> Deployment | None:
    group, params = entry.text("model_name"), entry.section("litellm_params")
    info = entry.section("model_info")
    params = _with_credentials(params, credentials)
    model, custom = params.text("model"), params.text("custom_llm_provider")
    if group is None or model is None:
        entry.note("needs a `model_name` and a `litellm_params.model` in the file itself; left out")
        return None
    if "*" in model or "*" in group:
        _wildcard(draft, entry, params, model, custom)
        return None
    mode = info.text("mode")
    if mode is not None and mode not in _MODES:
        entry.note(f"llmrouter has chat, stream and embed, and no {mode}; left out", "model_info", "mode")
        return None
    kind, name, api = _split(model, custom, params)
    if not name or name.split() != [name]:
        entry.note("is no name of a model; left out", "litellm_params", "model")
        return None
    limits = _limits(entry, params)
    provider = draft.provider(kind, _entry(draft, kind, params, limits), near=group if limits else "")
    target = f"{provider}/{name}".replace("${", "$${")
    draft.price(target, _price(params, info))
    rung = {"model": target} | ({"api": api} if api else {}) | _rung(params)
    made = Deployment(
        group, rung, entry, _id(info), params.number("order"), _shares(entry, params), info.text("description")
    )
    params.report_rest(_PARAM_ADVICE)
    info.report_rest(_INFO_ADVICE)
    entry.report_rest()
    return made


def _with_credentials(params: Section, credentials: Mapping[str, Mapping[str, Any]]) -> Section:
    name = params.text("litellm_credential_name")
    if name is None:
        return params
    if name not in credentials:
        params.note("names no entry of `credential_list`; left out", "litellm_credential_name")
    own = {key: params.value(key) for key in params if key != "litellm_credential_name"}
    return Section({**credentials.get(name, {}), **own}, params.path, params.notes)


def _wildcard(draft: Draft, entry: Section, params: Section, model: str, custom: str | None) -> None:
    """Keep the provider of a wildcard: any of its models can be asked as a target, without a route."""
    if model == "*":
        entry.note("a wildcard needs no route: call any target directly, such as openai/gpt-6-luna")
        return
    kind, _, _ = _split(model, custom, params)
    provider = draft.provider(kind, _entry(draft, kind, params, _limits(entry, params)))
    draft.declare(provider)
    entry.note(f"a wildcard needs no route: call a target such as {provider}/MODEL directly")


def _split(model: str, custom: str | None, params: Section) -> tuple[str, str, str | None]:
    """Return kind, model and protocol for a name such as `azure/my-deployment` or `gpt-6-luna`."""
    prefix, slash, rest = model.partition("/")
    if custom is not None:
        prefix, rest = custom, model.removeprefix(f"{custom}/")
    elif not slash:
        prefix, rest = _owner(model, params), model
    kind = KINDS.get(prefix)
    api = "responses" if kind in {"openai", "azure"} and rest.startswith("responses/") else None
    rest = rest.removeprefix("responses/") if api else rest
    if kind == "bedrock":
        rest = re.sub(r"^(converse|invoke|converse_like)/", "", rest)
        kind = kind if "claude" in rest.lower() or rest.startswith("arn:") else None
    if kind is None:
        params.note(
            f"llmrouter does not speak {prefix}'s protocol; asked through the extra llmrouter[litellm]", "model"
        )
        return "litellm", model if custom is None else f"{custom}/{rest}", None
    return kind, rest, api


def _owner(model: str, params: Section) -> str:
    known = next((kind for pattern, kind in _BARE if pattern.match(model)), None)
    if known is None:
        params.note("does not say whose model it is; taken for one that speaks OpenAI's protocol", "model")
    return {"vertex": "vertex_ai"}.get(known or "", known or "openai")


# ------------------------------------------------------------------------------------------------ the provider's entry


def _entry(draft: Draft, kind: str, params: Section, limits: Mapping[str, Any]) -> dict[str, Any]:
    variables = _VARIABLES.get(kind, {})
    key = (*usual_variables(kind), f"{kind.upper()}_API_KEY")[0]
    own_base = params.value("api_base", "base_url")
    entry: dict[str, Any] = {
        "base_url": _base_url(kind, draft.url(own_base, f"{kind}_BASE_URL".upper(), params, "api_base")),
        "api_key": draft.secret(params.value("api_key"), key, params, "api_key"),
        "api_version": draft.text(params.value("api_version"), f"{kind}_API_VERSION".upper(), params, "api_version"),
        "organization": _organization(draft, params),
        "project": draft.text(
            params.value("vertex_project", "vertex_ai_project"), "GOOGLE_CLOUD_PROJECT", params, "vertex_project"
        ),
        "region": draft.text(
            params.value("aws_region_name", "region_name", "vertex_location", "vertex_ai_location"),
            "REGION",
            params,
            "aws_region_name",
        ),
        "headers": _headers(draft, kind, params),
        "limits": dict(limits),
        "spend_limit": _spend_limit(params),
    }
    for name, variable in variables.items():
        entry[name] = entry[name] or f"${{{variable}}}"
    return entry


def _base_url(kind: str, url: str | None) -> str | None:
    if url is None:
        return None
    if kind == "azure":
        return url.partition("/openai/deployments")[0].partition("?")[0]
    if kind == "anthropic":
        return re.sub(r"/v1(/messages)?$", "", url)
    if kind == "ollama" and not url.endswith(("/v1", "}")):
        return f"{url}/v1"
    return re.sub(r"/chat/completions$", "", url)


def _organization(draft: Draft, params: Section) -> str | None:
    value = params.value("organization")
    if isinstance(value, list):
        params.note("one provider has one organization; write one entry of `providers` for each", "organization")
        return None
    return draft.text(value, "OPENAI_ORG_ID", params, "organization")


def _headers(draft: Draft, kind: str, params: Section) -> dict[str, str]:
    section = params.section("extra_headers") or params.section("headers")
    wanted = f"{kind}_HEADER".upper()
    texts = {name: draft.text(section.value(name), wanted, section, name) for name in section}
    return {name: text for name, text in texts.items() if text is not None}


def _limits(entry: Section, params: Section) -> dict[str, Any]:
    found = {
        "requests_per_minute": params.number("rpm") or entry.number("rpm"),
        "tokens_per_minute": params.number("tpm") or entry.number("tpm"),
        "concurrency": params.number("max_parallel_requests"),
    }
    return {name: value for name, value in found.items() if value}


def _spend_limit(params: Section) -> dict[str, Any] | None:
    usd, period = params.number("max_budget"), params.text("budget_duration")
    if usd is None:
        return None
    per = _PERIODS.get(period or "")
    if per is None:
        params.note("a limit holds per minute, hour, day, week, month or in total; `total` is written", "max_budget")
    return {"usd": usd, "per": per or "total"}


# ------------------------------------------------------------------------------------------------ the rung


def _rung(params: Section) -> dict[str, Any]:
    retries = params.number("num_retries", "max_retries")
    attempt = seconds(params.number("timeout", "request_timeout"))
    found: dict[str, Any] = {
        "params": read_params(params),
        "timeouts": {"attempt": attempt} if attempt else {},
        "retry": {"attempts": int(retries) + 1} if retries is not None else {},
    }
    return {name: value for name, value in found.items() if value}


def _shares(entry: Section, params: Section) -> dict[str, float]:
    found = {name: params.number(name) if name in params else entry.number(name) for name in ("weight", "rpm", "tpm")}
    return {name: value for name, value in found.items() if value is not None}


def _price(params: Section, info: Section) -> dict[str, Any]:
    costs = {name: params.number(cost) if cost in params else info.number(cost) for cost, name in _COSTS.items()}
    return {name: per_million(value) for name, value in costs.items() if value is not None}


def _id(info: Section) -> str | None:
    value = info.value("id")
    return None if value is None else str(value)
