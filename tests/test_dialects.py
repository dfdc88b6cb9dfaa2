"""JSON Schema in the providers' dialects: what is kept, what moves into words, and what cannot be said at all."""

from __future__ import annotations

import copy
import json
from types import MappingProxyType
from typing import Any

import pytest
from google.genai import types as google_types
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from llmrouter.dialects import anthropic_lacks, for_anthropic, for_google, for_google_openapi, for_openai
from llmrouter.schema_tree import subschemas


class Node(BaseModel):
    value: int
    next: Node | None = None


def holding(inner: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": inner}, "required": ["a"] if required else []}


def a_of(schema: dict[str, Any]) -> Any:
    return schema["properties"]["a"]


DIALECTS = [lambda schema: for_openai(schema)[0], for_anthropic, for_google, for_google_openapi]


# ------------------------------------------------------------------------------------------------ OpenAI


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({"type": "string"}, {"type": "string"}),
        ({"type": "string", "minLength": 2}, {"type": "string", "description": "(minLength: 2)"}),
        ({"type": "string", "format": "uri", "description": "link"},
         {"type": "string", "description": 'link (format: "uri")'}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 1}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"allOf": [{"type": "string"}], "description": "d"}, {"type": "string", "description": "d"}),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True},
         {"type": "array", "items": {"type": "string"}, "description": "(uniqueItems: true)"}),
        ({"type": "object", "properties": {"b": {"const": 1}}, "required": ["b"]},
         {"type": "object", "properties": {"b": {"const": 1}}, "required": ["b"], "additionalProperties": False}),
    ],
)  # fmt: skip
def test_openai_strict_keeps_the_form_and_puts_limits_into_words(inner: Any, said: Any) -> None:
    schema, strict = for_openai(holding(inner))
    assert strict
    assert a_of(schema) == said
    assert (schema["required"], schema["additionalProperties"]) == (["a"], False)


@pytest.mark.parametrize(
    "inner",
    [
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"enum": ["x", None]},
        {"type": "integer", "default": 3},
    ],
)
def test_an_optional_property_that_may_say_nothing_is_required_strictly(inner: Any) -> None:
    schema, strict = for_openai(holding(inner, required=False))
    assert strict
    assert schema["required"] == ["a"]


def test_a_default_is_told_in_words() -> None:
    schema, _ = for_openai(holding({"type": "integer", "default": 3}, required=False))
    assert a_of(schema) == {"type": "integer", "description": "(default: 3)"}


@pytest.mark.parametrize(
    "schema",
    [
        holding({"type": "string"}, required=False),
        holding({"type": "object", "additionalProperties": {"type": "integer"}}),
        holding({"type": "object"}),
        holding({"type": "object", "properties": {}, "patternProperties": {"^x": {"type": "string"}}}),
        {**holding({"type": "string"}), "additionalProperties": True},
        holding({"not": {"type": "string"}}),
        holding({"allOf": [{"type": "string"}, {"minLength": 1}]}),
        holding({"type": "array", "prefixItems": [{"type": "string"}]}),
        holding({"type": "array"}),
        {**holding({"type": "string"}), "required": ["a", "b"]},
        holding({"type": "object", "properties": {"b": {"const": 1}}, "anyOf": [holding({"const": 1})]}),
        {**holding({"$ref": "#/$defs/B", "properties": {"c": {"const": 1}}}), "$defs": {"B": holding({"const": 1})}},
        holding({}),
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [holding({"type": "string"})]},
    ],
)
def test_what_strict_mode_cannot_say_goes_out_unchanged_and_not_strict(schema: dict[str, Any]) -> None:
    assert for_openai(schema) == (schema, False)


def test_a_recursive_model_is_said_strictly() -> None:
    schema, strict = for_openai(Node.model_json_schema())
    assert strict
    assert schema["type"] == "object"
    assert all(set(inner) == {"$ref"} for inner in subschemas(schema) if "$ref" in inner)


def test_words_beside_a_recursive_reference_are_dropped() -> None:
    schema = Node.model_json_schema()
    schema["$defs"]["Node"]["properties"]["next"] = {"$ref": "#/$defs/Node", "description": "the rest"}
    assert all(set(inner) == {"$ref"} for inner in subschemas(for_google(schema)) if "$ref" in inner)


# ------------------------------------------------------------------------------------------------ Anthropic


def test_anthropic_closes_objects_and_keeps_optional_properties() -> None:
    schema = for_anthropic(holding({"type": "string"}, required=False))
    assert schema == {**holding({"type": "string"}, required=False), "additionalProperties": False}


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9},
         {"type": "integer", "description": "(minimum: 1, maximum: 9)"}),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1},
         {"type": "array", "items": {"type": "string"}, "minItems": 1}),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2},
         {"type": "array", "items": {"type": "string"}, "description": "(minItems: 2)"}),
        ({"type": "string", "format": "uri"}, {"type": "string", "format": "uri"}),
        ({"type": "string", "format": "byte"}, {"type": "string", "description": '(format: "byte")'}),
        ({"type": "array", "enum": [[1]]}, {"type": "array", "description": "(enum: [[1]])"}),
    ],
)  # fmt: skip
def test_anthropic_hears_limits_in_words(inner: Any, said: Any) -> None:
    assert a_of(for_anthropic(holding(inner))) == said


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (holding({"type": "object", "properties": {"b": {"type": "string"}}}), None),
        (holding({"type": "object", "additionalProperties": {"type": "integer"}}), "an object with free keys"),
        (holding({"type": "array", "prefixItems": []}), "the keyword 'prefixItems'"),
        (holding({}), "a value without a type"),
        (holding({"type": ["object", "null"]}), "an object with free keys"),
        (holding({"allOf": [{"type": "string"}, {"minLength": 1}]}), "the keyword 'allOf'"),
        ({**holding({"const": 1}), "oneOf": [holding({"const": 1})]}, "alternatives beside properties"),
        ({**holding({"$ref": "#/$defs/D", "description": "d"}), "$defs": {"D": {"type": "string"}}}, None),
        (Node.model_json_schema(), "a recursive schema"),
        (
            {
                **holding({"$ref": "#/$defs/A"}),
                "$defs": {"A": holding({"$ref": "#/$defs/B"}), "B": {"type": "array", "items": {"$ref": "#/$defs/A"}}},
            },
            "a recursive schema",
        ),
    ],
)
def test_what_anthropic_cannot_say_is_named(schema: dict[str, Any], reason: str | None) -> None:
    assert anthropic_lacks(schema) == reason


# ------------------------------------------------------------------------------------------------ Google


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({"const": "x"}, {"type": "string", "enum": ["x"]}),
        ({"const": True}, {"type": "boolean", "description": "(enum: [true])"}),
        ({"oneOf": [{"type": "string"}]}, {"anyOf": [{"type": "string"}]}),
        ({"type": "string", "maxLength": 3}, {"type": "string", "description": "(maxLength: 3)"}),
        ({"type": "string", "format": "email"}, {"type": "string", "description": '(format: "email")'}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "object", "additionalProperties": {"type": "integer"}},
         {"type": "object", "additionalProperties": {"type": "integer"}}),
    ],
)  # fmt: skip
def test_google_takes_json_schema_with_limits(inner: Any, said: Any) -> None:
    assert a_of(for_google(holding(inner))) == said


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "A"},
         {"type": "integer", "title": "A", "nullable": True}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
         {"anyOf": [{"type": "integer"}, {"type": "string"}], "nullable": True}),
        ({"type": ["string", "null"], "enum": ["x", None]}, {"type": "string", "nullable": True, "enum": ["x"]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer", "description": "(enum: [1, 2])"}),
        ({"type": "null"}, {"type": "null"}),
        ({"type": ["null"]}, {"type": "null"}),
        ({"type": "string", "format": "date"}, {"type": "string", "description": '(format: "date")'}),
        ({"type": "string", "maxLength": 3}, {"type": "string", "maxLength": 3}),
        ({"type": "object", "properties": {}, "additionalProperties": False}, {"type": "object", "properties": {}}),
    ],
)  # fmt: skip
def test_googles_older_form_is_openapi(inner: Any, said: Any) -> None:
    assert a_of(for_google_openapi(holding(inner))) == said


def test_googles_older_form_has_no_references() -> None:
    schema = for_google_openapi(Node.model_json_schema())
    assert "$ref" not in json.dumps(schema)
    google_types.Schema.model_validate(schema)


# ------------------------------------------------------------------------------------------------ all of them


def test_a_property_may_be_named_like_a_keyword() -> None:
    properties = {"$ref": {"type": "string"}, "anyOf": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["$ref", "anyOf"]}
    for dialect in DIALECTS:
        assert list(dialect(schema)["properties"]) == ["$ref", "anyOf"]


def test_a_read_only_mapping_is_a_schema_too() -> None:
    schema = MappingProxyType({"type": "object", "properties": MappingProxyType({"a": {"const": 1}})})
    assert for_google(schema)["properties"]["a"] == {"type": "integer", "enum": [1]}


# A schema together with a document that it accepts and that fills in every property.
words = st.text(alphabet="abc", min_size=1, max_size=3)
leaves = st.one_of(
    st.tuples(st.just({"type": "string", "minLength": 1}), words),
    st.tuples(st.just({"type": "string", "maxLength": 3, "description": "d"}), words),
    st.tuples(st.just({"type": "integer", "minimum": 0, "exclusiveMaximum": 9}), st.integers(0, 8)),
    st.tuples(st.just({"type": ["number", "null"], "default": None}), st.none() | st.floats(0, 1)),
    st.tuples(st.just({"enum": ["x", "y", None]}), st.sampled_from(["x", "y", None])),
    st.tuples(st.just({"const": "k"}), st.just("k")),
    st.tuples(st.just({"$ref": "#/$defs/D", "description": "d"}), st.booleans()),
)
Pair = tuple[dict[str, Any], Any]


def in_list(inner: Pair) -> Pair:
    return {"type": "array", "items": inner[0], "minItems": 2, "uniqueItems": False}, [inner[1], inner[1]]


def in_union(inner: Pair) -> Pair:
    return {"oneOf": [inner[0], {"type": "array", "items": {"const": 7}, "minItems": 9}]}, inner[1]


def in_object(inner: dict[str, Pair]) -> Pair:
    schema = {"type": "object", "properties": {name: pair[0] for name, pair in inner.items()}}
    return {**schema, "required": sorted(inner)[:1]}, {name: pair[1] for name, pair in inner.items()}


objects = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(in_list), inner.map(in_union), st.dictionaries(words, inner, min_size=1, max_size=3).map(in_object)
    ),
    max_leaves=6,
)
roots = st.dictionaries(words, objects, min_size=1, max_size=3).map(in_object)


def rooted(pair: Pair) -> Pair:
    return {**pair[0], "$defs": {"D": {"type": "boolean"}}}, pair[1]


@given(roots.map(rooted))
def test_every_dialect_accepts_a_full_document_of_the_original_and_changes_nothing(pair: Pair) -> None:
    schema, document = pair
    Draft202012Validator(schema).validate(document)
    before = copy.deepcopy(schema)
    for dialect in DIALECTS[:3]:  # the OpenAPI form says null another way than JSON Schema
        Draft202012Validator.check_schema(dialect(schema))
        Draft202012Validator(dialect(schema)).validate(document)
    google_types.Schema.model_validate(for_google_openapi(schema))
    assert schema == before


@given(roots.map(rooted))
def test_strict_means_closed_objects_with_every_property_required(pair: Pair) -> None:
    schema, strict = for_openai(pair[0])
    if not strict:
        return
    for inner in subschemas(schema):
        if inner.get("type") == "object":
            assert inner["additionalProperties"] is False
            assert inner["required"] == list(inner["properties"])
