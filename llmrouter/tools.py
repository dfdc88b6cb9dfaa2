"""The door for tools: dicts, `Tool` and annotated functions become `Tool`; `call_tool` runs what a model asks for.

A function's schema comes from its signature (pydantic), its words from its docstring (Google, NumPy or Sphinx style).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from llmrouter.content import HALF, is_whole
from llmrouter.errors import InvalidRequestError
from llmrouter.hints import hint
from llmrouter.parts import as_mapping, invalid, optional_text, text_at
from llmrouter.schema import check_json_schema, pydantic_problems
from llmrouter.schema_tree import json_text, subschemas
from llmrouter.types import Document, Image, Message, Part, Text, Tool, ToolCall

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaWarningKind

ToolLike: TypeAlias = Tool | Mapping[str, Any] | Callable[..., Any]

_PREFIX: Final = "arg_"  # keeps arguments such as `json` or `model_x` apart from pydantic's own names
_NAME: Final = re.compile("[a-zA-Z0-9_-]{1,64}")
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_VARIADIC: Final = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def as_tools(tools: Sequence[ToolLike] | None) -> tuple[Tool, ...]:
    """Return `tools` as a tuple of Tool; None means none.

    Takes `Tool`, OpenAI-style dicts (with `function`, or flat), Anthropic-style dicts (`input_schema`) and annotated
    functions. Raises InvalidRequestError for another form, an invalid name, or a name that comes twice.
    """
    if tools is None:
        return ()
    if isinstance(tools, (str, bytes, Mapping, Tool)) or not isinstance(tools, Iterable):
        raise invalid("tools", f"expected a list of tools, got {type(tools).__name__}")
    found = tuple([as_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)])
    _refuse_duplicates(found)
    return found


def as_tool(tool: ToolLike, place: str = "tool") -> Tool:
    """Return one tool as a Tool. Raises InvalidRequestError, which names `place`."""
    if isinstance(tool, Tool):
        found = tool
        _check_parameters(tool.parameters, f"{place}.parameters")
    elif callable(tool):
        found = _understood(tool, place)[0]
    else:
        found = _from_dict(tool, place)
    if not _NAME.fullmatch(found.name):
        raise invalid(place, f"{found.name!r} is no tool name: 1 to 64 of the characters a-z, A-Z, 0-9, _ and -")
    if not is_whole(found.description):
        raise invalid(place, f"the description of {found.name!r} holds {HALF}")
    return found


def _refuse_duplicates(tools: tuple[Tool, ...]) -> None:
    seen: dict[str, int] = {}
    for index, tool in enumerate(tools):
        if tool.name in seen:
            raise invalid(f"tools[{index}]", f"the name {tool.name!r} is taken by tools[{seen[tool.name]}]")
        seen[tool.name] = index


# ------------------------------------------------------------------------------------------------ dicts


def _from_dict(raw: object, place: str) -> Tool:
    fields = as_mapping(raw)
    if fields is None:
        raise invalid(place, f"expected a Tool, a dict or a function, got {type(raw).__name__}")
    kind = fields.get("type", "function")
    if kind not in ("function", "custom") or (kind == "custom" and "input_schema" not in fields):
        raise invalid(f"{place}.type", f"only tools of type 'function' are supported, got {kind!r}")
    function = as_mapping(fields.get("function"))
    if function is None:
        return _from_fields(fields, place)
    return _from_fields(function, f"{place}.function")


def _from_fields(fields: Mapping[str, Any], place: str) -> Tool:
    name = text_at(fields, "name", place)
    description = optional_text(fields, "description", place) or ""
    key = "input_schema" if "input_schema" in fields else "parameters"
    parameters, strict = fields.get(key), fields.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise invalid(f"{place}.strict", f"expected a bool, got {type(strict).__name__}")
    if parameters is None:
        return Tool(name, description, strict=strict)
    _check_parameters(parameters, f"{place}.{key}")
    return Tool(name, description, parameters, strict)


def _check_parameters(parameters: object, place: str) -> None:
    if not isinstance(parameters, Mapping):
        raise invalid(place, f"expected a JSON Schema (a dict), got {type(parameters).__name__}")
    if parameters.get("type", "object") != "object":
        raise invalid(f"{place}.type", f"a tool's arguments are an 'object', got {parameters['type']!r}")
    try:
        text = json_text(parameters)
    except (TypeError, ValueError) as error:
        raise invalid(place, f"cannot be written as JSON: {error}") from None
    check_json_schema(text, place)


# ------------------------------------------------------------------------------------------------ functions

_Understood: TypeAlias = "tuple[Tool, type[BaseModel]]"
# Reading a signature and its docstring costs a millisecond; a function does not change, so once is enough.
_read: WeakKeyDictionary[Callable[..., Any], dict[bool, _Understood]] = WeakKeyDictionary()


def _understood(function: Callable[..., Any], place: str) -> _Understood:
    """Return the function's tool, and the model that its arguments are validated with."""
    bound = inspect.ismethod(function)
    key = getattr(function, "__func__", function)  # a bound method is a new object at each access
    try:
        known = _read.setdefault(key, {})
    except TypeError:  # a callable object that cannot be weakly referred to
        return _read_function(function, place)
    if bound not in known:
        known[bound] = _read_function(function, place)
    return known[bound]


def _read_function(function: Callable[..., Any], place: str) -> _Understood:
    from pydantic.errors import PydanticUserError

    name = getattr(function, "__name__", None) or type(function).__name__
    place = f"{place} ({name})"
    if isinstance(function, (type, partial)):
        raise invalid(place, f"a {type(function).__name__} is no tool; wrap it in a function with annotated arguments")
    description, described = _words(function)
    try:
        model = _arguments_model(function, name, described, place)
        parameters = _json_schema(model)
    except (PydanticUserError, NameError) as error:
        raise invalid(place, f"its signature cannot be described as a JSON Schema: {error}") from error
    return Tool(name, description, parameters), model


def _words(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return the docstring's first paragraph, and its words about each argument."""
    from docstring_parser import parse

    doc = parse(_docstring(function))
    return _first_paragraph(doc.description or ""), {each.arg_name: each.description or "" for each in doc.params}


def _docstring(function: Callable[..., Any]) -> str:
    """Return what is said of a function; of an object, what its `__call__` says, else its class."""
    if inspect.isroutine(inspect.unwrap(function)):  # also one in a wrapper that is an object, such as a cache
        return inspect.getdoc(function) or ""
    kind = type(function)
    calls = (vars(each)["__call__"].__doc__ for each in kind.__mro__ if "__call__" in vars(each))
    words = next(filter(None, (*calls, kind.__doc__)), "")
    made_up = words.startswith(f"{kind.__name__}(")  # a dataclass without words shows its fields, and their defaults
    return "" if made_up else inspect.cleandoc(words)


def _first_paragraph(text: str) -> str:
    # It says what the tool does; what follows is for readers of the code.
    return " ".join(re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].split())


def _json_schema(model: type[BaseModel]) -> dict[str, Any]:
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
            """Stay quiet: a default that JSON cannot say is left out of the schema, and Python still applies it."""

    schema = model.model_json_schema(schema_generator=Generator)
    for inner in subschemas(schema):
        inner.pop("title", None)  # pydantic makes titles up of names: they cost tokens and say nothing
    schema.setdefault("properties", {})
    return schema


def _arguments_model(
    function: Callable[..., Any], name: str, described: Mapping[str, str], place: str
) -> type[BaseModel]:
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {}
    hints = _hints(function)
    for parameter in _parameters(function, place):
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        hint = hints.get(parameter.name, Any)
        fields[_PREFIX + parameter.name] = (hint, _field(hint, parameter.name, default, described))
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _parameters(function: Callable[..., Any], place: str) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        raise invalid(place, "it has no signature to read; wrap it in a function with annotated arguments") from None
    for parameter in found:
        if parameter.kind in _VARIADIC:
            star = _VARIADIC[parameter.kind]
            raise invalid(place, f"{star}{parameter.name} cannot be described to a model; name the arguments")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise invalid(place, f"{parameter.name!r} is positional-only, and a model passes arguments by name")
    return found


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    from typing_extensions import get_type_hints

    inner = inspect.unwrap(function)
    described = inner if inspect.isroutine(inner) else inspect.unwrap(type(inner).__call__)
    return get_type_hints(described, include_extras=True)


def _field(hint: Any, name: str, default: Any, described: Mapping[str, str]) -> Any:
    """Return the field of one argument: its name is the alias, so that any Python name may be used."""
    from pydantic import Field
    from pydantic.fields import FieldInfo

    notes = getattr(hint, "__metadata__", ())
    if any(isinstance(note, FieldInfo) and note.description for note in notes):
        return Field(default, alias=name)
    words = next((note for note in notes if isinstance(note, str)), None) or described.get(name)
    return Field(default, alias=name, description=" ".join(words.split()) if words else None)


# ------------------------------------------------------------------------------------------------ choice


def as_tool_choice(choice: Any, tools: tuple[Tool, ...]) -> str | None:
    """Return `choice` as auto, none, required, or a tool's name; None stays None (the provider's default).

    Takes these words (and `any` for required), a tool's name, `Tool`, a function, and the dict forms of OpenAI and
    Anthropic. Raises InvalidRequestError for a tool that is not among `tools`, naming the near miss.
    """
    if choice is None:
        return None
    name = choice if isinstance(choice, str) else _chosen(choice)
    if any(tool.name == name for tool in tools):
        return name
    if name in _CHOICES:
        if not tools and name not in ("auto", "none"):
            raise invalid("tool_choice", f"{name!r} needs tools, and the call has none")
        return _CHOICES[name]
    names = [tool.name for tool in tools]
    known = ", ".join([*_CHOICES, *names])
    raise invalid("tool_choice", f"no tool named {name!r}{hint(name, [*_CHOICES, *names])} (known: {known})")


def _chosen(choice: Any) -> str:
    if isinstance(choice, Tool):
        return choice.name
    if isinstance(choice, Mapping):
        inner = choice.get("function")
        name = (inner if isinstance(inner, Mapping) else choice).get("name") or choice.get("type")
        if isinstance(name, str):
            return name
    if callable(choice):
        return as_tool(choice, "tool_choice").name
    raise invalid("tool_choice", f"expected auto, none, required or a tool's name, got {choice!r}")


# ------------------------------------------------------------------------------------------------ running


def call_tool(call: ToolCall, functions: Sequence[Any]) -> Message:
    """Run the function that `call` names and return the tool message with its result, for the next turn.

    `functions` may be the list given as `tools=`; what is no function in it is passed over. The arguments are validated
    by the signature. Whatever goes wrong (no such function, arguments that do not fit, an exception) becomes a message
    with `is_error`, which tells the model. Raises InvalidRequestError for an async function: use `call_tool_async`.
    """
    function = _named(call, functions)
    if function is not None and inspect.iscoroutinefunction(inspect.unwrap(function)):
        raise invalid("call_tool", f"{call.name!r} is an async function; use await call_tool_async(...)")
    try:
        return _answer(call, _called(call, function, functions))
    except Exception as error:  # noqa: BLE001 - whatever the tool raises is an answer for the model
        return _failure(call, error)


async def call_tool_async(call: ToolCall, functions: Sequence[Any]) -> Message:
    """Do as `call_tool` does, and await what an async function returns."""
    try:
        result = _called(call, _named(call, functions), functions)
        return _answer(call, await result if inspect.isawaitable(result) else result)
    except Exception as error:  # noqa: BLE001 - whatever the tool raises is an answer for the model
        return _failure(call, error)


def _named(call: ToolCall, functions: Sequence[Any]) -> Callable[..., Any] | None:
    return next((each for each in functions if callable(each) and as_tool(each).name == call.name), None)


def _called(call: ToolCall, function: Callable[..., Any] | None, functions: Sequence[Any]) -> Any:
    if function is None:
        names = ", ".join(as_tool(each).name for each in functions if callable(each))
        raise InvalidRequestError(f"no tool named {call.name!r}; there are: {names or 'none'}")
    return function(**_validated(call, function))


def _validated(call: ToolCall, function: Callable[..., Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    model = _understood(function, call.name)[1]
    try:
        arguments = model.model_validate_json(call.arguments_json or "{}")
    except ValidationError as error:
        raise InvalidRequestError("; ".join(pydantic_problems(error, "arguments"))) from None
    return {name.removeprefix(_PREFIX): getattr(arguments, name) for name in model.model_fields}


def _answer(call: ToolCall, result: Any) -> Message:
    return Message("tool", _content(result), tool_call_id=call.id, name=call.name)


def _failure(call: ToolCall, error: Exception) -> Message:
    text = str(error) if isinstance(error, InvalidRequestError) else f"{type(error).__name__}: {error}"
    return Message("tool", text, tool_call_id=call.id, name=call.name, is_error=True)


def _content(result: Any) -> str | tuple[Part, ...]:
    """Return text and parts as they are, anything else as its JSON text."""
    if isinstance(result, str):
        return result
    several = tuple(result) if isinstance(result, (list, tuple)) else (result,)
    if several and all(isinstance(part, (Text, Image, Document)) for part in several):
        return several
    from pydantic_core import to_json

    return to_json(result, fallback=str).decode()
