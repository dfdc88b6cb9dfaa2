"""Chat Completions: what is asked, of every kind of server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter.errors import (
    InvalidRequestError,
)
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_chat_encode import missing
from llmrouter.providers.openai_dialect import OPENAI, is_openai_reasoning_model, openai_effort
from llmrouter.providers.presets import PRESETS
from llmrouter.types import (
    Document,
    Image,
    Message,
    Params,
    Private,
    Request,
    Schema,
    Text,
    Tool,
    ToolCall,
)
from tests.providers.openai_chat import (
    OTHER,
    OWN,
    asked,
    preset,
)


def test_parameters_go_out_under_openais_names() -> None:
    params = Params(temperature=0.2, top_p=0.9, max_tokens=50, stop=("a", "b"), seed=7)
    body = asked(OWN, params=params)
    assert body == {
        "model": "gpt-6-luna",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.2,
        "top_p": 0.9,
        "max_completion_tokens": 50,
        "stop": ["a", "b"],
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("codec", "model", "key"),
    [
        (OWN, "gpt-4o", "max_completion_tokens"),
        (OTHER, "llama-4", "max_tokens"),
        (OTHER, "gpt-5-mini", "max_completion_tokens"),
        (preset("openrouter"), "openai/o3", "max_completion_tokens"),
        (preset("mistral"), "mistral-small-latest", "max_tokens"),
    ],
)
def test_the_output_limit_goes_by_the_name_that_server_and_model_take(codec: ChatCodec, model: str, key: str) -> None:
    assert asked(codec, model=model, params=Params(max_tokens=9))[key] == 9


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("o1", True),
        ("o4-mini", True),
        ("gpt-5", True),
        ("gpt-5.6-sol", True),
        ("gpt-6-luna", True),
        ("openai/gpt-5-nano", True),
        ("ft:gpt-5-mini:org::id", True),
        ("gpt-5-chat-latest", False),
        ("gpt-4o", False),
        ("gpt-4.1-mini", False),
        ("gpt-3.5-turbo", False),
        ("gpt-oss-120b", False),
        ("olmo-3", False),
        ("llama-4", False),
        ("", False),
    ],
)
def test_reasoning_models_are_known_by_name(model: str, reasons: bool) -> None:
    assert is_openai_reasoning_model(model) is reasons


@pytest.mark.parametrize(
    ("model", "reasoning", "effort"),
    [
        ("gpt-6-luna", "low", "low"),
        ("gpt-6-luna", "none", "none"),
        ("gpt-6-luna", 1_000, "low"),
        ("gpt-6-luna", 10_000, "medium"),
        ("gpt-6-luna", 50_000, "high"),
        ("gpt-6-luna", 0, "none"),
        ("gpt-5-mini", "none", "minimal"),
        ("o3", "none", "low"),
        ("gpt-4o", "high", None),
        ("my-deployment", "high", "high"),
    ],
)
def test_reasoning_becomes_an_effort_the_model_knows(model: str, reasoning: str | int, effort: str | None) -> None:
    assert openai_effort(model, reasoning) == effort


@pytest.mark.parametrize(
    ("name", "reasoning", "fields"),
    [
        ("openrouter", 2000, {"reasoning": {"max_tokens": 2000}}),
        ("openrouter", "none", {"reasoning": {"effort": "none"}}),
        ("deepseek", "high", {"thinking": {"type": "enabled"}}),
        ("deepseek", "none", {"thinking": {"type": "disabled"}}),
        ("mistral", "low", {"reasoning_effort": "high"}),
        ("ollama", 9000, {"reasoning_effort": "medium"}),
    ],
)
def test_each_server_is_asked_for_reasoning_in_its_own_form(
    name: str, reasoning: str | int, fields: dict[str, Any]
) -> None:
    body = asked(preset(name), model="m", params=Params(reasoning=reasoning))
    assert {key: body[key] for key in fields} == fields


def test_extra_fields_win_over_everything() -> None:
    body = asked(OWN, params=Params(temperature=1, extra={"temperature": 0, "service_tier": "flex"}))
    assert (body["temperature"], body["service_tier"]) == (0, "flex")


def test_tools_and_a_forced_choice_are_sent() -> None:
    tool = Tool("look", "Looks.", {"type": "object", "properties": {}}, strict=True)
    body = asked(OWN, tools=(tool,), tool_choice="look")
    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "look",
                "parameters": {"type": "object", "properties": {}},
                "description": "Looks.",
                "strict": True,
            },
        }
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_general_tool_choices_stay_words(choice: str) -> None:
    assert asked(OWN, tools=(Tool("look"),), tool_choice=choice)["tool_choice"] == choice


def test_a_tool_round_is_sent_back_in_wire_form() -> None:
    call = ToolCall("call_1", "look", '{"at": 1}')
    body = asked(OWN, Message("assistant", "", (call,)), Message("tool", "seen", tool_call_id="call_1"))
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
    ]


def test_images_from_tools_follow_their_turn_in_a_user_message() -> None:
    image = Image(url="https://example.com/a.png")
    result = Message("tool", (Text("see"), image), tool_call_id="c")
    wire = asked(OWN, result, Message("tool", "more", tool_call_id="d"), Message("user", "well?"))["messages"]
    assert [message["role"] for message in wire] == ["tool", "tool", "user", "user"]
    assert wire[0]["content"] == "see"
    assert wire[2]["content"] == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]


def test_foreign_tool_call_ids_are_made_to_fit() -> None:
    call = ToolCall("toolu_" + "x" * 60, "look")
    wire = asked(preset("mistral"), Message("assistant", "", (call,)), Message("tool", "", tool_call_id=call.id))
    made = wire["messages"][0]["tool_calls"][0]["id"]
    assert (len(made), made.isalnum()) == (9, True)
    assert wire["messages"][1]["tool_call_id"] == made


def test_image_bytes_become_a_data_url_with_detail() -> None:
    image = Image(data="AAAA", media_type="image/webp", detail="low")
    (message,) = asked(OWN, Message("user", (Text("what?"), image)))["messages"]
    assert message["content"] == [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA", "detail": "low"}},
    ]


def test_a_pdf_becomes_a_file_part() -> None:
    document = Document(data="AAAA", media_type="application/pdf", filename="a.pdf")
    (message,) = asked(OWN, Message("user", (document,)))["messages"]
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
    assert message["content"] == [{"type": "file", "file": file}]


def test_a_text_document_is_sent_as_text() -> None:
    document = Document.from_bytes("Grüße".encode(), "text/plain", filename="a.txt")
    (message,) = asked(OWN, Message("user", (document,)))["messages"]
    assert message["content"] == [{"type": "text", "text": "a.txt:\nGrüße"}]


def test_a_document_by_url_is_missing_where_the_server_takes_only_bytes() -> None:
    request = Request("m", (Message("user", (Document(url="https://example.com/a.pdf"),)),))
    assert missing(request, OPENAI) == "documents by URL"
    assert missing(request, PRESETS["mistral"].dialect) is None
    with pytest.raises(InvalidRequestError, match="not its URL"):
        OWN.encode(request)


def test_images_are_missing_at_deepseek() -> None:
    request = Request("m", (Message("user", (Image(url="https://example.com/a.png"),)),))
    assert missing(request, PRESETS["deepseek"].dialect) == "images"


def test_a_system_message_of_parts_is_plain_text() -> None:
    (message,) = asked(OTHER, Message("system", (Text("a"), Text("b"))))["messages"]
    assert message["content"] == "ab"


def test_cache_marks_reach_openrouter_only() -> None:
    message = Message("user", (Text("long", cache=True), Text("short")))
    (marked,) = asked(preset("openrouter"), message)["messages"]
    assert marked["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in json.dumps(asked(OWN, message))
    assert "cache_control" not in json.dumps(asked(preset("openrouter"), message, prompt_cache="off"))


SCHEMA = Schema({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, name="thing")


def test_a_schema_asks_for_structured_output() -> None:
    form = asked(OWN, schema=SCHEMA)["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == ("json_schema", "thing", True)
    assert form["json_schema"]["schema"]["required"] == ["a"]


def test_deepseek_gets_the_schema_in_words() -> None:
    body = asked(preset("deepseek"), schema=SCHEMA)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["role"] == "system"
    assert '"required": ["a"]' in body["messages"][0]["content"]


def test_the_session_routes_openais_prompt_cache() -> None:
    assert asked(OWN, session="s1")["prompt_cache_key"] == "s1"
    assert len(asked(OWN, session="s" * 100)["prompt_cache_key"]) == 64
    assert "prompt_cache_key" not in asked(OWN, session="s1", prompt_cache="off")
    assert "prompt_cache_key" not in asked(OTHER, session="s1")


def test_a_stream_asks_for_usage_where_the_server_knows_the_flag() -> None:
    assert OWN.streaming({"model": "m"}) == {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    assert preset("mistral").streaming({"model": "m"}) == {"model": "m", "stream": True}


def test_a_final_assistant_message_is_marked_as_prefix_for_mistral() -> None:
    body = asked(preset("mistral"), Message("user", "hi"), Message("assistant", "Dear", name="bot"))
    assert body["messages"][-1] == {"role": "assistant", "content": "Dear", "prefix": True}


def test_private_parts_go_back_to_their_origin_only() -> None:
    kept = {"role": "assistant", "content": None, "reasoning_details": [{"type": "x"}]}
    message = Message("assistant", "hi", private=(Private("openrouter", kept),))
    assert asked(preset("openrouter"), message)["messages"] == [kept]
    assert asked(OWN, message)["messages"] == [{"role": "assistant", "content": "hi"}]
