"""The Messages API: what each generation of models is asked, with which parameters and tools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmrouter.errors import InvalidRequestError
from llmrouter.providers.anthropic_encode import ANSWER_TOOL
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.anthropic_models import traits
from llmrouter.types import (
    Params,
    Request,
    Schema,
    Tool,
)
from tests.providers.anthropic_requests import (
    ADAPTIVE,
    DOG,
    MIDDLE,
    NEW,
    OLD,
    USER,
    WEATHER,
    encoded,
    text,
    turn,
)


@pytest.mark.parametrize(
    ("model", "adaptive", "prefill", "native_schema", "max_tokens"),
    [
        ("claude-3-haiku-20240307", False, True, False, 4096),
        ("claude-3-5-sonnet-20240620", False, True, False, 8192),
        ("claude-3-7-sonnet-latest", False, True, False, 8192),
        ("claude-sonnet-4-20250514", False, True, False, 8192),
        ("claude-opus-4-1-20250805", False, True, True, 8192),
        ("claude-haiku-4-5-20251001", False, True, True, 8192),
        ("claude-opus-4-6", True, False, True, 8192),
        ("claude-opus-4-7", True, False, True, 16384),
        ("claude-sonnet-5", True, False, True, 16384),
        ("claude-haiku-5-5", True, False, True, 16384),
        ("claude-fable-5-2", True, False, True, 16384),
        ("claude-mythos-preview", True, False, True, 16384),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", False, True, True, 8192),
        ("claude-opus-4-1@20250805", False, True, True, 8192),
        ("anthropic/claude-opus-4.8", True, False, True, 16384),
        ("claude-unheard-of-9", True, False, True, 16384),
        ("some-other-vendors-model-2", False, True, False, 4096),
    ],
)
def test_a_model_id_tells_what_its_generation_accepts(
    model: str, adaptive: bool, prefill: bool, native_schema: bool, max_tokens: int
) -> None:
    found = traits(model)
    assert (found.adaptive, found.prefill, found.native_schema, found.max_tokens) == (
        adaptive,
        prefill,
        native_schema,
        max_tokens,
    )


@pytest.mark.parametrize(
    ("model", "forced"),
    [
        ("claude-opus-5", True),
        ("claude-opus-5-5", False),
        ("claude-sonnet-5-5", False),
        ("claude-haiku-5-5", True),
        ("claude-fable-5", True),
        ("claude-fable-5-1", False),
    ],
)
def test_the_newest_models_but_haiku_refuse_a_forced_tool(model: str, forced: bool) -> None:
    assert traits(model).forced_tools is forced


# ------------------------------------------------------------------------------------------------ parameters


def test_the_smallest_request_has_a_model_a_limit_and_one_turn() -> None:
    assert encoded() == {"model": OLD, "max_tokens": 8192, "messages": [turn("user", text("Hello"))]}


def test_parameters_take_their_wire_names_and_seed_is_left_out() -> None:
    body = encoded(params=Params(temperature=0.2, max_tokens=400, stop=("END",), seed=7))
    assert (body["temperature"], body["max_tokens"], body["stop_sequences"]) == (0.2, 400, ["END"])
    assert "seed" not in body


@pytest.mark.parametrize("model", [OLD, MIDDLE, NEW])
def test_samplers_are_sent_to_every_generation_which_says_itself_when_it_takes_none(model: str) -> None:
    body = encoded(model=model, params=Params(temperature=0.2, top_p=0.9))
    assert (body["temperature"], body["top_p"]) == (0.2, 0.9)


def test_top_p_alone_is_sent() -> None:
    assert encoded(params=Params(top_p=0.9))["top_p"] == 0.9


def test_a_newer_api_version_gets_no_samplers_at_all() -> None:
    codec = MessagesCodec("anthropic", sampling=False)
    assert "temperature" not in codec.encode(Request(OLD, (USER,), Params(temperature=0)))


def test_extra_is_merged_last_and_wins() -> None:
    body = encoded(params=Params(max_tokens=5, extra={"max_tokens": 9, "metadata": {"user_id": "u"}}))
    assert (body["max_tokens"], body["metadata"]) == (9, {"user_id": "u"})


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort"),
    [
        (OLD, "low", {"type": "enabled", "budget_tokens": 2048}, None),
        (OLD, "high", {"type": "enabled", "budget_tokens": 16384}, None),
        (OLD, 5000, {"type": "enabled", "budget_tokens": 5000}, None),
        (OLD, 10, {"type": "enabled", "budget_tokens": 1024}, None),
        (OLD, "none", None, None),
        ("claude-opus-4-6", "medium", {"type": "adaptive"}, "medium"),
        ("claude-opus-4-6", 4000, {"type": "enabled", "budget_tokens": 4000}, None),
        (MIDDLE, "high", ADAPTIVE, "high"),
        (MIDDLE, "none", None, None),
        ("claude-opus-5", "none", {"type": "disabled"}, None),
        ("claude-haiku-5-5", "none", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        (NEW, "none", None, "low"),
        ("claude-fable-5", 0, None, "low"),
        (NEW, 2000, ADAPTIVE, "low"),
        (NEW, 8000, ADAPTIVE, "medium"),
        (NEW, 90000, ADAPTIVE, "high"),
        (NEW, None, None, None),
    ],
)
def test_reasoning_takes_the_form_that_the_model_knows(
    model: str, reasoning: str | int | None, thinking: dict[str, Any] | None, effort: str | None
) -> None:
    body = encoded(model=model, params=Params(reasoning=reasoning))
    assert (body.get("thinking"), body.get("output_config", {}).get("effort")) == (thinking, effort)


def test_a_budget_above_the_limit_raises_the_limit_by_itself() -> None:
    assert encoded(params=Params(max_tokens=400, reasoning=2000))["max_tokens"] == 2400


def test_thinking_leaves_the_temperature_out() -> None:
    assert "temperature" not in encoded(params=Params(temperature=0, reasoning="low"))


def test_a_forced_tool_wins_over_a_thinking_budget() -> None:
    body = encoded(params=Params(reasoning="low"), tools=(WEATHER,), tool_choice="required")
    assert "thinking" not in body


def test_an_unknown_reasoning_level_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="none, low, medium, high or a token count"):
        encoded(params=Params(reasoning="enormous"))


# ------------------------------------------------------------------------------------------------ tools, schema


def test_a_tool_takes_its_wire_form() -> None:
    assert encoded(tools=(WEATHER, Tool("stop")))["tools"] == [
        {"name": "weather", "description": "Tells the weather", "input_schema": WEATHER.parameters},
        {"name": "stop", "input_schema": {"type": "object", "properties": {}}},
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("weather", {"type": "tool", "name": "weather"}),
    ],
)
def test_the_tool_choice_takes_its_wire_form(choice: str | None, sent: dict[str, str] | None) -> None:
    assert encoded(tools=(WEATHER,), tool_choice=choice).get("tool_choice") == sent


def test_a_tool_choice_without_tools_is_left_out() -> None:
    assert "tool_choice" not in encoded(tool_choice="none")


def test_a_strict_tool_has_a_closed_schema() -> None:
    (tool,) = encoded(tools=(replace(WEATHER, strict=True),))["tools"]
    assert (tool["strict"], tool["input_schema"]["additionalProperties"]) == (True, False)


def test_structured_output_is_native_where_the_model_has_it() -> None:
    body = encoded(schema=DOG)
    assert body["output_config"] == {
        "format": {"type": "json_schema", "schema": {**DOG.json, "additionalProperties": False}}
    }
    assert "tools" not in body


def test_structured_output_is_a_forced_tool_on_older_models() -> None:
    body = encoded(model="claude-3-5-sonnet-20240620", schema=DOG)
    assert body["tools"][0]["name"] == ANSWER_TOOL
    assert body["tools"][0]["input_schema"] == DOG.json
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert "output_config" not in body


def test_structured_output_by_tool_leaves_the_other_tools_to_choose() -> None:
    body = encoded(model="claude-3-5-sonnet-20240620", schema=DOG, tools=(WEATHER,))
    assert [tool["name"] for tool in body["tools"]] == ["weather", ANSWER_TOOL]
    assert body["tool_choice"] == {"type": "any"}


def test_a_schema_that_the_native_form_would_bend_goes_by_tool() -> None:
    free = Schema({"type": "object", "additionalProperties": {"type": "integer"}})
    assert encoded(schema=free)["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
