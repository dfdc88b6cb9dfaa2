"""Structured output: the door for schemas, and the validation of answers with local repair.

A schema whose root is not an object is asked for as `{"value": ...}`, since some providers write objects only; what
`validate` returns is the value itself. The wire dialects of the providers are in `dialects.py`.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from llmrouter.errors import ConfigError, InvalidRequestError, OutputInvalidError
from llmrouter.hints import hint
from llmrouter.parts import invalid
from llmrouter.schema_tree import inlined_root, json_text, subschemas
from llmrouter.types import Schema

if TYPE_CHECKING:
    from jsonschema.protocols import Validator
    from pydantic import TypeAdapter, ValidationError

_MOST_PROBLEMS: Final = 10  # more would only drown the model in its re-ask
_MOST_STARTS: Final = 64  # places in one answer where a JSON value is looked for
_FENCE: Final = re.compile(r"```[\w+-]*[ \t]*\n(.*?)```", re.DOTALL)
_START: Final = re.compile(r"[{\[]")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """`Schema.model` of a schema whose root is no object: the answer stands under the key `value`.

    `type` is the Python type to make of it; None leaves plain data.
    """

    type: Any = None


# ------------------------------------------------------------------------------------------------ the door


def as_schema(value: Any, base_dir: Path | None = None) -> Schema | None:
    """Return `value` as a Schema; None stays None.

    Takes a JSON Schema (a dict, also inside OpenAI's `response_format`), a pydantic model or any type that pydantic
    understands (TypedDict, dataclass, `list[Model]`), the path of a JSON or YAML file relative to `base_dir` (None: the
    working directory), or `python:module:Model`. Raises ConfigError for a reference that leads nowhere, and
    InvalidRequestError for something that is no schema.
    """
    if value is None or isinstance(value, Schema):
        return value
    if isinstance(value, str):
        return _from_reference(value, base_dir or Path())
    if isinstance(value, Mapping):
        return _from_mapping(value)
    return _from_type(value)


def _from_reference(reference: str, base_dir: Path) -> Schema:
    if reference.startswith("python:"):
        return _from_type(_imported(reference))
    path = base_dir / Path(reference).expanduser()
    document = _read(path)
    if not isinstance(document, Mapping):
        raise ConfigError(f"schema file {path}: expected a JSON Schema (a map), got {type(document).__name__}")
    try:
        return _from_mapping(document)
    except InvalidRequestError as error:
        raise ConfigError(f"schema file {path}: {error}") from None


def _imported(reference: str) -> Any:
    module, colon, name = reference.removeprefix("python:").partition(":")
    if not (module and colon and name):
        raise ConfigError(f"schema {reference!r}: expected the form python:module:Model")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"schema {reference!r}: cannot import {module!r}: {error}") from error
    try:
        return getattr(found, name)
    except AttributeError:
        raise ConfigError(f"schema {reference!r}: {module!r} has no {name!r}{hint(name, dir(found))}") from None


def _read(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text("utf-8"))  # JSON is YAML, so one reader serves both
    except OSError as error:
        raise ConfigError(f"schema file {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"schema file {path}: neither JSON nor YAML: {error}") from error


def _from_mapping(value: Mapping[str, Any]) -> Schema:
    name, json_schema = None, value
    if value.get("type") == "json_schema":  # OpenAI's response_format, and its flat form
        inner = value.get("json_schema", value)
        if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
            raise invalid("schema", "a response_format of type 'json_schema' needs the key 'schema' with a JSON Schema")
        name, json_schema = inner.get("name"), inner["schema"]
    try:
        text = json_text(json_schema)
    except (TypeError, ValueError) as error:
        raise invalid("schema", f"cannot be written as JSON: {error}") from None
    return _from_json(text, name if isinstance(name, str) else None)


@lru_cache(maxsize=256)
def _from_json(text: str, name: str | None) -> Schema:
    check_json_schema(text, "schema")
    schema = json.loads(text)
    return _rooted(schema, name or schema.get("title"), None)


@lru_cache(maxsize=256)
def check_json_schema(text: str, place: str) -> None:
    """Raise InvalidRequestError, naming `place`, unless `text` is a JSON Schema whose references lead somewhere."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

    schema = json.loads(text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise invalid(_path(place, error.absolute_path), f"not a JSON Schema: {_short(error.message)}") from None
    resolver = EMPTY_REGISTRY.with_resource("", DRAFT202012.create_resource(schema)).resolver("")
    for reference in sorted({inner["$ref"] for inner in subschemas(schema) if "$ref" in inner}):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            hint = "" if reference.startswith("#") else "; nothing is fetched: put it into $defs"
            raise invalid(place, f"$ref {reference!r} leads nowhere{hint}") from None


def _from_type(given: Any) -> Schema:
    try:
        return _schema_of_type(given)
    except TypeError:
        raise invalid("schema", _EXPECTED.format(type(given).__name__)) from None


_EXPECTED: Final = "expected a JSON Schema (a dict), a pydantic model or type, a file or python:module:Model, got {}"


@lru_cache(maxsize=256)
def _schema_of_type(given: Any) -> Schema:
    from pydantic.errors import PydanticUserError

    try:
        schema = _adapter(given).json_schema()
    except PydanticUserError as error:
        raise invalid("schema", f"{_EXPECTED.format(repr(given))}: {error.message}") from None
    name = getattr(given, "__name__", None) if isinstance(given, type) else None
    return _rooted(schema, name or schema.get("title"), given)


@lru_cache(maxsize=256)
def _adapter(given: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(given)


def _rooted(schema: dict[str, Any], name: Any, model: Any) -> Schema:
    safe = re.sub("[^a-zA-Z0-9_-]+", "_", name)[:64].strip("_") if isinstance(name, str) else ""
    schema = inlined_root(schema)
    if schema.get("type") == "object" or ("type" not in schema and "properties" in schema):
        return Schema(schema, safe or "answer", model)
    return Schema(_wrapped(schema), safe or "answer", Wrapped(model))


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    for inner in subschemas(schema):
        reference = inner.get("$ref", "")
        if reference == "#" or (
            reference.startswith("#/") and not reference.startswith(("#/$defs/", "#/definitions/"))
        ):
            inner["$ref"] = f"#/properties/value{reference[1:]}"
    hoisted: dict[str, Any] = {key: schema.pop(key) for key in ("$defs", "definitions") if key in schema}
    wrapper = {"type": "object", "properties": {"value": schema}, "required": ["value"], "additionalProperties": False}
    return {**wrapper, **hoisted}


# ------------------------------------------------------------------------------------------------ answers


def validate(schema: Schema, text: str) -> Any:
    """Return the answer `text` as the schema's model instance, or as plain data for a JSON Schema.

    The text is taken as JSON as it stands; failing that, code fences and prose around the first fitting JSON value are
    stripped, and nothing else is guessed. Raises OutputInvalidError with `output` (the text) and `problems`.
    """
    problems: list[str] = []
    for candidate, data in _candidates(text):
        try:
            return _fitted(schema, candidate, data)
        except _MisfitError as misfit:
            problems = problems or misfit.problems
    problems = problems or ["the answer is not JSON"]
    error = OutputInvalidError(f"the answer does not satisfy the schema {schema.name!r}: {problems[0]}")
    error.output, error.problems = text, tuple(problems)
    raise error


def reask(problems: Sequence[str]) -> str:
    """Return the user message that asks the model once more, after an answer that had these problems."""
    listed = "\n".join(f"- {problem}" for problem in problems)
    return (
        f"Your last answer does not satisfy the required JSON schema:\n{listed}\n"
        "Answer again with the corrected JSON alone: no code fences and no text around it."
    )


def pydantic_problems(error: ValidationError, root: str = "answer") -> list[str]:
    """Return what pydantic found wrong, one line each, with the place: `answer.items[0].price: ...`."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{_path(root, item['loc'])}: {_short(item['msg'])}" for item in found[:_MOST_PROBLEMS]]


class _MisfitError(Exception):
    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems


def _candidates(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the JSON values that the answer may mean, each with its text: the whole answer alone where it is JSON."""
    try:
        yield text, _decoder().decode(text)
    except (ValueError, RecursionError):
        for fenced in _FENCE.findall(text):
            yield from _values(fenced)
        yield from _values(text)


def _values(text: str) -> Iterator[tuple[str, Any]]:
    position, decoder = 0, _decoder()
    for _ in range(_MOST_STARTS):
        start = _START.search(text, position)
        if start is None:
            return
        try:
            data, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            position = start.end()
        else:
            yield text[start.start() : end], data
            position = end


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _fitted(schema: Schema, text: str, data: Any) -> Any:
    if isinstance(schema.model, Wrapped):
        _fit_json(schema, data)
        data = data["value"]
        return data if schema.model.type is None else _fit_type(schema.model.type, json.dumps(data), "answer.value")
    if schema.model is not None:
        return _fit_type(schema.model, text, "answer")
    _fit_json(schema, data)
    return data


def _fit_type(given: Any, text: str, root: str) -> Any:
    from pydantic import ValidationError

    try:
        return _adapter(given).validate_json(text)
    except ValidationError as error:
        raise _MisfitError(pydantic_problems(error, root)) from None


def _fit_json(schema: Schema, data: Any) -> None:
    errors = _validator(json_text(schema.json)).iter_errors(data)
    problems = [f"{_path('answer', error.absolute_path)}: {_short(error.message)}" for error in errors]
    if problems:
        raise _MisfitError(problems[:_MOST_PROBLEMS])


@lru_cache(maxsize=256)
def _validator(text: str) -> Validator:
    from jsonschema import Draft202012Validator
    from referencing.jsonschema import EMPTY_REGISTRY

    # Without a registry of its own, jsonschema would fetch a remote $ref over the network.
    return Draft202012Validator(json.loads(text), registry=EMPTY_REGISTRY)


def _path(root: str, steps: Iterable[str | int]) -> str:
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:200]}…"
