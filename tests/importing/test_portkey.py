"""A Portkey config becomes one route; its tree of targets is laid flat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter.importing import Imported, convert

SOURCES = Path(__file__).parent / "sources"


def imported(name: str) -> Imported:
    return convert((SOURCES / name).read_text(encoding="utf-8"), name)


def made(config: dict[str, Any]) -> Imported:
    return convert(json.dumps(config), "config.json")


def route(config: dict[str, Any]) -> dict[str, Any]:
    (found,) = yaml.safe_load(made(config).text)["routes"].values()
    assert isinstance(found, dict)
    return found


def target(model: str, **more: Any) -> dict[str, Any]:
    return {"provider": "groq", "override_params": {"model": model}, **more}


def told(found: Imported) -> dict[str, str]:
    return {note.path: note.message for note in found.notes}


def test_nested_targets_share_the_calls_and_follow_each_other() -> None:
    found = yaml.safe_load(imported("portkey_nested.json").text.replace(" on:", " 'on':"))["routes"]["portkey_nested"]
    assert found == {
        "model": {
            "model": "openai-prod/gpt-6-luna",
            "params": {"temperature": 0, "extra": {"frequency_penalty": 0.5}},
            "weight": 0.75,
        },
        "fallbacks": [
            {"model": "azure/luna", "weight": 0.25},
            {"model": "anthropic/CHOOSE-A-MODEL", "timeouts": {"attempt": "3s"}, "weight": 0},
        ],
        "strategy": "weighted",
        "retry": {"attempts": 4},
        "on": {"server": "next", "overloaded": "retry"},
        "timeouts": {"attempt": "10s"},
        "cache": {"ttl": "1h"},
        "breaker": {"failures": 4, "cooldown": "45s"},
    }


def test_providers_of_a_tree_have_their_entries() -> None:
    assert yaml.safe_load(imported("portkey_nested.json").text)["providers"] == {
        "openai-prod": {"kind": "openai", "api_key": "${OPENAI_PROD_API_KEY}"},
        "azure": {
            "base_url": "https://north.openai.azure.com",
            "api_key": "${AZURE_NORTH_KEY}",
            "api_version": "2025-04-01-preview",
        },
    }


def test_a_tree_is_reported_where_it_has_no_counterpart() -> None:
    report = told(imported("portkey_nested.json"))
    assert "similar" in report["cache.mode"]
    assert "OPENAI_PROD_API_KEY" in report["targets[0]"]
    assert "ANTHROPIC_API_KEY" in report["targets[1].targets[1].virtual_key"]
    assert "CHOOSE-A-MODEL" in report["targets[1].targets[1]"]
    assert "in your code" in report["targets[1].targets[1].input_guardrails"]
    assert "targets[1].strategy.on_status_codes" in report


def test_a_fallback_goes_on_after_every_failure() -> None:
    found = yaml.safe_load(imported("portkey_fallback.json").text.replace(" on:", " 'on':"))["routes"]["answers"]
    assert found == {
        "model": "openai/gpt-6-luna",
        "fallbacks": [
            {"model": "anthropic/claude-haiku-5-5", "params": {"max_tokens": 500}, "retry": {"attempts": 2}},
            "litellm/cohere/command-r",
        ],
        "on": {"bad_request": "next", "content_filter": "next"},
    }


def test_one_target_is_a_route_of_one_rung() -> None:
    assert route(target("llama-4")) == {"model": "groq/llama-4"}


def test_a_model_may_name_its_provider() -> None:
    found = made({"override_params": {"model": "@groq-main/llama-4"}})
    assert yaml.safe_load(found.text)["routes"]["config"] == {"model": "groq-main/llama-4"}


def test_inner_targets_take_over_what_the_outer_ones_say() -> None:
    inner = {"strategy": {"mode": "fallback"}, "request_timeout": 2000, "targets": [target("a"), target("b")]}
    found = route({"strategy": {"mode": "fallback"}, "targets": [inner, target("c")]})
    assert found["model"] == {"model": "groq/a", "timeouts": {"attempt": "2s"}}
    assert found["fallbacks"] == [{"model": "groq/b", "timeouts": {"attempt": "2s"}}, "groq/c"]


def test_shares_inside_shares_multiply() -> None:
    inner = {
        "weight": 3,
        "strategy": {"mode": "loadbalance"},
        "targets": [target("a", weight=1), target("b", weight=2)],
    }
    found = route({"strategy": {"mode": "loadbalance"}, "targets": [inner, target("c", weight=1)]})
    assert [found["model"]["weight"], *(rung.get("weight") for rung in found["fallbacks"])] == [1, 2, 1]


def test_equal_shares_need_no_weights() -> None:
    found = route({"strategy": {"mode": "loadbalance"}, "targets": [target("a"), target("b")]})
    assert found == {"model": "groq/a", "fallbacks": ["groq/b"], "strategy": "weighted"}


def test_conditions_become_routes_to_choose_from() -> None:
    conditions = [{"query": {"metadata.plan": "paid"}, "then": "strong"}]
    found = made(
        {
            "strategy": {"mode": "conditional", "conditions": conditions, "default": "fast"},
            "targets": [target("a", name="fast"), target("b", name="strong")],
        }
    )
    routes = yaml.safe_load(found.text)["routes"]
    assert routes == {"config": {"model": "groq/a"}, "config-strong": {"model": "groq/b"}}
    assert "choose the route in code" in told(found)["strategy.conditions"]


def test_retries_that_leave_a_status_out_go_to_the_next_target() -> None:
    found = made({**target("a"), "retry": {"attempts": 2, "on_status_codes": [500, 408, 200]}})
    assert "on: { rate_limit: next, timeout: retry }" in found.text
    assert "200 is no status of a failure" in told(found)["retry.on_status_codes"]


def test_a_host_of_ones_own_is_its_base_url() -> None:
    found = made(target("m", provider="openai", custom_host="http://127.0.0.1:9000/v1", api_key="none"))
    data = yaml.safe_load(found.text)
    assert data["providers"] == {
        "openai-local": {"kind": "openai", "base_url": "http://127.0.0.1:9000/v1", "api_key": "unused"}
    }


@pytest.mark.parametrize("mode", ["simple", "semantic"])
def test_a_cache_without_an_age_is_reported(mode: str) -> None:
    found = made({**target("a"), "cache": {"mode": mode}})
    assert "cache: true" in found.text
    assert "24h" in told(found)["cache"]


def test_a_config_that_leaves_the_model_to_the_call_becomes_defaults() -> None:
    config = {"retry": {"attempts": 2}, "cache": {"mode": "simple", "max_age": 60}, "override_params": {"top_p": 0.5}}
    found = made(config)
    assert yaml.safe_load(found.text) == {
        "version": 1,
        "defaults": {"retry": {"attempts": 3}, "cache": {"ttl": "1m"}, "params": {"top_p": 0.5}},
    }
    assert "no model in it" in told(found)[""]


@pytest.mark.parametrize("config", [{"cache": {"mode": "simple", "max_age": 60}}, {"request_timeout": 500}])
def test_one_setting_is_enough_to_be_recognized(config: dict[str, Any]) -> None:
    assert made(config).format == "portkey"
