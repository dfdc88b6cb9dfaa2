"""JSON Schema as a tree: walk it, change it, follow its references.

Nothing here changes its argument. The schemas are valid ones: the doors (`as_schema`, `as_tools`) check them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final, TypeAlias

from llmrouter.content import HALF, is_whole

Json: TypeAlias = dict[str, Any]

_BRANCHES: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SINGLE: Final = (
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedProperties", "unevaluatedItems",
)  # fmt: skip


def json_text(schema: Mapping[str, Any]) -> str:
    """Return the schema as JSON text, the key of every memo. Raises TypeError or ValueError when it is no JSON."""
    text = json.dumps(schema, ensure_ascii=False, allow_nan=False, default=_as_dict)
    if not is_whole(text):
        raise ValueError(f"it holds {HALF}")
    return text


def _as_dict(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def subschemas(schema: Any) -> Iterator[Json]:
    """Yield the schema and every schema inside it, outer ones first; boolean schemas are left out."""
    if not isinstance(schema, dict):
        return
    yield schema
    for inner in _children(schema):
        yield from subschemas(inner)


def _children(schema: Json) -> Iterator[Any]:
    for key, held in schema.items():
        if key in _SINGLE:
            yield held
        elif key in _BRANCHES:
            yield from held
        elif key in _NAMED:
            yield from held.values()


def mapped(schema: Json, change: Callable[[Json], Json]) -> Json:
    """Return a copy of the schema with `change` applied to each schema directly inside it."""

    def changed(inner: Any) -> Any:
        return change(inner) if isinstance(inner, dict) else inner

    found = dict(schema)
    for key, held in schema.items():
        if key in _SINGLE:
            found[key] = changed(held)
        elif key in _BRANCHES:
            found[key] = [changed(inner) for inner in held]
        elif key in _NAMED:
            found[key] = {name: changed(inner) for name, inner in held.items()}
    return found


def resolve(root: Json, reference: str) -> Json | None:
    """Return what a local `$ref` points to, None when it is no schema."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if reference.startswith("#") and isinstance(found, dict) else None


def inlined_root(schema: Json) -> Json:
    """Return the schema with a `$ref` at its root replaced by what it points to (pydantic's recursive models)."""
    seen: set[str] = set()
    while (reference := schema.get("$ref", "")) not in seen and (target := resolve(schema, reference)) is not None:
        seen.add(reference)
        schema = {**deepcopy(target), **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


_WORDS: Final = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})


def folded(schema: Json, root: Json) -> Json:
    """Return the schema in the fewest words: a lone `allOf` and a `$ref` with siblings are folded into their place.

    A recursive reference keeps its `$ref` and loses siblings that are words; siblings that limit what is referred to
    stay beside it in an `allOf`.
    """
    only = schema.get("allOf")
    if isinstance(only, list) and len(only) == 1 and isinstance(only[0], dict) and not set(only[0]) & set(schema):
        schema = {**{key: value for key, value in schema.items() if key != "allOf"}, **only[0]}
    reference = schema.get("$ref")
    if isinstance(reference, str) and len(schema) > 1 and "$defs" not in schema:
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        target = None if recursive(reference, root) else resolve(root, reference)
        if target is not None and not (target.keys() & siblings.keys()) - _WORDS:
            return folded({**deepcopy(target), **siblings}, root)
        limits = {key: value for key, value in siblings.items() if key not in _WORDS}
        schema = {"allOf": [{"$ref": reference}, limits]} if limits else {"$ref": reference}
    return mapped(schema, lambda inner: folded(inner, root))


def recursive(reference: str, root: Json) -> bool:
    """Tell whether what `reference` points to leads back to it."""
    pending, seen = [reference], set[str]()
    while pending:
        target = resolve(root, pending.pop())
        for inner in subschemas(target):
            found = inner.get("$ref")
            if found == reference:
                return True
            if isinstance(found, str) and found not in seen:
                seen.add(found)
                pending.append(found)
    return False
