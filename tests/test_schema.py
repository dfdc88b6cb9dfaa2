"""The door for schemas, the validation of answers with local repair, and the text of the re-ask."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from llmrouter.errors import ConfigError, InvalidRequestError, OutputInvalidError
from llmrouter.schema import Wrapped, as_schema, reask, validate
from llmrouter.types import Schema


class Item(BaseModel):
    name: str
    price: float = Field(gt=0)


class Order(BaseModel):
    items: list[Item]


class Node(BaseModel):
    value: int
    next: Node | None = None


class Pair(TypedDict):
    left: int
    right: int


class Plain:
    """A class that pydantic knows nothing of."""


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


JSON = {
    "type": "object",
    "title": "Item of ours",
    "properties": {"name": {"type": "string"}, "price": {"type": "number", "exclusiveMinimum": 0}},
    "required": ["name", "price"],
}


def schema_of(value: Any, base_dir: Path | None = None) -> Schema:
    found = as_schema(value, base_dir)
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------ the door


def test_a_json_schema_is_taken_with_its_title_as_name() -> None:
    assert as_schema(JSON) == Schema(JSON, "Item_of_ours")


def test_a_schema_is_compiled_once_by_its_content() -> None:
    assert as_schema(dict(JSON)) is as_schema(dict(JSON))
    assert as_schema(Item) is as_schema(Item)


def test_what_happens_to_the_dict_afterwards_changes_nothing() -> None:
    given_dict = {"type": "object", "properties": {"a": {"type": "string"}}}
    schema = schema_of(given_dict)
    given_dict["type"] = "array"
    assert schema.json["type"] == "object"


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema", "json_schema": {"name": "it", "schema": JSON, "strict": True}},
        {"type": "json_schema", "name": "it", "schema": JSON},
    ],
)
def test_openais_response_format_is_unwrapped(form: dict[str, Any]) -> None:
    assert as_schema(form) == Schema(JSON, "it")


def test_nothing_stays_nothing_and_a_schema_itself() -> None:
    schema = Schema(JSON)
    assert as_schema(None) is None
    assert as_schema(schema) is schema


def test_a_model_keeps_its_class_and_its_definitions() -> None:
    schema = schema_of(Order)
    assert (schema.name, schema.model) == ("Order", Order)
    assert "Item" in schema.json["$defs"]


def test_a_recursive_model_is_an_object_at_its_root() -> None:
    assert schema_of(Node).json["type"] == "object"


@pytest.mark.parametrize("form", ["item.json", "item.yaml"])
def test_a_file_is_read_relative_to_the_base_directory(tmp_path: Path, form: str) -> None:
    text = json.dumps(JSON) if form.endswith("json") else "type: object\nproperties: {name: {type: string}}\n"
    (tmp_path / form).write_text(text)
    assert schema_of(form, tmp_path).json["type"] == "object"


def test_a_python_reference_is_imported() -> None:
    assert schema_of("python:pydantic.networks:IPvAnyAddress").name == "IPvAnyAddress"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("missing.json", "missing.json: No such file"),
        ("list.yaml", "list.yaml: expected a JSON Schema (a map), got list"),
        ("broken.json", "broken.json: neither JSON nor YAML"),
        ("wrong.json", "wrong.json: schema.properties.a.type: not a JSON Schema"),
        ("python:pydantic", "expected the form python:module:Model"),
        ("python:no_such_module_here:Model", "cannot import 'no_such_module_here'"),
        ("python:pydantic:BaseModle", "has no 'BaseModle'; did you mean 'BaseModel'?"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_of_the_file(tmp_path: Path, value: str, said: str) -> None:
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "broken.json").write_text('{"a": [')
    (tmp_path / "wrong.json").write_text('{"properties": {"a": {"type": "strin"}}}')
    with pytest.raises(ConfigError, match=re.escape(said)):
        as_schema(value, tmp_path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"type": "objekt"}, "schema.type: not a JSON Schema"),
        ({"type": "object", "required": "name"}, "schema.required: not a JSON Schema"),
        ({"$ref": "#/$defs/Missing"}, "$ref '#/$defs/Missing' leads nowhere"),
        ({"$ref": "https://e.org/item.json"}, "nothing is fetched"),
        ({"enum": [object()]}, "cannot be written as JSON"),
        ({"type": "json_schema"}, "needs the key 'schema'"),
        (3, "expected a JSON Schema (a dict), a pydantic model"),
        (Plain, "expected a JSON Schema (a dict), a pydantic model"),
        (Item(name="a", price=1), "expected a JSON Schema (a dict), a pydantic model"),
    ],
)
def test_what_is_no_schema_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        as_schema(value)


# ------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a", "price": 1}',
        ' \n{"name": "a", "price": 1}\n',
        '```json\n{"name": "a", "price": 1}\n```',
        'Here it is:\n```\n{"name": "a", "price": 1}\n```\nAnything else?',
        'Sure! {"name": "a", "price": 1} I hope this helps.',
        'As [1] says of {braces}: {"name": "a", "price": 1}.',
        'First {"name": "draft"}, then {"name": "a", "price": 1}',
    ],
)
def test_an_answer_is_found_in_fences_and_prose(text: str) -> None:
    assert validate(schema_of(JSON), text) == {"name": "a", "price": 1}
    assert validate(schema_of(Item), text) == Item(name="a", price=1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("I cannot say.", "the answer is not JSON"),
        ("", "the answer is not JSON"),
        ('{"name": "a", "price": 1', "the answer is not JSON"),
        ('{"name": "a", "price": NaN}', "the answer is not JSON"),
        ('{"name": "a"}', "answer: 'price' is a required property"),
        ('{"name": 3, "price": 1}', "answer.name: 3 is not of type 'string'"),
        ('[{"name": "a", "price": 1}]', "is not of type 'object'"),
        ("[" * 100_000, "the answer is not JSON"),
    ],
)
def test_an_answer_that_does_not_fit_raises_with_text_and_problems(text: str, problem: str) -> None:
    with pytest.raises(OutputInvalidError, match="does not satisfy the schema 'Item_of_ours'") as caught:
        validate(schema_of(JSON), text)
    assert caught.value.output == text
    assert problem in caught.value.problems[0]


def test_the_problems_of_a_model_name_their_place() -> None:
    with pytest.raises(OutputInvalidError) as caught:
        validate(schema_of(Order), '{"items": [{"name": "a", "price": 1}, {"name": "b", "price": -1}]}')
    assert caught.value.problems == ("answer.items[1].price: Input should be greater than 0",)


@pytest.mark.parametrize(
    ("given_type", "text", "expected"),
    [
        (Point, '{"x": 1}', Point(1)),
        (Pair, '{"left": 1, "right": 2}', {"left": 1, "right": 2}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Node, '{"value": 1, "next": {"value": 2}}', Node(value=1, next=Node(value=2))),
        (list[Item], '{"value": [{"name": "a", "price": 1}]}', [Item(name="a", price=1)]),
        (Literal["yes", "no"], '{"value": "yes"}', "yes"),
        (Item | Point, '{"value": {"x": 1, "y": 2}}', Point(1, 2)),
        ({"type": "array", "items": {"type": "integer"}}, '{"value": [1, 2]}', [1, 2]),
        ({"$ref": "#/$defs/L", "$defs": {"L": {"type": "array", "items": {"$ref": "#/$defs/L"}}}},
         '{"value": [[], [[]]]}', [[], [[]]]),
        ({"type": "array", "items": {"$ref": "#"}}, '{"value": [[], [[]]]}', [[], [[]]]),
    ],
)  # fmt: skip
def test_any_type_is_parsed_and_a_root_that_is_no_object_is_unwrapped(
    given_type: Any, text: str, expected: Any
) -> None:
    schema = schema_of(given_type)
    Draft202012Validator.check_schema(schema.json)
    assert schema.json["type"] == "object"
    assert validate(schema, text) == expected


def test_a_wrapped_answer_without_its_value_is_refused() -> None:
    schema = schema_of(list[int])
    assert isinstance(schema.model, Wrapped)
    with pytest.raises(OutputInvalidError, match="'value' is a required property"):
        validate(schema, "{}")


def test_the_re_ask_lists_every_problem() -> None:
    text = reask(["answer.a: wrong", "answer.b: missing"])
    assert "- answer.a: wrong\n- answer.b: missing\n" in text


answers = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "price", "x"]), inner),
    max_leaves=4,
)
prose = st.sampled_from(["", "Sure: ", "{x} ", "[1] ", "```json\n", "\n```", '{"name": 1} ', "{", '"']) | st.text(
    max_size=5
)


@given(prose, answers | st.fixed_dictionaries({"name": st.text(), "price": st.integers(-2, 5)}), prose)
def test_repair_never_accepts_what_fails_validation(before: str, answer: Any, after: str) -> None:
    try:
        found = validate(schema_of(JSON), before + json.dumps(answer) + after)
    except OutputInvalidError:
        return
    Draft202012Validator(JSON).validate(found)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = validate(schema_of(Item), text)
    except OutputInvalidError as error:
        assert error.output == text  # noqa: PT017 - the property has two good ends
    else:
        assert isinstance(found, Item)


@given(
    st.fixed_dictionaries({"name": st.text(), "price": st.floats(0.01, 1e6)}), st.text(alphabet="ab \n.,", max_size=9)
)
def test_prose_around_a_good_answer_does_no_harm(answer: dict[str, Any], words: str) -> None:
    assert validate(schema_of(JSON), f"{words}{json.dumps(answer)}{words}") == answer
