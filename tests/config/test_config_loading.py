"""What a right file becomes: sources, `.env`, variables, YAML as editors read it."""

from __future__ import annotations

import json
import os
import pickle
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

from llmrouter.config.document import Place, parse
from llmrouter.config.environment import read_dotenv
from llmrouter.config.fields import KINDS, PRESETS
from llmrouter.config.loader import Loaded, load
from llmrouter.config.models import RoutesConfig
from llmrouter.config.schema import json_schema
from llmrouter.errors import ConfigError
from llmrouter.providers import registry
from llmrouter.types import Secret

ROOT = Path(__file__).parents[2]
CONTRACT = """\
# yaml-language-server: $schema=./routes.schema.json
version: 1
providers:
  local: { kind: openai, base_url: http://127.0.0.1:11434/v1, api_key: "${LOCAL_KEY:-unused}" }
  azure: { kind: azure, base_url: "${AZURE_OPENAI_ENDPOINT}", api_version: "2025-04-01-preview" }
defaults:
  timeouts: { connect: 5s, attempt: 60s }
  deadline: 2m
  retry: { attempts: 3, backoff: exponential, initial: 500ms, max: 20s, jitter: full }
prices:
  local/*: { input: 0, output: 0 }
  openai/our-finetune: { input: 0.30, output: 1.20, cache_read: 0.15 }
cache: { dir: "~/.cache/llmrouter", size_limit: 1GiB }
ledger: { path: "~/.local/state/llmrouter/usage.db" }
logging: { level: INFO, prompts: false, responses: false }
routes:
  summarize:
    description: Short, factual summaries
    model: openai/gpt-6-luna
    fallbacks:
      - anthropic/claude-haiku-5-5
      - { model: google/gemini-3.8-flash, params: { temperature: 0 }, timeouts: { attempt: 20s } }
      - python/llmrouter.offline:summarize
    system: Summarize for a busy reader.
    params: { temperature: 0.2, max_tokens: 400 }
    token_budget: { input: 8k, output: 400, overflow: drop_oldest }
    cache: { ttl: 24h, stale_if_error: 7d }
    prices: { openai/gpt-6-luna: { input: 0.10, output: 0.50 } }
    on: { content_filter: next }
"""


def loaded(folder: Path, text: str, **environ: str) -> Loaded:
    file = folder / "routes.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def test_a_complete_file_becomes_numbers(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONTRACT, AZURE_OPENAI_ENDPOINT="https://example.test").config
    route = config.routes["summarize"]
    assert config.defaults.deadline == 120.0
    assert config.defaults.retry.initial == 0.5
    assert config.prices["openai/our-finetune"].cache_read == Decimal("0.15")
    assert config.cache.size_limit == 1024**3
    assert route.model.model == "openai/gpt-6-luna"
    assert route.fallbacks[1].timeouts.attempt == 20.0
    assert route.token_budget is not None
    assert route.token_budget.input == 8000
    assert route.cache is not None
    assert route.cache.stale_if_error == 604_800.0
    assert dict(route.on) == {"content_filter": "next"}


def test_an_editor_finds_no_fault_in_a_complete_file() -> None:
    validator = jsonschema.Draft7Validator(json_schema())
    assert [error.message for error in validator.iter_errors(parse(CONTRACT).data)] == []


def test_the_routes_file_of_the_project_loads_without_any_key() -> None:
    config = load(ROOT / "routes.yaml", {}).config
    assert {"summarize", "classify", "extract", "chat", "vision", "embed"} <= config.routes.keys()
    assert config.routes["summarize"].fallbacks[-1].model == "python/llmrouter.offline:summarize"
    assert config.routes["embed"].fallbacks == ()


def test_a_dict_loads_like_a_file(tmp_path: Path) -> None:
    data = {"routes": {"r": {"model": "openai/m", "deadline": "${D:-3s}"}}}
    from_file = loaded(tmp_path, json.dumps(data))
    from_dict = load(data, {})
    assert from_dict.config == from_file.config
    assert from_dict.path is None
    assert from_dict.locate("routes.r") is None


def test_a_config_loads_to_an_equal_config(tmp_path: Path) -> None:
    text = CONTRACT + "    hedge: off\n    breaker: false\n"
    config = loaded(tmp_path, text, LOCAL_KEY="k", AZURE_OPENAI_ENDPOINT="https://example.test").config
    again = load(config, {}).config
    assert again == config
    assert again.routes["summarize"].model_fields_set == config.routes["summarize"].model_fields_set


def test_a_variable_in_a_finished_config_stays_text() -> None:
    config = RoutesConfig.model_validate({"routes": {"r": {"model": "openai/m", "system": "use ${HOME}"}}})
    assert load(config, {}).config.routes["r"].system == "use ${HOME}"


def test_a_finished_config_is_checked_for_its_providers_too() -> None:
    config = RoutesConfig.model_validate({"routes": {"r": {"model": "opneai/m"}}})
    with pytest.raises(ConfigError, match="did you mean 'openai'"):
        load(config, {})


def test_a_finished_config_is_checked_for_repeated_targets_too() -> None:
    config = RoutesConfig.model_validate({"routes": {"r": {"model": "openai/m", "fallbacks": ["openai/m"]}}})
    with pytest.raises(ConfigError, match="already asks 'openai/m'"):
        load(config, {})


@pytest.mark.parametrize("pattern", ["python/*", "*/gpt-6*", "openai/ft:*", "local/llama-4/big"])
def test_prices_take_patterns_of_targets(pattern: str) -> None:
    found = load({"providers": {"local": {"kind": "openai"}}, "prices": {pattern: {"input": 0}}}, {})
    assert found.config.prices[pattern].input == 0


def test_without_a_source_and_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = load(None, {})
    assert found.path is None
    assert found.config == RoutesConfig.model_validate({})


def test_without_a_source_the_file_of_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("routes.yaml").write_text("routes: {here: {model: openai/m}}", encoding="utf-8")
    assert list(load(None, {}).config.routes) == ["here"]


def test_the_variable_for_the_file_comes_before_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("routes.yaml").write_text("routes: {here: {model: openai/m}}", encoding="utf-8")
    Path("other.yaml").write_text("routes: {there: {model: openai/m}}", encoding="utf-8")
    assert list(load(None, {"LLMROUTER_ROUTES": "other.yaml"}).config.routes) == ["there"]


def test_an_empty_dict_is_an_empty_configuration() -> None:
    assert load({}, {}).config.routes == {}


def test_dotenv_beside_the_file_fills_in_what_the_environment_lacks(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=from file\nB=from file\n", encoding="utf-8")
    found = loaded(tmp_path, 'routes: {r: {model: openai/m, system: "${A}, ${B}"}}', B="from process")
    assert found.config.routes["r"].system == "from file, from process"
    assert found.environ["A"] == "from file"
    assert "A" not in os.environ


def test_the_mark_that_some_editors_put_first_belongs_to_no_variable(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nB=2\n", encoding="utf-8-sig")
    (tmp_path / "routes.yaml").write_text("routes: {}\n", encoding="utf-8-sig")
    assert load(tmp_path / "routes.yaml", {}).environ == {"A": "1", "B": "2"}


def test_a_folder_named_dotenv_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert loaded(tmp_path, "version: 1").config.version == 1


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("export A = spaced # comment", "spaced"),
        ("A=a#b", "a#b"),
        ("A='single # $x \\n'", "single # $x \\n"),
        ('A="two\\nlines \\"quoted\\""', 'two\nlines "quoted"'),
        ('A="really\ntwo"', "really\ntwo"),
        ("A=", ""),
        ("A=# only a comment", ""),
        ("# A=no\nA=yes", "yes"),
        ("not an assignment\nA=yes\r\n", "yes"),
        ("A=first\nA=second", "second"),
    ],
)
def test_a_line_of_dotenv_is_read(line: str, value: str) -> None:
    assert read_dotenv(line)["A"] == value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "x"),
        ("<${A}${A}>", "<xx>"),
        ("${NOPE:-fallback}", "fallback"),
        ("${NOPE:-}", ""),
        ("${EMPTY:-fallback}", "fallback"),
        ("${EMPTY}", ""),
        ("${NOPE:-a $5 default}", "a $5 default"),
        ("$${A}", "${A}"),
        ("$A costs 5$", "$A costs 5$"),
        ("${INJECTED}", "x: [1]\n${A} !!python/name:os"),
    ],
)
def test_a_variable_is_replaced_once_and_never_read_as_yaml(tmp_path: Path, text: str, result: str) -> None:
    file = f"routes: {{r: {{model: openai/m, system: {json.dumps(text)}}}}}"
    variables = {"A": "x", "EMPTY": "", "INJECTED": "x: [1]\n${A} !!python/name:os"}
    assert loaded(tmp_path, file, **variables).config.routes["r"].system == result


def test_a_variable_may_hold_a_number_or_a_switch(tmp_path: Path) -> None:
    text = """
logging: { prompts: "${P}" }
routes: { r: { model: openai/m, params: { temperature: "${T}", max_tokens: "${N}", seed: "${S}" } } }
"""
    config = loaded(tmp_path, text, P="true", T="0.5", N="2k", S="-7").config
    params = config.routes["r"].params
    assert (params.temperature, params.max_tokens, params.seed) == (0.5, 2000, -7)
    assert config.logging is not None
    assert config.logging.prompts is True


def test_a_provider_that_asks_for_unset_variables_loads_and_is_named(tmp_path: Path) -> None:
    text = "providers: {mine: {kind: openai, base_url: 'https://${HOST}/v1', api_key: '${KEY}'}}"
    found = loaded(tmp_path, text)
    assert found.unset == {"mine": ("HOST", "KEY")}
    assert found.config.providers["mine"].api_key is None
    assert found.config.providers["mine"].base_url is None


def test_a_key_is_a_secret_and_no_repr_shows_it(tmp_path: Path) -> None:
    text = "providers: {openai: {api_key: '${KEY}', headers: {authorization: '${KEY}'}}}"
    found = loaded(tmp_path, text, KEY="hush-hush")
    assert found.config.providers["openai"].api_key == Secret("hush-hush")
    assert "hush" not in repr(found)
    assert "hush" not in found.config.model_dump_json(include={"providers": {"openai": {"api_key"}}})


def test_words_of_yaml_1_1_are_text_as_in_an_editor(tmp_path: Path) -> None:
    text = """
providers: { azure: { kind: azure, api_version: 2025-04-01 } }
routes:
  r: { model: openai/m, prompt_cache: off, on: { timeout: retry }, system: yes }
  010: { model: openai/m }
"""
    config = loaded(tmp_path, text).config
    assert config.providers["azure"].api_version == "2025-04-01"
    assert config.routes["r"].prompt_cache == "off"
    assert dict(config.routes["r"].on) == {"timeout": "retry"}
    assert config.routes["r"].system == "yes"
    assert "010" in config.routes


def test_anchors_merge_keys_and_notes_work(tmp_path: Path) -> None:
    text = """
x-common: &common { model: openai/m, deadline: 9s, params: &params { seed: 1 } }
routes:
  a: { <<: *common, deadline: 3s }
  b: { <<: [{ system: nearest }, { system: further, deadline: 1s }], model: openai/m, params: *params }
"""
    routes = loaded(tmp_path, text).config.routes
    assert (routes["a"].model.model, routes["a"].deadline) == ("openai/m", 3.0)
    assert (routes["b"].system, routes["b"].deadline, routes["b"].params.seed) == ("nearest", 1.0, 1)


def test_keys_with_nothing_after_them_count_as_not_written(tmp_path: Path) -> None:
    text = "version: 1\nproviders:\n  openai:\ndefaults:\n  retry:\nroutes:\n"
    config = loaded(tmp_path, text).config
    assert config.defaults == RoutesConfig.model_validate({}).defaults
    assert "openai" in config.providers


@pytest.mark.parametrize(
    ("text", "ttl"), [("24h", 86_400.0), ("{ ttl: 1h }", 3600.0), ("true", None), ("{ stale_if_error: 1d }", None)]
)
def test_a_cache_may_be_a_lifetime_a_switch_or_a_map(tmp_path: Path, text: str, ttl: float | None) -> None:
    cache = loaded(tmp_path, f"routes: {{r: {{model: openai/m, cache: {text}}}}}").config.routes["r"].cache
    assert cache is not None
    assert cache.ttl == ttl


@pytest.mark.parametrize("word", ["false", "off"])
@pytest.mark.parametrize("key", ["cache", "breaker", "hedge", "spend_limit"])
def test_a_section_is_turned_off_with_a_word(tmp_path: Path, key: str, word: str) -> None:
    route = loaded(tmp_path, f"routes: {{r: {{model: openai/m, {key}: {word}}}}}").config.routes["r"]
    assert getattr(route, key) is None
    assert key in route.model_fields_set


def test_the_ledger_can_be_turned_off(tmp_path: Path) -> None:
    assert loaded(tmp_path, "ledger: false").config.ledger is None
    assert loaded(tmp_path, "version: 1").config.ledger is not None


def test_a_schema_may_be_a_file_beside_the_routes_or_a_python_model(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("type: object", encoding="utf-8")
    (tmp_path / "s.json").write_text('{\n\t"type": "object"\n}', encoding="utf-8")
    text = "routes: {a: {model: openai/m, schema: s.yaml}, b: {model: openai/m, schema: 'python:my.app:Model'}, "
    text += "c: {model: openai/m, schema: s.json}}"
    found = loaded(tmp_path, text)
    assert found.config.routes["a"].output_schema == "s.yaml"
    assert found.file("s.yaml") == tmp_path / "s.yaml"
    assert found.config.routes["b"].output_schema == "python:my.app:Model"


def test_the_names_of_kinds_and_presets_can_be_passed_in() -> None:
    data = {"providers": {"mine": {"kind": "new"}}, "routes": {"r": {"model": "handy/m"}}}
    found = load(data, {}, kinds=["new"], presets=["handy"])
    assert found.config.providers["mine"].kind == "new"


def test_the_kinds_and_presets_known_here_are_those_that_providers_exist_for() -> None:
    assert {*KINDS, *PRESETS} == set(registry.names())


def test_a_loaded_file_tells_where_its_values_stand(tmp_path: Path) -> None:
    found = loaded(tmp_path, "routes:\n  r:\n    model: openai/m\n    fallbacks:\n      - anthropic/n\n")
    assert found.locate(("routes", "r", "model")) == Place(3, 12)
    assert found.locate("routes.r.fallbacks[0]") == Place(5, 9)
    assert found.locate(("routes", "r", "fallbacks", 0, "timeouts")) == Place(5, 9)


def test_the_compiler_can_report_a_mistake_with_its_place(tmp_path: Path) -> None:
    found = loaded(tmp_path, "routes:\n  r: { model: openai/m }\n")
    problem = found.problem(("routes", "r", "model"), "no such model", "look again")
    assert str(problem) == f"{tmp_path / 'routes.yaml'}:2:15: routes.r.model: no such model; look again"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert loaded(tmp_path, "\ufeffversion: 1").config.version == 1


def test_a_config_error_pickles(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "absent.yaml", {})
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
