"""The scalar types of routes.yaml: each parses itself from the file's spelling and describes itself to an editor.

Every one accepts text too, because `${NAME}` always gives text. Where a check needs to know the file's surroundings
(which providers exist, where the file lies), it finds them in the validation context, and is left out without one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from llmrouter import units
from llmrouter.config.problems import kind_of, one_of
from llmrouter.hints import did_you_mean
from llmrouter.types import Secret

KINDS: Final = (
    "openai",
    "anthropic",
    "google",
    "azure",
    "bedrock",
    "vertex",
    "google-generativeai",
    "litellm",
    "python",
)
PRESETS: Final = (
    "openrouter",
    "groq",
    "mistral",
    "deepseek",
    "xai",
    "together",
    "fireworks",
    "cerebras",
    "perplexity",
    "huggingface",
    "ollama",
    "vllm",
    "lmstudio",
)
BUILT_IN: Final = ("openai", "anthropic", "google", "python")  # kinds that need no entry under `providers`


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the checks of one file need to know: names in use, and the folder that relative paths start from."""

    providers: frozenset[str]
    kinds: frozenset[str]
    folder: Path


Level: TypeAlias = Literal["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"]
NumberT = TypeVar("NumberT", int, float, Decimal)


def _checked(
    parse: Callable[[Any], NumberT], allowed: Callable[[NumberT], bool], advice: str
) -> Callable[[Any], NumberT]:
    def check(value: Any) -> NumberT:
        number = parse(value)
        if not allowed(number):
            raise ValueError(f"{units.shown(value)} is out of range; {advice}")
        return number

    return check


limit: Final = _checked(units.duration, lambda seconds: seconds > 0, "write a time longer than 0s")
positive: Final = _checked(units.count, lambda number: number > 0, "write 1 or more")
up_to_one: Final = _checked(units.number, lambda number: number <= 1, "write a number from 0 to 1")
up_to_two: Final = _checked(units.number, lambda number: number <= 2, "write a number from 0 to 2")


def whole(value: Any) -> int:
    """Accept any whole number, negative ones too."""
    try:
        if isinstance(value, int | str) and not isinstance(value, bool):
            return int(value)
    except ValueError:
        pass
    raise ValueError(f"{units.shown(value)} is not a whole number; write a number such as 7")


def _version(value: Any) -> int:
    if value != 1 or isinstance(value, bool):
        raise ValueError(f"version {units.shown(value)} of the format is unknown; this llmrouter reads version 1")
    return 1


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    raise ValueError(f"{units.shown(value)} is not a switch; write true or false")


def reasoning(value: Any) -> str | int:
    """Accept a level of reasoning, or a token count, 0 too."""
    levels = ("none", "low", "medium", "high")
    if isinstance(value, str) and value in levels:
        return str(value)
    try:
        return units.count(value)
    except ValueError:
        advice = (did_you_mean(value, levels) if isinstance(value, str) else None) or f"write {one_of(levels)}, or 8k"
        raise ValueError(f"{units.shown(value)} is neither a level of reasoning nor a token count; {advice}") from None


def _secret(value: Any) -> Secret | None:
    # No branch may show the value: it could be the key with a slip in it.
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}; put it in quotes, or write ${{NAME}}")
    return Secret(str(value).strip()) if value.strip() else None


def file_path(value: Any) -> Path:
    """Return the path as written: `~` and the folder of the routes file come in when it is used."""
    if not isinstance(value, str | Path):
        raise ValueError(f"must be a path, not {kind_of(value)}; put it in quotes")
    if not str(value).strip():  # it would mean the folder of the routes file itself
        raise ValueError("must be a path, not empty text; write one, or leave the key out")
    return Path(value)


def _level(value: Any) -> Any:
    return value.upper() if isinstance(value, str) and value.upper() in get_args(Level) else value


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("not a URL; write one that starts with http:// or https://")  # it may hold a password: unseen
    return value.rstrip("/")


# ------------------------------------------------------------------------------------------------ names and targets


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}; put it in quotes")
    return str(value)


def _kind(value: Any, info: ValidationInfo[Surroundings | None]) -> str:
    text, known = _text(value), info.context
    if known and text not in known.kinds:
        advice = did_you_mean(text, known.kinds) or f"use {one_of(sorted(known.kinds))}"
        raise ValueError(f"unknown kind {units.shown(value)}; {advice}")
    return text


def _target(value: Any, info: ValidationInfo[Surroundings | None]) -> str:
    text = _text(value)
    provider, model = _split(value, text)
    _check_provider(provider, value, info.context)
    if provider == "python" and not _is_python_path(model):
        raise ValueError(f"{units.shown(value)} names nothing in Python; write python/module:function")
    return text


def _priced(value: Any, info: ValidationInfo[Surroundings | None]) -> str:
    text = _text(value)
    provider, _ = _split(value, text)
    if "*" not in provider:
        _check_provider(provider, value, info.context)
    return text


def _split(value: Any, text: str) -> tuple[str, str]:
    # Messages show `value` and not its parts: a value from the environment hides only as a whole.
    provider, slash, model = text.partition("/")
    if not (slash and provider and model) or text.split() != [text]:
        raise ValueError(f"{units.shown(value)} is not a target; write provider/model, such as openai/gpt-6-luna")
    return provider, model


def _check_provider(provider: str, value: Any, known: Surroundings | None) -> None:
    if known and provider not in known.providers:
        raise ValueError(f"unknown provider in {units.shown(value)}; {_provider_advice(provider, known)}")


def _provider_advice(provider: str, known: Surroundings) -> str:
    if provider in known.kinds:
        return f"add `{provider}: {{ kind: {provider} }}` under providers"
    near = did_you_mean(provider, known.providers)
    return near or f"add it under providers, or use {one_of(sorted(known.providers))}"


def _is_python_path(path: str) -> bool:
    module, colon, attribute = path.partition(":")
    return bool(colon) and all(name.isidentifier() for name in (*module.split("."), *attribute.split(".")))


def _schema_reference(value: Any, info: ValidationInfo[Surroundings | None]) -> str:
    text = _text(value)
    if text.startswith("python:"):
        if not _is_python_path(text.removeprefix("python:")):
            raise ValueError(f"{units.shown(value)} names nothing in Python; write python:module:Model")
    elif info.context:
        _check_schema_file(value, info.context.folder / Path(text).expanduser())
    return text


def _check_schema_file(name: str, path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"no schema file {units.shown(name)}; the path starts from the folder of the routes file")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)  # tabs are JSON, and not YAML
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        content = None
    if not isinstance(content, Mapping):
        raise ValueError(f"{units.shown(name)} holds no JSON Schema; write an object, in JSON or YAML")


# ------------------------------------------------------------------------------------------------ shorthands


def _is_off(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.lower() in {"off", "false"})


def off_is_none(value: Any) -> Any:
    """Read `false` and `off` as None, which then stands in `model_fields_set`: an inherited section is turned off."""
    return None if _is_off(value) else value


def none_is_off(value: Any, dump: Callable[[Any], Any]) -> Any:
    """Undo `off_is_none` in a dump, so that a dumped model loads to the same model."""
    return False if value is None else dump(value)


def cache_shorthand(value: Any) -> Any:
    """Read `cache: 24h` as a lifetime, `true` as a cache without one, `false` as none."""
    if _is_off(value):
        return None
    if value is True:
        return {}
    return {"ttl": value} if isinstance(value, str | int | float) else value


def rung_shorthand(value: Any) -> Any:
    """Read a target string as a map with nothing but `model`."""
    if isinstance(value, str):
        return {"model": value}
    if not isinstance(value, Mapping | BaseModel):
        raise ValueError(f"must be a target or a map, not {kind_of(value)}; write provider/model")
    return value


def stop_shorthand(value: Any) -> Any:
    """Read one text as a list of one."""
    return (value,) if isinstance(value, str) else value


# ------------------------------------------------------------------------------------------------ what an editor sees


_VARIABLE: Final = r"\$\{.*\}"  # a string with a variable in it may become anything


def _unit_schema(pattern: str, example: str, **number: Any) -> WithJsonSchema:
    text = {"type": "string", "pattern": f"^\\s*({pattern})\\s*$|{_VARIABLE}", "examples": [example]}
    return WithJsonSchema({"oneOf": [text, {"type": "number", "minimum": 0} | number]})


_NUMBER: Final = r"\d+(\.\d+)?\s*"
_DURATION: Final = _unit_schema(_NUMBER + "([mM]?[sS]|[mMhHdDwW])?", "30s")
_COUNT: Final = _unit_schema(_NUMBER + "[kKmM]?", "8k", type="integer", minimum=1)
_SIZE: Final = _unit_schema(_NUMBER + "([kKmMgGtT]?[iI]?[bB])?", "1GiB", type="integer", minimum=1)
_PERCENT: Final = _unit_schema(_NUMBER + "%?", "5%", maximum=1)
_PLAIN: Final = _unit_schema(_NUMBER, "1")
_UP_TO_ONE: Final = _unit_schema(_NUMBER, "0.9", maximum=1)
_UP_TO_TWO: Final = _unit_schema(_NUMBER, "0.2", maximum=2)
_WHOLE: Final = WithJsonSchema({"oneOf": [{"type": "integer"}, {"type": "string", "pattern": rf"^-?\d+$|{_VARIABLE}"}]})
_SWITCH: Final = WithJsonSchema(
    {"oneOf": [{"type": "boolean"}, {"type": "string", "pattern": rf"^(true|false)$|{_VARIABLE}"}]}
)
_REASONING: Final = WithJsonSchema(
    {
        "anyOf": [
            {"enum": ["none", "low", "medium", "high"]},
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": rf"^\d+(\.\d+)?\s*[kKmM]?$|{_VARIABLE}"},
        ]
    }
)
_TEXT: Final = WithJsonSchema({"type": "string"})
_TARGET: Final = WithJsonSchema({"type": "string", "pattern": rf"^[^/\s]+/\S+$|{_VARIABLE}"})

Duration: TypeAlias = Annotated[float, BeforeValidator(units.duration), _DURATION]
Limit: TypeAlias = Annotated[float, BeforeValidator(limit), _DURATION]
Count: TypeAlias = Annotated[int, BeforeValidator(positive), _COUNT]
Size: TypeAlias = Annotated[int, BeforeValidator(_checked(units.size, lambda n: n > 0, "write 1MiB or more")), _SIZE]
Percent: TypeAlias = Annotated[float, BeforeValidator(units.percent), _PERCENT]
Usd: TypeAlias = Annotated[Decimal, BeforeValidator(units.amount), _PLAIN]
Weight: TypeAlias = Annotated[float, BeforeValidator(units.number), _PLAIN]
UpToOne: TypeAlias = Annotated[float, BeforeValidator(up_to_one), _UP_TO_ONE]
UpToTwo: TypeAlias = Annotated[float, BeforeValidator(up_to_two), _UP_TO_TWO]
Whole: TypeAlias = Annotated[int, BeforeValidator(whole), _WHOLE]
Version: TypeAlias = Annotated[int, BeforeValidator(_version), WithJsonSchema({"const": 1})]
Switch: TypeAlias = Annotated[bool, BeforeValidator(_switch), _SWITCH]
Reasoning: TypeAlias = Annotated[str | int, PlainValidator(reasoning), _REASONING]
LogLevel: TypeAlias = Annotated[Level, BeforeValidator(_level)]
SecretText: TypeAlias = Annotated[
    Secret | None, PlainValidator(_secret), PlainSerializer(repr, when_used="json"), _TEXT
]
FilePath: TypeAlias = Annotated[Path, PlainValidator(file_path), _TEXT]
HttpUrl: TypeAlias = Annotated[str, AfterValidator(_http_url), _TEXT]
Target: TypeAlias = Annotated[str, PlainValidator(_target), _TARGET]
PricedTarget: TypeAlias = Annotated[str, PlainValidator(_priced), _TARGET]
KindName: TypeAlias = Annotated[
    str, PlainValidator(_kind), WithJsonSchema({"type": "string", "enum": [*KINDS, *PRESETS]})
]
SchemaReference: TypeAlias = Annotated[str, PlainValidator(_schema_reference), _TEXT]
