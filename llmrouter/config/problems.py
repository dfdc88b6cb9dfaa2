"""Plain sentences for what is wrong with a file, instead of a validator's wording.

A validator of ours raises ValueError as `what is wrong; what to do`; everything pydantic finds is rewritten here.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from llmrouter.hints import did_you_mean, nearest, question
from llmrouter.units import shown

Path: TypeAlias = tuple[str | int, ...]  # ("routes", "summarize", "fallbacks", 1, "model")

_KEY_MARK = "[key]"  # how pydantic says that the last part of a location is a wrong key, not a wrong value
_FEW = 8  # options that fit into a hint
_EXPECTED = {
    "string_type": "text",
    "dict_type": "a map",
    "model_type": "a map",
    "list_type": "a list",
    "tuple_type": "a list",
}


def dotted(path: Path) -> str:
    """Return a path as people read it: `routes.summarize.fallbacks[1].model`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)  # a dict's key may be None
    return text


def one_of(options: Collection[str]) -> str:
    """Return "a, b or c"."""
    *most, last = options
    return f"{', '.join(most)} or {last}" if most else last


def kind_of(value: object) -> str:
    """Return what a YAML value is, in the words of the file's author."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else "a map" if isinstance(value, Mapping) else "a list"


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake at a path of the data. `at_key` tells that the key is wrong, and not its value.

    `lacks` is the path of a key that is missing, `meant` the one that an unknown key seems to be.
    """

    path: Path
    message: str
    hint: str | None = None
    at_key: bool = False
    lacks: Path | None = None
    meant: Path | None = None


def missing(path: Path, hint: str | None = None) -> Finding:
    """Return the finding that the key at `path` is not there, told at the map that lacks it."""
    return Finding(path[:-1], f"`{path[-1]}` is missing", hint, at_key=True, lacks=path)


def without_misspelled(found: Sequence[Finding]) -> list[Finding]:
    """Leave out keys that are missing because they stand there with a slip, which is told already."""
    meant = {one.meant for one in found if one.meant is not None}
    return [one for one in found if one.lacks not in meant]


def finding(detail: ErrorDetails, root: type[BaseModel]) -> Finding:
    """Rewrite one of pydantic's errors about an instance of `root`."""
    path, kind, value = detail["loc"], detail["type"], detail["input"]
    at_key = bool(path) and path[-1] == _KEY_MARK
    path = path[:-1] if at_key else path
    if kind == "extra_forbidden" or (at_key and kind == "literal_error"):
        return _unknown_key(path, root)
    if kind == "missing":
        return missing(path)
    if kind == "literal_error":
        options = [str(option) for option in _choices(_annotation_at(path, root))]
        return Finding(path, f"{shown(value)} is not {one_of(options)}", did_you_mean(value, options) or None)
    if kind == "value_error":
        message, _, hint = str(detail["ctx"]["error"]).rpartition("; ")
        return Finding(path, message or hint, hint if message else None, at_key)
    if kind in _EXPECTED:
        return _wrong_type(path, _EXPECTED[kind], value)
    return Finding(path, detail["msg"])


def _wrong_type(path: Path, expected: str, value: object) -> Finding:
    hint = "put it in quotes" if expected == "text" and isinstance(value, int | float) else None
    return Finding(path, f"must be {expected}, not {kind_of(value)}", hint)


def _unknown_key(path: Path, root: type[BaseModel]) -> Finding:
    *parents, key = path
    holder = _annotation_at(tuple(parents), root)
    model = _model_in(holder)
    options = list(_keys(model)) if model else [str(option) for option in _choices(_key_type(holder))]
    near = nearest(key, options)
    hint = question(near) or (_belongs(str(key), model) if model else None)
    if not hint and 0 < len(options) <= _FEW:
        hint = f"use {one_of(options)}"
    meant = (*parents, *near) if near else None
    return Finding(path, f"unknown key {shown(key)}", hint, at_key=True, meant=meant)


def _belongs(key: str, model: type[BaseModel]) -> str | None:
    """Return the hint for a key that is right one floor deeper: `temperature` under `params`."""
    for name, annotation in _keys(model).items():
        inner = _model_in(annotation)
        if inner and key in _keys(inner):
            return f"it belongs under `{name}`"
    return None


# ------------------------------------------------------------------------------------------------ walking the models


def _keys(model: type[BaseModel]) -> dict[str, Any]:
    """Return the keys that a map of this model may have in the file, with their annotations."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _annotation_at(path: Path, root: Any) -> Any:
    """Return the annotation of the value at `path`, None where the models do not reach."""
    here = root
    for part in path:
        model = _model_in(here)
        if model:
            here = _keys(model).get(str(part))
        else:
            here = next((get_args(option)[-1 if isinstance(part, str) else 0] for option in _containers(here)), None)
    return here


def _options(annotation: Any) -> Iterator[Any]:
    """Yield what an annotation may be, with Annotated and unions taken off."""
    if get_origin(annotation) is Annotated:
        yield from _options(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation


def _containers(annotation: Any) -> Iterator[Any]:
    return (option for option in _options(annotation) if get_origin(option) in (dict, tuple))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    models = (option for option in _options(annotation) if isinstance(option, type) and issubclass(option, BaseModel))
    return next(models, None)


def _key_type(annotation: Any) -> Any:
    return next((get_args(option)[0] for option in _containers(annotation)), None)


def _choices(annotation: Any) -> tuple[Any, ...]:
    return next((get_args(option) for option in _options(annotation) if get_origin(option) is Literal), ())
