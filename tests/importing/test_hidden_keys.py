"""No key that is written into a source comes out again: not in the routes file, and not in the report."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from llmrouter.config.document import parse
from llmrouter.config.loader import load
from llmrouter.errors import ConfigError
from llmrouter.importing import Imported, convert
from llmrouter.importing.writing import scalar

CANARY = "canary-0123456789-canary"


def everything(made: Imported) -> str:
    return made.text + "\n".join(map(str, made.notes))


@pytest.mark.parametrize(
    "params",
    [
        {"api_key": CANARY},
        {"api_base": f"https://user:{CANARY}@gateway.example/v1"},
        {"api_base": f"https://gateway.example/{CANARY}", "api_key": CANARY},
        {"extra_headers": {"Authorization": f"Bearer {CANARY}", "X-Api-Key": CANARY}},
        {"extra_body": {"auth_token": CANARY, "deep": [{"password": CANARY}]}},
        {"aws_secret_access_key": CANARY, "aws_session_token": CANARY},
        {"vertex_credentials": {"private_key": CANARY}},
        {"azure_ad_token": CANARY, "client_secret": CANARY},
        {"stop": CANARY, "api_key": CANARY},
        {"organization": CANARY, "api_key": CANARY},
        {"some_unknown_thing": {"token": CANARY}},
    ],
)
def test_a_key_of_litellm_is_never_copied(params: dict[str, Any]) -> None:
    data = {
        "model_list": [{"model_name": "m", "litellm_params": {"model": "openai/gpt-6-luna", **params}}],
        "general_settings": {"master_key": CANARY, "database_url": f"postgresql://u:{CANARY}@db/x"},
        "environment_variables": {"SOME_API_KEY": CANARY},
        "litellm_settings": {"cache_params": {"password": CANARY}},
        "router_settings": {"redis_password": CANARY},
    }
    assert CANARY not in everything(convert(yaml.safe_dump(data), "config.yaml"))


@pytest.mark.parametrize(
    "config",
    [
        {"provider": "openai", "api_key": CANARY},
        {"virtual_key": CANARY},
        {"provider": "bedrock", "aws_secret_access_key": CANARY, "override_params": {"model": "claude"}},
        {"provider": "vertex-ai", "vertex_service_account_json": {"private_key": CANARY}},
        {"strategy": {"mode": "fallback"}, "targets": [{"provider": "groq", "api_key": CANARY}]},
        {"provider": "openai", "override_params": {"metadata": {"token": CANARY}}},
    ],
)
def test_a_key_of_portkey_is_never_copied(config: dict[str, Any]) -> None:
    assert CANARY not in everything(convert(json.dumps(config), "config.json"))


@pytest.mark.parametrize(
    "key", ["sk" + "-proj-0123456789", "gsk" + "_0123456789", "AIza" + "0" * 35, "AKIA" + "0" * 16]
)
def test_what_looks_like_a_key_is_hidden_wherever_it_stands(key: str) -> None:
    data = {"model_list": [{"model_name": "m", "litellm_params": {"model": "groq/a", "user": key, "stop": [key]}}]}
    assert key not in everything(convert(yaml.safe_dump(data), "config.yaml"))


def test_a_key_becomes_the_usual_variable_and_is_reported() -> None:
    text = f"model_list: [{{ model_name: m, litellm_params: {{ model: groq/a, api_key: {CANARY} }} }}]"
    made = convert(text, "config.yaml")
    (note,) = made.notes
    assert note.path == "model_list[0].litellm_params.api_key"
    assert "as GROQ_API_KEY" in note.message


def test_two_keys_become_two_variables() -> None:
    keys = [{"model_name": "m", "litellm_params": {"model": "groq/a", "api_key": f"{CANARY}{at}"}} for at in (1, 2, 1)]
    data = yaml.safe_load(convert(yaml.safe_dump({"model_list": keys}), "c.yaml").text)
    assert data["providers"] == {"groq-2": {"kind": "groq", "api_key": "${GROQ_API_KEY_2}"}}
    assert data["routes"]["m"]["fallbacks"] == ["groq-2/a"]


def test_a_mistake_in_the_source_does_not_show_its_keys() -> None:
    with pytest.raises(ConfigError) as raised:
        convert(f"model_list: [{{ model_name: m, litellm_params: {{ api_key: {CANARY} }} }}]", "c.yaml")
    assert CANARY not in str(raised.value)


# ------------------------------------------------------------------------------------------------ whatever comes

TEXTS = st.text(max_size=12) | st.sampled_from(["groq/a", "os.environ/NAME", "${X", "on", "1e3", "~", "{}", "# x", "*"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PARAM_NAMES = [
    "model", "api_base", "rpm", "weight", "temperature", "stop", "timeout", "extra_body", "thinking", "order",
    "extra_headers", "organization", "max_retries", "reasoning_effort", "max_budget", "n", "api_version",
]  # fmt: skip
SETTING_NAMES = [
    "fallbacks", "num_retries", "timeout", "allowed_fails", "cooldown_time", "retry_policy",
    "model_group_alias", "retry_after", "context_window_fallbacks", "default_fallbacks", "cache",
    "cache_params", "routing_strategy",
]  # fmt: skip
PARAMS = st.dictionaries(st.sampled_from(PARAM_NAMES), VALUES, max_size=6)
SETTINGS = st.dictionaries(st.sampled_from(SETTING_NAMES), VALUES, max_size=5)


@given(st.lists(st.tuples(TEXTS, PARAMS), min_size=1, max_size=3), SETTINGS, SETTINGS)
def test_whatever_a_litellm_config_holds_the_result_loads(
    models: list[tuple[str, dict[str, Any]]], module: dict[str, Any], router: dict[str, Any]
) -> None:
    entries: list[Any] = [
        {"model_name": name, "litellm_params": {"model": "groq/a", **params, "api_key": CANARY}}
        for name, params in models
    ]
    data = {"model_list": entries, "litellm_settings": module, "router_settings": router}
    check(json.dumps(data), "config.yaml")


TARGETS = st.recursive(
    st.dictionaries(
        st.sampled_from(["provider", "weight", "override_params", "retry", "request_timeout", "cache", "custom_host"]),
        VALUES | st.sampled_from(["openai", "@mine", "https://host.example/v1"]),
        max_size=5,
    ),
    lambda inner: st.fixed_dictionaries(
        {
            "strategy": st.fixed_dictionaries(
                {"mode": st.sampled_from(["fallback", "loadbalance", "single", "conditional"])}
            ),
            "targets": st.lists(inner, max_size=3),
        }
    ),
    max_leaves=5,
)


@given(TARGETS)
def test_whatever_a_portkey_config_holds_the_result_loads(config: dict[str, Any]) -> None:
    check(json.dumps({"provider": None, "api_key": CANARY, **config}), "config.json")


def check(text: str, name: str) -> None:
    made, refused = converted(text, name)
    assert CANARY not in refused
    if made is None:
        return
    assert CANARY not in everything(made)
    data = yaml_of(made.text)
    assert load(data, {}).config.routes or data.keys() & {"providers", "defaults"}


def converted(text: str, name: str) -> tuple[Imported | None, str]:
    try:
        return convert(text, name), ""
    except ConfigError as error:
        return None, str(error)


def yaml_of(text: str) -> dict[str, Any]:
    document = parse(text)
    assert not document.findings
    assert isinstance(document.data, dict)
    return document.data


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_a_value_is_written_as_it_is_read(value: Any) -> None:
    text = f"a: {{ b: {scalar(value)}, c: [{scalar(value)}] }}"
    assert yaml_of(text) == {"a": {"b": value, "c": [value]}}
