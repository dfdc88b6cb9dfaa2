"""Whatever is in the file, the outcome is a configuration or a ConfigError with places inside the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings, strategies as st

from llmrouter.config.document import parse
from llmrouter.config.environment import Substituted, Substitution, read_dotenv
from llmrouter.config.loader import Loaded, load
from llmrouter.config.models import RouteConfig, RoutesConfig
from llmrouter.errors import ConfigError

WORDS = ["version", "providers", "defaults", "routes", "r", "model", "fallbacks", "openai/m", "retry", "attempts", "on"]
MARKS = [": ", "- ", "\n", "\n  ", "\n    ", ", ", "&a ", "*a", "<<", "!!str ", "!x ", "? ", "---", *"{}[]|>#\"'%~"]
SCALARS = ["1", "30s", "true", "null", ".inf", "1e999", "0x1f", "${A}", "${B}", "$${", "\\U99999999", "\t", "\ufeff"]
KEYS = sorted({*RoutesConfig.model_fields, *RouteConfig.model_fields, "schema", "attempts", "openai"})
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["openai/m", "30s"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


def outcome(source: Any) -> Loaded | ConfigError:
    """Return what loading leads to; any other exception fails the test."""
    try:
        return load(source, {"A": "a"})
    except ConfigError as error:
        return error


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties") / "routes.yaml"


@settings(max_examples=400)
@given(text=st.lists(st.sampled_from([*WORDS, *MARKS, *SCALARS]), max_size=30).map("".join) | st.text())
@example(text='a: "\\U99999999"')
@example(text='a: "\\uD800"')
@example(text="%YAML 9999999999999999999.1\n---\na: 1")
@example(text="version: " + "1" * 5000)
@example(text="? \n: 1")
@example(text="<<: 1")
@example(text="&a a: *a")
@example(text="a: !!int x")
@example(text="a: !!null x")
@example(text="routes: !!map [a]")
def test_any_text_is_a_configuration_or_a_config_error(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = outcome(file)
    if isinstance(found, ConfigError):
        assert found.problems
        lines = (
            text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 1
        )
        places = [problem.line for problem in found.problems if problem.line is not None]
        assert places == sorted(places)
        assert all(1 <= line <= lines + 1 for line in places)


@settings(max_examples=200)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_a_configuration_or_a_config_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    outcome(file)


@settings(max_examples=300)
@given(data=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
def test_any_dict_is_a_configuration_or_a_config_error(data: dict[str, Any]) -> None:
    outcome(data)


@example(data={None: "${"})
@given(data=st.dictionaries(st.integers() | st.none() | st.tuples(st.text()), VALUES, max_size=3))
def test_a_dict_with_keys_that_are_no_text_is_a_config_error_or_empty(data: dict[Any, Any]) -> None:
    assert isinstance(outcome(data), ConfigError) or not data


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(PLAIN.filter(lambda data: data is not None))
def test_json_is_read_as_the_data_it_is(data: Any) -> None:
    text = json.dumps(data)
    assume(len(text) < 1024)  # YAML allows a plain key no more characters than that
    assert parse(text).data == data


@given(st.dictionaries(st.text(min_size=1), PLAIN, min_size=1))
def test_every_value_of_a_document_has_a_place(data: dict[str, Any]) -> None:
    document = parse(yaml.safe_dump(data, allow_unicode=True))
    assert document.values.keys() >= {(key,) for key in document.data}
    assert document.keys.keys() >= {(key,) for key in document.data}


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_a_variable_stays_as_it_is(text: str) -> None:
    assert Substitution({}).apply({"a": [text]}) == {"a": [text]}


@given(st.text(), st.text())
def test_the_value_of_a_variable_arrives_as_it_is(before: str, value: str) -> None:
    before = before.replace("$", "")
    found = Substitution({"NAME": value}).apply({"a": before + "${NAME}"})["a"]
    assert found == before + value
    assert isinstance(found, Substituted)
    assert repr(found) == repr(before + "${NAME}")


@given(st.text())
def test_any_dotenv_is_read(text: str) -> None:
    assert all(name.isidentifier() for name in read_dotenv(text))


@given(st.dictionaries(st.from_regex(r"\A[A-Z_]{1,8}\Z"), st.text(st.characters(exclude_characters="'"))))
def test_single_quotes_keep_any_value(variables: dict[str, str]) -> None:
    assert read_dotenv("".join(f"{name}='{value}'\n" for name, value in variables.items())) == variables
