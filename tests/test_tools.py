"""The door for tools: dicts and functions become Tool, choices are checked, and a model's calls are run."""

from __future__ import annotations

import asyncio
import enum
import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, Field

from llmrouter.errors import InvalidRequestError
from llmrouter.tools import as_tool, as_tool_choice, as_tools, call_tool, call_tool_async
from llmrouter.types import Image, Message, Text, Tool, ToolCall

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Unit(enum.Enum):
    C = "celsius"
    F = "fahrenheit"


class Place(BaseModel):
    city: str
    country: str = "DE"


def weather(
    city: str,
    unit: Unit = Unit.C,
    days: Annotated[int, Field(ge=1, description="how many days")] = 1,
    style: Literal["short", "long"] | None = None,
    title: Annotated[str, "a heading"] = "",
) -> str:
    """Tell the weather
    of a city.

    A second paragraph for readers of the code.

    Args:
        city: Name of the city,
            in English.
        unit: Unit of the temperature.
        days: overridden by the field.
    """
    return f"{city} {unit.value} {days} {style} {title}"


async def lookup(place: Place, tags: list[str] | None = None) -> dict[str, Any]:
    """Look a place up.

    :param place: where
    """
    return {"place": place.city, "country": place.country, "tags": tags}


def numpy_style(a: int) -> int:
    """Double a number.

    Parameters
    ----------
    a : int
        The number.
    """
    return a * 2


class Shop:
    def __init__(self) -> None:
        self.sold: list[str] = []

    def sell(self, item: str) -> int:
        """Sell one item."""
        self.sold.append(item)
        return len(self.sold)


# ------------------------------------------------------------------------------------------------ dicts


@pytest.mark.parametrize(
    "raw",
    [
        Tool("weather", "Tell it.", PARAMETERS),
        {"type": "function", "function": {"name": "weather", "description": "Tell it.", "parameters": PARAMETERS}},
        {"type": "function", "name": "weather", "description": "Tell it.", "parameters": PARAMETERS},
        {"name": "weather", "description": "Tell it.", "input_schema": PARAMETERS},
        {"type": "custom", "name": "weather", "description": "Tell it.", "input_schema": PARAMETERS},
    ],
)
def test_a_tool_may_have_any_of_the_usual_forms(raw: Any) -> None:
    assert as_tools([raw]) == (Tool("weather", "Tell it.", PARAMETERS),)


def test_a_tool_without_parameters_takes_none() -> None:
    raw = {"type": "function", "function": {"name": "now", "strict": True}}
    assert as_tool(raw) == Tool("now", strict=True)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"name": "a"}, "tools: expected a list of tools, got dict"),
        (weather, "tools: expected a list of tools, got function"),
        ([3], "tools[0]: expected a Tool, a dict or a function, got int"),
        ([{"type": "web_search"}], "tools[0].type: only tools of type 'function' are supported, got 'web_search'"),
        ([{"type": "function", "function": {"parameters": {}}}], "tools[0].function: needs the key 'name'"),
        ([{"name": "a", "strict": "yes"}], "tools[0].strict: expected a bool, got str"),
        ([{"name": "a", "parameters": {"default": object()}}], "tools[0].parameters: cannot be written as JSON"),
        ([{"name": "a b"}], "tools[0]: 'a b' is no tool name"),
        ([{"name": "a", "parameters": []}], "tools[0].parameters: expected a JSON Schema (a dict), got list"),
        ([{"name": "a", "parameters": {"type": "array"}}], "tools[0].parameters.type: a tool's arguments are"),
        ([{"name": "a", "parameters": {"properties": []}}], "tools[0].parameters.properties: not a JSON Schema"),
        ([Tool("a", "", {"properties": {"b": {"$ref": "#/x"}}})], "tools[0].parameters: $ref '#/x' leads nowhere"),
        ([{"name": "a"}, weather, {"name": "a"}], "tools[2]: the name 'a' is taken by tools[0]"),
        ([lambda a: a], "'<lambda>' is no tool name"),
        ([Place], "tools[0] (Place): a ModelMetaclass is no tool"),
        ([functools.partial(weather, "x")], "a partial is no tool"),
    ],
)
def test_a_wrong_tool_is_named_with_its_place(raw: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        as_tools(raw)


def test_no_tools_is_an_empty_tuple() -> None:
    assert as_tools(None) == as_tools([]) == ()


# ------------------------------------------------------------------------------------------------ functions


def test_a_function_becomes_a_tool_by_its_signature_and_docstring() -> None:
    assert as_tool(weather) == Tool(
        "weather",
        "Tell the weather of a city.",
        {
            "type": "object",
            "$defs": {"Unit": {"enum": ["celsius", "fahrenheit"], "type": "string"}},
            "properties": {
                "city": {"type": "string", "description": "Name of the city, in English."},
                "unit": {"$ref": "#/$defs/Unit", "default": "celsius", "description": "Unit of the temperature."},
                "days": {"type": "integer", "minimum": 1, "default": 1, "description": "how many days"},
                "style": {"anyOf": [{"enum": ["short", "long"], "type": "string"}, {"type": "null"}], "default": None},
                "title": {"type": "string", "default": "", "description": "a heading"},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    )


@pytest.mark.parametrize(
    ("function", "argument", "words"), [(lookup, "place", "where"), (numpy_style, "a", "The number.")]
)
def test_sphinx_and_numpy_docstrings_describe_arguments(function: Any, argument: str, words: str) -> None:
    assert as_tool(function).parameters["properties"][argument]["description"] == words


def test_a_bound_method_leaves_self_out() -> None:
    assert list(as_tool(Shop().sell).parameters["properties"]) == ["item"]


def test_an_argument_without_annotation_takes_anything() -> None:
    def loose(value=None):  # type: ignore[no-untyped-def]  # the case itself
        return value

    assert as_tool(loose).parameters["properties"] == {"value": {"default": None}}


def test_a_function_without_arguments_is_a_tool() -> None:
    def now() -> str:
        return "now"

    assert as_tool(now).parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_function_is_read_once() -> None:
    assert as_tool(weather) is as_tool(weather)
    shop = Shop()
    assert as_tool(shop.sell) is as_tool(shop.sell)


def test_argument_names_that_pydantic_uses_itself_are_fine() -> None:
    def odd(json: str, model_dump: int, _hidden: int = 1) -> str:
        return f"{json} {model_dump} {_hidden}"

    assert list(as_tool(odd).parameters["properties"]) == ["json", "model_dump", "_hidden"]
    assert call_tool(ToolCall("c", "odd", {"json": "a", "model_dump": 2}), [odd]).content == "a 2 1"


def test_a_default_that_json_cannot_say_is_left_to_python() -> None:
    nothing = object()

    def keep(value: Any = nothing) -> bool:
        return value is nothing

    assert call_tool(ToolCall("c", "keep"), [keep]).content == "true"


def variadic(*values: int) -> None: ...
def keywords(**values: int) -> None: ...
def positional(a: int, /) -> None: ...
def unresolved(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the case itself
def indescribable(a: Callable[[], int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (variadic, "(variadic): *values cannot be described"),
        (keywords, "(keywords): **values cannot be described"),
        (positional, "'a' is positional-only"),
        (unresolved, "cannot be described as a JSON Schema"),
        (indescribable, "cannot be described as a JSON Schema"),
    ],
)
def test_a_signature_that_no_model_can_call_is_refused(function: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        as_tools([function])


def test_a_builtin_without_a_signature_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="it has no signature to read"):
        as_tool(max)


class Doubler:
    """Double a number."""

    __slots__ = ()

    def __call__(self, number: int) -> int:
        return number * 2


class Forecast:
    """Holds the connection to a weather service."""

    def __call__(self, city: str) -> str:
        """Tell the weather of a city.

        Args:
            city: its name in English
        """
        return city


class Quicker(Forecast):
    def __call__(self, city: str) -> str:
        return city


@dataclass(eq=False)
class Silent:
    secret: str = "not for a model"

    def __call__(self, city: str) -> str:
        return city


@functools.lru_cache
def kept(city: str) -> str:
    """Tell it from memory."""
    return city


@pytest.mark.parametrize("tool", [Forecast(), Quicker()], ids=["its own", "inherited"])
def test_a_callable_object_is_described_by_what_its_call_says(tool: Any) -> None:
    found = as_tool(tool)
    assert found.description == "Tell the weather of a city."
    assert found.parameters["properties"]["city"]["description"] == "its name in English"


def test_what_a_dataclass_says_of_its_fields_describes_no_tool() -> None:
    assert as_tool(Silent()).description == ""


def test_a_function_in_a_cache_is_read_like_the_function() -> None:
    found = as_tool(kept)
    assert found.description == "Tell it from memory."
    assert found.parameters["properties"]["city"] == {"type": "string"}


def test_a_callable_object_is_a_tool_named_by_its_class() -> None:
    assert as_tool(Doubler()).description == "Double a number."
    assert call_tool(ToolCall("c", "Doubler", {"number": 2}), [Doubler()]).content == "4"


section = st.sampled_from(
    ["Args:\n", "    a: one\n", "  b\n", ":param a: x\n", ":param\n", "Parameters\n-----\n", "\n"]
)


@given(st.lists(section | st.text(max_size=5), max_size=6).map("".join))
def test_any_docstring_can_be_read(text: str) -> None:
    def documented(a: int) -> int:
        return a

    documented.__doc__ = text
    assert as_tool(documented).name == "documented"


# ------------------------------------------------------------------------------------------------ choice


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "required"),
        ("weather", "weather"),
        (weather, "weather"),
        (Tool("weather"), "weather"),
        ({"type": "function", "function": {"name": "weather"}}, "weather"),
        ({"type": "function", "name": "weather"}, "weather"),
        ({"type": "tool", "name": "weather"}, "weather"),
        ({"type": "any"}, "required"),
    ],
)
def test_a_choice_is_a_word_or_a_tool(choice: Any, expected: str | None) -> None:
    assert as_tool_choice(choice, as_tools([weather])) == expected


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("wether", "did you mean 'weather'?"),
        (lookup, "no tool named 'lookup'"),
        (3, "expected auto, none, required"),
        ({"type": 3}, "expected auto"),
    ],
)
def test_a_choice_that_is_no_tool_of_the_call_is_refused(choice: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        as_tool_choice(choice, as_tools([weather]))


def test_required_without_tools_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="needs tools"):
        as_tool_choice("required", ())


# ------------------------------------------------------------------------------------------------ running

Run = Callable[[ToolCall, list[Any]], Message]


def run_async(call: ToolCall, functions: list[Any]) -> Message:
    return asyncio.run(call_tool_async(call, functions))


both_worlds = pytest.mark.parametrize("run", [call_tool, run_async], ids=["sync", "async"])


@both_worlds
def test_a_call_is_answered_with_a_tool_message(run: Run) -> None:
    call = ToolCall("c1", "weather", {"city": "Rome", "unit": "fahrenheit"})
    expected = Message("tool", "Rome fahrenheit 1 None ", tool_call_id="c1", name="weather")
    assert run(call, [weather, lookup, Tool("other")]) == expected


@both_worlds
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ToolCall("c", "weather", {"city": "Rome", "days": 0}), "arguments.days: Input should be greater"),
        (ToolCall("c", "weather", {}), "arguments.city: Field required"),
        (ToolCall("c", "weather", {"city": "Rome", "dayz": 2}), "arguments.dayz: Extra inputs"),
        (ToolCall("c", "weather", "{not json"), "Invalid JSON"),
        (ToolCall("c", "wether", {}), "no tool named 'wether'; there are: weather"),
    ],
)
def test_a_call_that_does_not_fit_becomes_an_error_for_the_model(run: Run, call: ToolCall, said: str) -> None:
    message = run(call, [weather])
    assert message.is_error
    assert said in message.text


@both_worlds
def test_an_exception_of_the_tool_becomes_an_error_for_the_model(run: Run) -> None:
    def broken() -> None:
        raise KeyError("gone")

    expected = Message("tool", "KeyError: 'gone'", tool_call_id="c", name="broken", is_error=True)
    assert run(ToolCall("c", "broken"), [broken]) == expected


@both_worlds
def test_images_that_a_tool_returns_stay_images(run: Run) -> None:
    image = Image("https://e.org/a.png")

    def plot() -> list[Image | Text]:
        return [image, Text("a plot")]

    assert run(ToolCall("c", "plot"), [plot]).content == (image, Text("a plot"))


@both_worlds
def test_a_bound_method_acts_on_its_own_object(run: Run) -> None:
    first, second = Shop(), Shop()
    run(ToolCall("c", "sell", {"item": "a"}), [first.sell])
    run(ToolCall("c", "sell", {"item": "b"}), [second.sell])
    assert (first.sold, second.sold) == (["a"], ["b"])


def test_an_async_function_is_awaited_in_the_async_world() -> None:
    message = run_async(ToolCall("c", "lookup", {"place": {"city": "Rome"}}), [lookup])
    assert json.loads(message.text) == {"place": "Rome", "country": "DE", "tags": None}


def test_an_async_function_is_refused_in_the_sync_world() -> None:
    with pytest.raises(InvalidRequestError, match="call_tool_async"):
        call_tool(ToolCall("c", "lookup", {"place": {"city": "Rome"}}), [lookup])


@given(st.text() | st.dictionaries(st.text(), st.none() | st.integers() | st.text()).map(json.dumps))
def test_whatever_arguments_a_model_writes_the_call_is_answered(arguments: str) -> None:
    message = call_tool(ToolCall("c", "weather", arguments), [weather])
    assert (message.role, message.tool_call_id) == ("tool", "c")
