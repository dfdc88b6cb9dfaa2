"""Providers by name: the file's entry, the environment, proxies, presets and plugins."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from llmrouter.errors import ConfigError
from llmrouter.providers import registry
from llmrouter.providers.base import Provider, ProviderSettings
from llmrouter.providers.openai import OpenAIProvider, dialect_of
from llmrouter.providers.openai_dialect import COMPATIBLE, OPENAI
from llmrouter.providers.presets import PRESETS
from llmrouter.types import Secret


def settings(name: str, environ: Mapping[str, str] | None = None, **entry: Any) -> ProviderSettings:
    return registry.settings(name, entry or None, environ or {})


def test_every_kind_of_the_contract_has_a_name() -> None:
    kinds = "openai anthropic google azure bedrock vertex google-generativeai litellm python"
    presets = "openrouter groq mistral deepseek xai together ollama vllm lmstudio"
    assert {*kinds.split(), *presets.split()} <= registry.names()


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("google", "GEMINI_API_KEY"),
        ("google", "GOOGLE_API_KEY"),
        ("azure", "AZURE_OPENAI_API_KEY"),
        ("groq", "GROQ_API_KEY"),
        ("openrouter", "OPENROUTER_API_KEY"),
        ("deepseek", "DEEPSEEK_API_KEY"),
        ("mistral", "MISTRAL_API_KEY"),
        ("xai", "XAI_API_KEY"),
        ("together", "TOGETHER_API_KEY"),
    ],
)
def test_keys_come_from_the_usual_variables(name: str, variable: str) -> None:
    found = settings(name, {variable: "k"})
    assert found.api_key == Secret("k")
    assert variable in found.key_variables


def test_googles_newer_variable_wins() -> None:
    assert settings("google", {"GOOGLE_API_KEY": "old", "GEMINI_API_KEY": "new"}).api_key == Secret("new")


def test_the_file_wins_over_the_environment() -> None:
    environ = {"OPENAI_API_KEY": "env", "OPENAI_BASE_URL": "http://env/v1", "OPENAI_ORG_ID": "env"}
    found = settings("openai", environ, api_key="file", base_url="http://file/v1", organization="file")
    assert (found.api_key, found.base_url, found.organization) == (Secret("file"), "http://file/v1", "file")


def test_an_empty_value_of_the_file_leaves_it_to_the_environment() -> None:
    assert settings("openai", {"OPENAI_API_KEY": "env"}, api_key="").api_key == Secret("env")


def test_openais_environment_is_read() -> None:
    environ = {"OPENAI_BASE_URL": "http://env/v1", "OPENAI_ORG_ID": "o", "OPENAI_PROJECT_ID": "p"}
    found = settings("openai", environ)
    assert (found.base_url, found.organization, found.project) == ("http://env/v1", "o", "p")


def test_azures_environment_is_read() -> None:
    environ = {"AZURE_OPENAI_ENDPOINT": "https://a", "OPENAI_API_VERSION": "v", "AZURE_OPENAI_AD_TOKEN": "t"}
    found = settings("azure", environ)
    assert (found.base_url, found.api_version, found.token) == ("https://a", "v", Secret("t"))


def test_bedrocks_region_comes_from_the_environment() -> None:
    assert settings("bedrock", {"AWS_REGION": "eu-central-1"}).region == "eu-central-1"


def test_a_secret_stays_as_it_is() -> None:
    secret = Secret("k")
    assert settings("openai", api_key=secret).api_key is secret


@pytest.mark.parametrize("key", ["k\n", "  k ", Secret("k\r\n")])
def test_blanks_around_a_key_are_dropped(key: str | Secret) -> None:
    assert settings("openai", api_key=key).api_key == Secret("k")


@pytest.mark.parametrize("key", ["hid\nden", "hid\u2013den", Secret("hid\x00den")])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str | Secret) -> None:
    with pytest.raises(ConfigError, match="provider 'openai': its key") as caught:
        settings("openai", api_key=key)
    assert "hid" not in str(caught.value)


def test_pools_headers_and_bundles_are_taken_over() -> None:
    found = settings("openai", pool={"max_connections": 7, "keepalive": 0}, headers={"a": "b"}, ca_bundle="/c.pem")
    assert (found.max_connections, found.keepalive, found.headers, found.ca_bundle) == (7, 0, {"a": "b"}, "/c.pem")


def test_defaults_are_the_contracts() -> None:
    found = settings("openai")
    assert (found.max_connections, found.keepalive, found.proxy, found.api) == (100, 20, None, None)


def test_an_entry_takes_its_kind_from_a_known_name() -> None:
    assert settings("groq", headers={"a": "b"}).kind == "groq"


def test_a_name_of_ones_own_needs_a_kind() -> None:
    with pytest.raises(ConfigError, match="'local' needs a kind"):
        settings("local", base_url="http://127.0.0.1/v1")


def test_an_unknown_kind_names_the_near_miss() -> None:
    with pytest.raises(ConfigError, match="did you mean 'openrouter'"):
        settings("mine", kind="openruoter")


def test_keys_do_not_show_in_settings() -> None:
    assert "hidden" not in repr(settings("openai", api_key="hidden"))


# ------------------------------------------------------------------------------------------------ proxies


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
        ({"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com, .openai.com"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "example.com"}, "http://p:1"),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_environments_proxy_is_decided_by_the_providers_host(environ: dict[str, str], proxy: str | None) -> None:
    assert settings("openai", environ).proxy == proxy


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:1", "[::1]:1", "127.8.8.8"])
def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    environ = {"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}
    assert settings("openai", environ, base_url=f"http://{host}/v1").proxy is None


def test_the_entrys_proxy_wins_even_for_this_machine() -> None:
    environ = {"HTTP_PROXY": "http://env:1"}
    assert settings("openai", environ, base_url="http://127.0.0.1/v1", proxy="http://p:1").proxy == "http://p:1"


def test_an_empty_proxy_of_the_entry_means_none() -> None:
    assert settings("openai", {"HTTPS_PROXY": "http://p:1"}, proxy="").proxy is None


def test_plain_http_goes_by_the_proxy_for_plain_http() -> None:
    environ = {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://s:1"}
    assert settings("openai", environ, base_url="http://llm.example.com/v1").proxy == "http://p:1"
    assert settings("openai", {**environ, "REQUEST_METHOD": "GET"}, base_url="http://x.org/v1").proxy is None


# ------------------------------------------------------------------------------------------------ providers


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_becomes_a_provider_with_its_own_dialect(name: str) -> None:
    made = registry.create(settings(name, api_key="k"))
    assert isinstance(made, OpenAIProvider)
    assert dialect_of(made.settings) is PRESETS[name].dialect
    assert made.unusable() is None


def test_a_missing_key_names_the_variables() -> None:
    assert registry.create(settings("openai")).unusable() == (
        "no key: set OPENAI_API_KEY (environment or .env), or api_key in providers.openai"
    )
    reason = registry.create(settings("perplexity")).unusable()
    assert reason is not None
    assert "PERPLEXITY_API_KEY or PPLX_API_KEY" in reason


@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio"])
def test_local_servers_need_no_key(name: str) -> None:
    assert registry.create(settings(name)).unusable() is None


@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        (None, OPENAI),
        ("https://api.openai.com/v1", OPENAI),
        ("https://eu.api.openai.com/v1", OPENAI),
        ("http://127.0.0.1:11434/v1", COMPATIBLE),
        ("https://api.openai.com.example.org/v1", COMPATIBLE),
    ],
)
def test_only_openai_itself_is_spoken_to_as_openai(base_url: str | None, dialect: object) -> None:
    assert dialect_of(ProviderSettings("openai", "openai", base_url=base_url)) is dialect


# ------------------------------------------------------------------------------------------------ plugins


def plugged(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    points = EntryPoints([EntryPoint("homemade", value, registry.ENTRY_POINTS)])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)


def homemade(settings: ProviderSettings) -> Provider:
    return OpenAIProvider(settings)


def broken(settings: ProviderSettings) -> Provider:
    raise RuntimeError(f"cannot serve {settings.name}")


def test_a_plugins_kind_is_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged(monkeypatch, f"{__name__}:homemade")
    assert "homemade" in registry.names()
    made = registry.create(settings("mine", kind="homemade", base_url="http://127.0.0.1/v1"))
    assert isinstance(made, OpenAIProvider)
    assert made.settings.name == "mine"


@pytest.mark.parametrize("value", [f"{__name__}:broken", f"{__name__}:absent", "no_such_module_at_all:x"])
def test_a_broken_plugin_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    plugged(monkeypatch, value)
    with pytest.raises(ConfigError, match=r"the plugin .* of kind 'homemade' failed") as caught:
        registry.create(settings("mine", kind="homemade"))
    assert value in str(caught.value)


def test_an_unknown_kind_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match="unknown kind 'nothing'"):
        registry.create(ProviderSettings("mine", "nothing"))
