"""JSON Schema in the dialects of the providers' structured-output modes.

Each function returns a new dict and never changes its argument; results are remembered by content, so treat them as
read-only. What a dialect cannot say moves into the `description`, where the model still reads it; the answer is
validated against the original schema in any case, so a dialect may be wider than it, but must not change its meaning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, Final

from llmrouter.schema_tree import Json, folded, inlined_root, json_text, mapped, recursive, resolve, subschemas


def _with_note(schema: Json, left_out: Mapping[str, Any]) -> Json:
    """Put what the dialect cannot say into the description, where the model still reads it."""
    if left_out.get("default", ...) is None:  # null is what a model writes anyway where nothing is to be said
        left_out = {key: value for key, value in left_out.items() if key != "default"}
    if not left_out:
        return schema
    note = ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in left_out.items())
    description = schema.get("description")
    return {**schema, "description": f"{description} ({note})" if description else f"({note})"}


def _split(schema: Json, known: frozenset[str]) -> tuple[Json, Json]:
    """Return the schema's known keys, and what of the others is worth telling the model."""
    kept = {key: value for key, value in schema.items() if key in known}
    silent = ("$schema", "$id", "$comment", "title", "examples", "deprecated", "readOnly", "writeOnly", "discriminator")
    return kept, {key: value for key, value in schema.items() if key not in known and key not in silent}


def _is_open_map(schema: Json) -> bool:
    """Tell whether an object may have keys that the schema does not name, as the schema's very point."""
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
    if schema.get("patternProperties") or not properties.keys() >= set(schema.get("required", ())):
        return True
    return not properties if extra is None else extra is not False


def _is_object(schema: Json) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema


def _has_alternatives(schema: Json) -> bool:
    """Tell whether an object has alternatives beside its own properties: closed, each would forbid the other's keys."""
    return _is_object(schema) and bool(schema.keys() & {"anyOf", "oneOf"})


def _one_of_to_any_of(schema: Json) -> Json:
    if "oneOf" not in schema or "anyOf" in schema:
        return schema
    return {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}


# ------------------------------------------------------------------------------------------------ OpenAI

_OPENAI: Final = frozenset(
    {
        "$ref", "$defs", "definitions", "type", "title", "description", "enum", "const", "anyOf",
        "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "pattern", "format",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    }
)  # fmt: skip
_OPENAI_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_LOGIC: Final = frozenset(
    {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "prefixItems"}
)


_SAYING: Final = frozenset({"type", "$ref", "anyOf", "oneOf", "enum", "const", "properties"})


def for_openai(schema: Mapping[str, Any]) -> tuple[Json, bool]:
    """Return the schema for OpenAI's `json_schema` mode, and whether `strict` may be asked for.

    Strict closes every object and requires every property. A property that may be left out stays faithful to that when
    it may be null or has a default to state; an object with free keys, tuples and `not`/`if` cannot be said strictly,
    and then the schema comes back as it is, with False.
    """
    return _openai(json_text(schema))


@lru_cache(maxsize=256)
def _openai(text: str) -> tuple[Json, bool]:
    original = json.loads(text)
    plain = folded(inlined_root(original), original)
    strict = _openai_strict(plain)
    if not _is_object(plain) or "anyOf" in strict or not all(map(_sayable, subschemas(plain))):
        return original, False
    return strict, True


def _sayable(schema: Json) -> bool:
    """Tell whether strict mode can carry this schema (not those inside it) without changing its meaning."""
    if schema.keys() & (_LOGIC - {"oneOf"}) or ("oneOf" in schema and "anyOf" in schema):
        return False
    if not schema.keys() & _SAYING:
        return False  # anything goes: strict mode wants to know what
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        return False
    if not _is_object(schema):
        return True
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if (
        _is_open_map(schema)
        or _has_alternatives(schema)
        or not all(isinstance(inner, dict) for inner in properties.values())
    ):
        return False
    return all(name in required or "default" in inner or _nullable(inner) for name, inner in properties.items())


def _nullable(schema: Json) -> bool:
    kind = schema.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind) or None in schema.get("enum", ()):
        return True
    return any(isinstance(inner, dict) and _nullable(inner) for inner in schema.get("anyOf", ()))


def _openai_strict(schema: Json) -> Json:
    kept, left_out = _split(_one_of_to_any_of(schema), _OPENAI)
    if "format" in kept and kept["format"] not in _OPENAI_FORMATS:
        left_out["format"] = kept.pop("format")
    if _is_object(kept):
        properties = kept.get("properties", {})
        kept |= {"type": kept.get("type", "object"), "properties": properties, "required": list(properties)}
        kept["additionalProperties"] = False
    return _with_note(mapped(kept, _openai_strict), left_out)


# ------------------------------------------------------------------------------------------------ Anthropic

_ANTHROPIC: Final = frozenset(
    {
        "$ref", "$defs", "definitions", "type", "title", "description", "enum", "const", "anyOf", "allOf",
        "properties", "required", "additionalProperties", "items", "minItems", "format", "default",
    }
)  # fmt: skip
_ANTHROPIC_FORMATS: Final = _OPENAI_FORMATS | {"uri"}


def for_anthropic(schema: Mapping[str, Any]) -> Json:
    """Return the schema for Anthropic's `output_config.format`: every object closed, limits told in the description.

    Ask `anthropic_lacks` first: where it names a reason, this schema would come out with another meaning.
    """
    return _anthropic(json_text(schema))


def anthropic_lacks(schema: Mapping[str, Any]) -> str | None:
    """Return what of the schema Anthropic's structured output cannot say (free keys, recursion, ...), or None."""
    return _anthropic_lack(json_text(schema))


@lru_cache(maxsize=256)
def _anthropic(text: str) -> Json:
    original = json.loads(text)
    return _anthropic_form(folded(inlined_root(original), original))


@lru_cache(maxsize=256)
def _anthropic_lack(text: str) -> str | None:
    root = inlined_root(json.loads(text))
    return next((lack for inner in subschemas(folded(root, root)) if (lack := _anthropic_lack_of(inner, root))), None)


def _anthropic_lack_of(schema: Json, root: Json) -> str | None:
    if _is_object(schema) and _is_open_map(schema):
        return "an object with free keys"
    if _has_alternatives(schema):
        return "alternatives beside properties"
    if unsaid := schema.keys() & (_LOGIC - {"oneOf"}):
        return f"the keyword {min(unsaid)!r}"
    if "$ref" in schema and recursive(schema["$ref"], root):
        return "a recursive schema"
    return None if schema.keys() & _SAYING else "a value without a type"


def _anthropic_form(schema: Json) -> Json:
    kept, left_out = _split(_one_of_to_any_of(schema), _ANTHROPIC)
    if "format" in kept and kept["format"] not in _ANTHROPIC_FORMATS:
        left_out["format"] = kept.pop("format")
    if any(isinstance(value, (list, dict)) for value in kept.get("enum", ())):
        left_out["enum"] = kept.pop("enum")
    if kept.get("minItems", 0) not in (0, 1):
        left_out["minItems"] = kept.pop("minItems")
    if _is_object(kept):
        kept |= {"type": kept.get("type", "object"), "properties": kept.get("properties", {})}
        kept["additionalProperties"] = False
    return _with_note(mapped(kept, _anthropic_form), left_out)


# ------------------------------------------------------------------------------------------------ Google

_GOOGLE: Final = frozenset(
    {
        "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
        "minItems", "maxItems", "minimum", "maximum", "anyOf", "properties", "additionalProperties", "required",
        "propertyOrdering",
    }
)  # fmt: skip
_GOOGLE_OPENAPI: Final = frozenset(
    {
        "type", "format", "title", "description", "nullable", "enum", "items", "minItems", "maxItems", "properties",
        "required", "minProperties", "maxProperties", "minimum", "maximum", "minLength", "maxLength", "pattern",
        "anyOf", "propertyOrdering",
    }
)  # fmt: skip
_GOOGLE_FORMATS: Final = frozenset({"date-time", "date", "time", "enum", "float", "double", "int32", "int64"})


def for_google(schema: Mapping[str, Any]) -> Json:
    """Return the schema for Gemini's `responseJsonSchema` and `parametersJsonSchema`."""
    return _google(json_text(schema))


def for_google_openapi(schema: Mapping[str, Any]) -> Json:
    """Return the schema for Gemini's older `responseSchema` and `parameters`, a subset of OpenAPI 3.0.

    References are written out (a recursive one ends as a bare object), null becomes `nullable`, free keys are dropped.
    """
    return _google_old(json_text(schema))


@lru_cache(maxsize=256)
def _google(text: str) -> Json:
    original = json.loads(text)
    return _google_form(folded(inlined_root(original), original))


def _google_form(schema: Json) -> Json:
    kept, left_out = _split(_const_to_enum(_one_of_to_any_of(schema)), _GOOGLE)
    if kept.get("format", "date") not in _GOOGLE_FORMATS:
        left_out["format"] = kept.pop("format")
    if "enum" in kept and not all(isinstance(v, (str, int, float)) and not isinstance(v, bool) for v in kept["enum"]):
        left_out["enum"] = kept.pop("enum")
    return _with_note(mapped(kept, _google_form), left_out)


def _const_to_enum(schema: Json) -> Json:
    if "const" not in schema:
        return schema
    value = schema["const"]
    rest = {key: inner for key, inner in schema.items() if key != "const"}
    return {"type": _type_of(value), **rest, "enum": [value]}


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


@lru_cache(maxsize=256)
def _google_old(text: str) -> Json:
    root = json.loads(text)
    return _openapi(_written_out(root, root, ()))


def _written_out(schema: Json, root: Json, inside: tuple[str, ...]) -> Json:
    """Return the schema with every `$ref` replaced by what it points to; a recursive one by a bare object."""
    rest = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    reference = rest.pop("$ref", None)
    if isinstance(reference, str):
        target = None if reference in inside else resolve(root, reference)
        if target is None:
            return {"type": "object", **rest}
        return _written_out({**deepcopy(target), **rest}, root, (*inside, reference))
    return mapped(rest, lambda inner: _written_out(inner, root, inside))


def _openapi(schema: Json) -> Json:
    schema = _without_null(_const_to_enum(_one_of_to_any_of(schema)))
    kept, left_out = _split(schema, _GOOGLE_OPENAPI)
    left_out.pop("additionalProperties", None)
    if kept.get("nullable") and "enum" in kept:
        kept["enum"] = [value for value in kept["enum"] if value is not None]
    if kept.get("format", "date-time") not in _GOOGLE_FORMATS - {"date", "time"}:
        left_out["format"] = kept.pop("format")
    if "enum" in kept and not all(isinstance(value, str) for value in kept["enum"]):
        left_out["enum"] = kept.pop("enum")  # here an enum is of strings
    return _with_note(mapped(kept, _openapi), left_out)


def _without_null(schema: Json) -> Json:
    """Say null the OpenAPI way: `nullable: true` beside the other type."""
    kind = schema.get("type")
    if isinstance(kind, list):
        rest = {key: value for key, value in schema.items() if key != "type"}
        return _without_null({**rest, "anyOf": [{"type": one} for one in kind]} if "anyOf" not in rest else rest)
    branches = [inner for inner in schema.get("anyOf", ()) if inner != {"type": "null"}]
    if len(branches) == len(schema.get("anyOf", ())):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if not branches:
        return {"type": "null", **rest}
    rest["nullable"] = True
    return {**branches[0], **rest} if len(branches) == 1 else {**rest, "anyOf": branches}
