"""The JSON Schema of routes.yaml, made from the models, for editors.

It says what a file should look like. The loader is kinder in one way (a key may be left empty), and stricter in others
that a schema cannot know: names of providers, files, repeated targets.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from llmrouter.config.models import RoutesConfig

_DIALECT: Final = "http://json-schema.org/draft-07/schema#"  # the newest that every YAML editor knows


class _Schema(GenerateJsonSchema):
    """Without titles, which only repeat the keys, and without null: a key that is not wanted is left out."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # pydantic calls it by this signature
        return False

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of routes.yaml."""
    schema = RoutesConfig.model_json_schema(schema_generator=_Schema, ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs")
    return {
        "$schema": _DIALECT,
        "title": "llmrouter routes.yaml",
        **_plain(schema),
        "patternProperties": {"^x-": {"description": "Notes and anchors; llmrouter does not read them."}},
        "definitions": {name: _plain(definitions[name]) for name in sorted(definitions)},
    }


def json_schema_text() -> str:
    """Return the same as text, stable from run to run, with a newline at its end."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _plain(schema: Any) -> Any:
    """Drop class names, and defaults that are whole sections or mean "not set"; close maps with patterns for keys."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _plain(value) for key, value in schema.items() if not _is_noise(key, value)}
    return kept | {"additionalProperties": False} if "patternProperties" in kept else kept


def _is_noise(key: str, value: Any) -> bool:
    is_class_name = key == "title" and isinstance(value, str)
    return is_class_name or (key == "default" and (value is None or isinstance(value, dict | list)))
