"""The JSON Schema for editors: committed, current, and of one mind with the loader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, strategies as st

from llmrouter.config.document import parse
from llmrouter.config.loader import load
from llmrouter.config.schema import json_schema, json_schema_text
from llmrouter.errors import ConfigError

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft7Validator(json_schema())


def test_the_committed_schema_is_current() -> None:
    committed = (ROOT / "routes.schema.json").read_text(encoding="utf-8")
    assert committed == json_schema_text(), "run `llmrouter schema > routes.schema.json`"


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


def test_the_schema_accepts_the_routes_file_of_the_project() -> None:
    data = parse((ROOT / "routes.yaml").read_text(encoding="utf-8")).data
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


def test_the_routes_file_names_its_schema_on_the_first_line() -> None:
    first = (ROOT / "routes.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./routes.schema.json"


@pytest.mark.parametrize(
    "text",
    [
        "defaults: { deadline: 1.5h, cache: off, hedge: false, breaker: off }",
        "defaults: { cache: 24h, params: { stop: [a, b], reasoning: 8k, max_tokens: '${N:-400}' } }",
        "defaults: { params: { reasoning: low, stop: a, temperature: '${T}' } }",
        "logging: { level: DEBUG, prompts: '${P}' }",
        "ledger: false",
        "x-anything: [1, two]",
        "routes: { r: { model: { model: openai/m, weight: 2 }, fallbacks: ['${TARGET}', { model: openai/n }] } }",
        "spend_limit: { usd: 5, per: month, on_exceed: next }",
    ],
)
def test_the_schema_accepts_every_spelling(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}/{name}", inner
        for key, inner in schema.items():
            yield from properties(inner, f"{path}/{key}")


def test_every_key_has_a_description_for_the_editor() -> None:
    assert [path for path, schema in properties(json_schema()) if not schema.get("description")] == []


def test_every_map_with_fixed_keys_is_closed() -> None:
    maps = [json_schema(), *json_schema()["definitions"].values()]
    assert [schema.get("description") for schema in maps if schema.get("additionalProperties") is not False] == []


def test_the_schema_is_the_same_on_every_machine() -> None:
    assert str(Path.home()) not in json_schema_text()


SPELLINGS = (
    st.from_regex(r"\A[0-9]{1,3}(\.[0-9])? ?(ms|s|m|h|d|w|M|k|kB|MiB|GB|%|x)?\Z") | st.integers(-2, 9) | st.booleans()
)
FIELDS = (
    "deadline",
    "timeouts.idle",
    "params.max_tokens",
    "params.reasoning",
    "retry.initial",
    "token_budget.input",
    "cache.ttl",
)


@given(st.sampled_from(FIELDS), SPELLINGS)
def test_what_the_loader_accepts_the_schema_accepts(field: str, value: object) -> None:
    data: Any = value
    for key in reversed(field.split(".")):
        data = {key: data}
    data = {"defaults": data}
    try:
        load(data, {})
    except ConfigError:
        return
    assert VALIDATOR.is_valid(data)
