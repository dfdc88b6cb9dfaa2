"""A LiteLLM proxy config becomes routes; what has no counterpart is told with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter.config.inherit import chain, resolved
from llmrouter.config.loader import load
from llmrouter.errors import ConfigError
from llmrouter.importing import Imported, convert

SOURCES = Path(__file__).parent / "sources"


def imported(name: str) -> Imported:
    return convert((SOURCES / name).read_text(encoding="utf-8"), name)


def loaded(made: Imported, folder: Path) -> Any:
    file = folder / "routes.yaml"
    file.write_text(made.text, encoding="utf-8")
    return load(file, {}).config


def model(litellm_params: str, more: str = "") -> str:
    return f"model_list:\n- model_name: m\n  litellm_params: {{ {litellm_params} }}\n{more}"


def only_route(text: str) -> dict[str, Any]:
    (route,) = yaml.safe_load(convert(text, "config.yaml").text)["routes"].values()
    assert isinstance(route, dict)
    return route


def told(made: Imported) -> dict[str, str]:
    return {note.path: note.message for note in made.notes}


# ------------------------------------------------------------------------------------------------ the whole file


@pytest.mark.parametrize("name", sorted(path.name for path in SOURCES.iterdir()))
def test_the_result_loads_without_any_variable(name: str, tmp_path: Path) -> None:
    assert loaded(imported(name), tmp_path).routes


def test_deployments_and_fallbacks_become_one_chain(tmp_path: Path) -> None:
    config = loaded(imported("litellm_balanced.yaml"), tmp_path)
    rungs = chain(resolved(config, "fast"))
    assert [(rung.model, rung.weight) for rung in rungs] == [
        ("azure/fast-north", 60),
        ("azure-fast/fast-south", 600),
        ("anthropic/claude-sonnet-5-5", 0),
        ("openai-house/our-llama", 0),
        ("google/gemini-3.8-flash", 0),
    ]
    assert config.routes["fast"].strategy == "weighted"


def test_an_alias_is_a_second_name(tmp_path: Path) -> None:
    config = loaded(imported("litellm_balanced.yaml"), tmp_path)
    assert config.routes["quick"] == config.routes["fast"]
    assert config.routes["old-name"] == config.routes["careful"]


def test_the_routers_settings_become_defaults(tmp_path: Path) -> None:
    defaults = loaded(imported("litellm_balanced.yaml"), tmp_path).defaults
    assert defaults.retry.attempts == 4  # retry_policy says 3 retries for rate limits
    assert defaults.timeouts.attempt == 25
    assert (defaults.breaker.failures, defaults.breaker.cooldown, defaults.breaker.window) == (4, 30, 60)
    assert defaults.cache.ttl == 600
    assert defaults.on == {"timeout": "retry"}


def test_what_a_deployment_says_for_itself_stays_with_it(tmp_path: Path) -> None:
    config = loaded(imported("litellm_balanced.yaml"), tmp_path)
    careful = chain(resolved(config, "careful"))[0]
    assert (careful.params.temperature, careful.params.max_tokens, careful.timeouts.attempt) == (0.2, 2000, 45)
    assert config.routes["careful"].on == {"content_filter": "next"}


def test_prices_are_per_million_tokens() -> None:
    data = yaml.safe_load(imported("litellm_balanced.yaml").text)
    assert data["prices"] == {"anthropic/claude-sonnet-5-5": {"input": 3, "output": 15, "cache_read": 0.3}}


def test_providers_get_their_keys_from_the_same_variables() -> None:
    providers = yaml.safe_load(imported("litellm_balanced.yaml").text)["providers"]
    assert providers["azure"]["api_key"] == "${AZURE_NORTH_KEY}"
    assert providers["azure-fast"]["base_url"] == "https://south.openai.azure.example"
    assert providers["azure-fast"]["limits"] == {"requests_per_minute": 600, "tokens_per_minute": 90000}
    assert providers["openai-house"]["limits"] == {"concurrency": 4}
    assert "anthropic" not in providers  # ANTHROPIC_API_KEY is where it looks anyway


def test_everything_without_a_counterpart_is_told_with_its_place() -> None:
    report = told(imported("litellm_balanced.yaml"))
    assert set(report) == {
        "litellm_settings.drop_params",
        "litellm_settings.cache_params.type",
        "litellm_settings.cache_params.host",
        "litellm_settings.cache_params.port",
        "litellm_settings.success_callback",
        "litellm_settings.context_window_fallbacks[0].fast[0]",
        "router_settings.fallbacks[0].fast[1]",
        "router_settings.content_policy_fallbacks[0].careful[0]",
        "router_settings.model_group_alias",
        "router_settings.redis_host",
        "router_settings.retry_policy",
        "general_settings.master_key",
        "general_settings.database_url",
    }


@pytest.mark.parametrize(
    ("group", "target"),
    [
        ("bare-openai", "openai/gpt-6-luna"),
        ("bare-claude", "anthropic/claude-haiku-5-5"),
        ("vertex", "vertex/gemini-3.8-flash"),
        ("bedrock", "bedrock/anthropic.claude-opus-5-v1:0"),
        ("titan", "litellm/bedrock/amazon.titan-text-v1"),
        ("together", "togetherai/meta/llama-4"),
        ("fireworks", "fireworks/accounts/fireworks/models/x"),
        ("groq", "groq/llama-4"),
        ("ollama", "ollama-local/mistral"),
        ("vllm", "vllm-10-0-0-5/qwen"),
        ("cohere", "litellm/cohere/command-r"),
        ("another-key", "openai-team2/gpt-6-luna"),
    ],
)
def test_each_provider_is_found_by_its_name(group: str, target: str) -> None:
    assert yaml.safe_load(imported("litellm_providers.yaml").text)["routes"][group] == {"model": target}


def test_the_responses_protocol_is_kept() -> None:
    routes = yaml.safe_load(imported("litellm_providers.yaml").text)["routes"]
    assert routes["through-responses"] == {"model": {"model": "openai/gpt-6-luna", "api": "responses"}}


def test_variables_that_only_litellm_reads_are_written_down() -> None:
    providers = yaml.safe_load(imported("litellm_providers.yaml").text)["providers"]
    assert providers["togetherai"] == {"kind": "together", "api_key": "${TOGETHERAI_API_KEY}"}
    assert providers["azure"] == {
        "base_url": "${AZURE_API_BASE}",
        "api_key": "${AZURE_API_KEY}",
        "api_version": "${AZURE_API_VERSION}",
    }


def test_a_shared_credential_is_resolved() -> None:
    data = yaml.safe_load(imported("litellm_providers.yaml").text)
    provider = data["routes"]["shared"]["model"].partition("/")[0]
    assert data["providers"][provider]["api_key"] == "${HOUSE_KEY}"


def test_what_is_no_chat_and_no_name_is_left_out() -> None:
    made = imported("litellm_providers.yaml")
    assert not {"speech", "dynamic", "openai/*"} & yaml.safe_load(made.text)["routes"].keys()
    assert "no audio_speech" in told(made)["model_list[14].model_info.mode"]
    assert "needs no route" in told(made)["model_list[15]"]
    assert "comes from SOME_MODEL" in told(made)["model_list[16].litellm_params.model"]


# ------------------------------------------------------------------------------------------------ one thing each


def test_a_wildcard_keeps_its_provider() -> None:
    made = convert(
        "model_list: [{ model_name: 'azure/*', litellm_params: { model: 'azure/*', api_key: os.environ/K } }]", "c.yaml"
    )
    assert yaml.safe_load(made.text)["providers"]["azure"]["api_key"] == "${K}"
    assert "call a target such as azure/MODEL directly" in told(made)["model_list[0]"]


def test_a_config_of_wildcards_alone_names_their_providers() -> None:
    made = convert("model_list: [{ model_name: '*', litellm_params: { model: 'openai/*' } }]", "config.yaml")
    assert yaml.safe_load(made.text) == {"version": 1, "providers": {"openai": {}}}


def test_settings_without_any_model_become_defaults() -> None:
    made = convert("router_settings: { num_retries: 2 }", "config.yaml")
    assert yaml.safe_load(made.text) == {"version": 1, "defaults": {"retry": {"attempts": 3}}}
    assert "no model in it" in told(made)[""]


def test_the_order_of_deployments_beats_shares() -> None:
    text = (
        "model_list:\n- { model_name: m, litellm_params: { model: groq/b, order: 2, rpm: 9 } }\n"
        "- { model_name: m, litellm_params: { model: groq/a, order: 1 } }\n"
    )
    route = only_route(text)
    assert "strategy" not in route
    assert route["model"] == "groq/a"


@pytest.mark.parametrize(
    ("said", "strategy"), [("latency-based-routing", "fastest"), ("cost-based-routing", "cheapest")]
)
def test_a_strategy_has_its_counterpart(said: str, strategy: str) -> None:
    text = (
        "model_list:\n- { model_name: m, litellm_params: { model: groq/a } }\n"
        f"- {{ model_name: m, litellm_params: {{ model: groq/b }} }}\nrouter_settings: {{ routing_strategy: {said} }}\n"
    )
    assert only_route(text)["strategy"] == strategy


def test_a_strategy_without_a_counterpart_is_told() -> None:
    text = (
        "model_list:\n- { model_name: m, litellm_params: { model: groq/a } }\n"
        "- { model_name: m, litellm_params: { model: groq/b } }\nrouter_settings: { routing_strategy: least-busy }\n"
    )
    assert "not by present load" in told(convert(text, "c.yaml"))["router_settings.routing_strategy"]


def test_default_fallbacks_follow_every_model_that_has_none() -> None:
    text = (
        "model_list:\n- { model_name: a, litellm_params: { model: groq/a } }\n"
        "- { model_name: b, litellm_params: { model: groq/b } }\nlitellm_settings: { default_fallbacks: [b] }\n"
    )
    routes = yaml.safe_load(convert(text, "c.yaml").text)["routes"]
    assert routes == {"a": {"model": "groq/a", "fallbacks": ["groq/b"]}, "b": {"model": "groq/b"}}


def test_fallbacks_in_a_circle_come_to_an_end() -> None:
    text = (
        "model_list:\n- { model_name: a, litellm_params: { model: groq/a } }\n"
        "- { model_name: b, litellm_params: { model: groq/b } }\n"
        "router_settings: { fallbacks: [{ a: [b] }, { b: [a] }] }\n"
    )
    routes = yaml.safe_load(convert(text, "c.yaml").text)["routes"]
    assert routes["b"] == {"model": "groq/b", "fallbacks": ["groq/a"]}


def test_a_fallback_may_be_one_deployment_by_its_id() -> None:
    text = (
        "model_list:\n- { model_name: a, litellm_params: { model: groq/a } }\n"
        "- { model_name: b, litellm_params: { model: groq/b }, model_info: { id: that-one } }\n"
        "router_settings: { fallbacks: [{ a: [that-one] }] }\n"
    )
    assert yaml.safe_load(convert(text, "c.yaml").text)["routes"]["a"]["fallbacks"] == ["groq/b"]


def test_the_routers_settings_win_over_the_modules(tmp_path: Path) -> None:
    more = (
        "litellm_settings: { num_retries: 9, request_timeout: 9 }\nrouter_settings: { num_retries: 1, timeout: 30 }\n"
    )
    made = convert(model("model: groq/a", more), "c.yaml")
    defaults = loaded(made, tmp_path).defaults
    assert (defaults.retry.attempts, defaults.timeouts.attempt) == (2, 30)
    assert made.notes == ()


def test_a_long_timeout_gets_a_deadline_that_fits_it(tmp_path: Path) -> None:
    made = convert(model("model: groq/a", "router_settings: { timeout: 600 }"), "c.yaml")
    assert loaded(made, tmp_path).defaults.deadline == 1200
    assert "20m is written" in told(made)["router_settings"]


def test_a_router_without_cooldowns_has_no_breaker() -> None:
    made = convert(model("model: groq/a", "router_settings: { disable_cooldowns: true }"), "c.yaml")
    assert yaml.safe_load(made.text)["defaults"] == {"breaker": False}


def test_a_cache_that_is_off_by_default_stays_off() -> None:
    more = "litellm_settings: { cache: true, cache_params: { mode: default_off } }"
    made = convert(model("model: groq/a", more), "c.yaml")
    assert "defaults" not in yaml.safe_load(made.text)
    assert "write `cache: 24h`" in told(made)["litellm_settings.cache_params.mode"]


def test_thinking_and_its_effort_become_reasoning() -> None:
    assert only_route(model("model: groq/a, reasoning_effort: high"))["params"] == {"reasoning": "high"}
    budget = "model: anthropic/a, thinking: { type: enabled, budget_tokens: 2048 }"
    assert only_route(model(budget))["params"] == {"reasoning": 2048}


def test_parameters_that_are_not_ours_go_as_they_are() -> None:
    route = only_route(model("model: groq/a, presence_penalty: 0.5, extra_body: { safe: true }"))
    assert route["params"] == {"extra": {"presence_penalty": 0.5, "safe": True}}


def test_a_budget_of_a_deployment_is_a_spend_limit() -> None:
    text = convert(model("model: groq/a, max_budget: 5, budget_duration: 1d"), "c.yaml").text
    assert next(iter(yaml.safe_load(text)["providers"].values()))["spend_limit"] == {"usd": 5, "per": "day"}


def test_a_value_that_the_loader_refuses_is_left_out_and_told() -> None:
    made = convert(model("model: groq/a, temperature: 7, max_tokens: 5"), "c.yaml")
    assert yaml.safe_load(made.text)["routes"]["m"]["params"] == {"max_tokens": 5}
    assert "out of range" in told(made)["routes.m.params.temperature"]


def test_what_decides_the_order_and_the_share_is_not_reported_as_lost() -> None:
    text = (
        "model_list:\n- { model_name: m, litellm_params: { model: groq/b, order: 2, weight: 9, tpm: 5 } }\n"
        "- { model_name: m, litellm_params: { model: groq/a, order: 1, weight: 1 } }\n"
    )
    assert convert(text, "c.yaml").notes == ()


def test_a_value_that_is_longer_than_a_line_stays_one_value(tmp_path: Path) -> None:
    name, url = "a/" * 70 + "a", f"http://host.example/{'b' * 150}/v1"
    config = loaded(convert(model(f"model: groq/{name}, api_base: '{url}'"), "c.yaml"), tmp_path)
    assert next(iter(config.providers.values())).base_url == url
    assert config.routes["m"].model.model.endswith(f"/{name}")


def test_a_name_that_only_resembles_a_key_is_kept() -> None:
    name = "sagemaker/jumpstart-dft-hf-textgeneration-mistral-7b"
    assert only_route(model(f"model: {name}"))["model"] == f"litellm/{name}"


def test_a_price_has_no_binary_noise() -> None:
    made = convert(model("model: groq/a, input_cost_per_token: 0.00000059"), "c.yaml")
    assert "input: 0.59 }" in made.text


# ------------------------------------------------------------------------------------------------ nothing to import


def test_an_empty_model_list_has_nothing_to_import() -> None:
    with pytest.raises(ConfigError, match="no model and no setting in it that could be imported"):
        convert("model_list: []", "config.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes: {}", "is a routes file already"),
        ("services: { web: { image: nginx } }", "neither a LiteLLM proxy config"),
        ("- a\n- b", "must be a map, not a list"),
        ("a: [1", "config.yaml:1:"),
        ("", "must be a map, not empty"),
    ],
)
def test_what_is_not_a_known_configuration_is_said_so(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        convert(text, "config.yaml")
    assert said in str(raised.value)
