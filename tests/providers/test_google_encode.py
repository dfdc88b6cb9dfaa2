"""What we ask Gemini: the wire body, table by table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.providers.google_genai import GoogleCodec, generation
from llmrouter.types import Document, Image, Message, Params, Private, Request, Schema, Text, Tool, ToolCall

CODEC = GoogleCodec("google")
HELLO = Message("user", "hello")
WEATHER = Tool("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


def body(*messages: Message, model: str = "gemini-2.5-flash", **more: Any) -> dict[str, Any]:
    return CODEC.encode(Request(model, messages or (HELLO,), **more))


def config(model: str = "gemini-2.5-flash", **params: Any) -> Any:
    return body(model=model, params=Params(**params)).get("generationConfig")


def test_a_plain_question_has_contents_alone() -> None:
    assert body() == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def test_system_messages_anywhere_become_the_system_instruction() -> None:
    asked = body(Message("system", "be brief"), HELLO, Message("system", "and kind"))
    assert asked["systemInstruction"] == {"parts": [{"text": "be brief"}, {"text": "and kind"}]}
    assert asked["contents"] == [{"role": "user", "parts": [{"text": "hello"}]}]


def test_a_system_message_alone_is_sent_as_the_users() -> None:
    assert body(Message("system", "say hi")) == {"contents": [{"role": "user", "parts": [{"text": "say hi"}]}]}


def test_sampling_parameters_have_their_own_names() -> None:
    assert config(temperature=0.0, top_p=0.5, max_tokens=7, stop=("END",), seed=1) == {
        "temperature": 0.0,
        "topP": 0.5,
        "maxOutputTokens": 7,
        "stopSequences": ["END"],
        "seed": 1,
    }


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking"),
    [
        ("gemini-3.8-flash", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3.1-pro-preview", "none", {"thinkingLevel": "low"}),
        ("gemini-3.8-flash", "low", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-flash-latest", "high", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-3.8-flash", 2048, {"thinkingBudget": 2048, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-flash", 64000, {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-pro", 1, {"thinkingBudget": 128, "includeThoughts": True}),
        ("gemini-2.5-flash", 0, {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.0-flash", "none", None),
    ],
)
def test_reasoning_takes_the_generations_own_form(model: str, reasoning: str | int, thinking: Any) -> None:
    found = config(model, reasoning=reasoning)
    assert (found or {}).get("thinkingConfig") == thinking


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gemini-2.5-flash", 2.5), ("models/gemini-3-pro", 3.0), ("gemini-flash-latest", 99.0), ("gemma-3-27b", 0.0)],
)
def test_the_generation_is_read_from_the_name(model: str, expected: float) -> None:
    assert generation(model) == expected


def test_a_schema_asks_for_json() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = body(schema=Schema(schema))["generationConfig"]
    assert asked["responseMimeType"] == "application/json"
    assert asked["responseJsonSchema"]["properties"]["n"] == {"type": "integer"}


def test_tools_are_function_declarations_with_json_schema() -> None:
    (declared,) = body(tools=(WEATHER,))["tools"][0]["functionDeclarations"]
    assert (declared["name"], declared["description"]) == ("weather", "Tells the weather.")
    assert declared["parametersJsonSchema"]["properties"] == {"city": {"type": "string"}}


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("weather", {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
    ],
)
def test_tool_choice_is_the_function_calling_mode(choice: str, calling: Any) -> None:
    asked = body(tools=(WEATHER,), tool_choice=choice)
    assert asked["toolConfig"] == {"functionCallingConfig": calling}


def test_results_of_parallel_calls_share_one_turn_and_carry_the_functions_names() -> None:
    calls = (ToolCall("a", "weather", {"city": "Oslo"}), ToolCall("b", "clock", {}))
    asked = body(
        HELLO,
        Message("assistant", "", calls),
        Message("tool", '{"sky": "blue"}', tool_call_id="a"),
        Message("tool", "no clock", tool_call_id="b", is_error=True),
        Message("user", "thanks"),
    )
    assert asked["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Oslo"}}},
                {"functionCall": {"id": "b", "name": "clock", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "weather", "response": {"sky": "blue"}}},
                {"functionResponse": {"id": "b", "name": "clock", "response": {"error": "no clock"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "thanks"}]},
    ]


def test_gemini_3_gets_a_stand_in_signature_on_the_first_of_foreign_calls() -> None:
    calls = (ToolCall("a", "weather"), ToolCall("b", "weather"))
    parts = body(HELLO, Message("assistant", "", calls), model="gemini-3.8-flash")["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["skip_thought_signature_validator", None]


def test_a_turn_of_our_own_goes_back_verbatim_and_one_of_others_does_not() -> None:
    turn = {"role": "model", "parts": [{"text": "hi", "thoughtSignature": "c2ln"}]}
    ours, theirs = Private("google", turn), Private("anthropic", {"content": []})
    assert body(HELLO, Message("assistant", "hi", private=(theirs, ours)), HELLO)["contents"][1] == turn
    plain = {"role": "model", "parts": [{"text": "hi"}]}
    assert body(HELLO, Message("assistant", "hi", private=(theirs,)), HELLO)["contents"][1] == plain


def test_a_result_has_an_id_only_where_the_call_had_one_on_the_wire() -> None:
    turn = {"role": "model", "parts": [{"functionCall": {"name": "clock"}, "thoughtSignature": "c2ln"}]}
    asked = Message("assistant", "", (ToolCall("call_ours", "clock"),), private=(Private("google", turn),))
    result = body(HELLO, asked, Message("tool", "noon", tool_call_id="call_ours"))["contents"][2]["parts"][0]
    assert result == {"functionResponse": {"name": "clock", "response": {"result": "noon"}}}


def test_arguments_that_are_no_json_are_shown_as_they_were() -> None:
    parts = body(HELLO, Message("assistant", "", (ToolCall("a", "weather", "{oops"),)))["contents"][1]["parts"]
    assert parts[0]["functionCall"]["args"] == {"arguments": "{oops"}


def test_the_last_turn_is_the_users_even_after_a_prefill() -> None:
    turns = body(HELLO, Message("assistant", "The answer"))["contents"]
    assert [turn["role"] for turn in turns] == ["user", "model", "user"]


def test_an_assistant_message_without_anything_is_left_out() -> None:
    assert body(HELLO, Message("assistant", ""))["contents"] == [{"role": "user", "parts": [{"text": "hello"}]}]


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (Image(data="AAAA", media_type="image/png"), {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
        (Image(data="/9j/AAAA"), {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/AAAA"}}),
        (
            Image(url="https://example.org/a.webp?size=2"),
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.org/a.webp?size=2"}},
        ),
        (
            Document(url="gs://bucket/report"),
            {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/report"}},
        ),
        (
            Document(data="JVBERi0=", media_type="application/pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        ),
    ],
)
def test_images_and_documents_are_inline_or_by_address(part: Image | Document, wire: Any) -> None:
    assert body(Message("user", (Text("look"), part)))["contents"][0]["parts"] == [{"text": "look"}, wire]


@pytest.mark.parametrize(("model", "inside"), [("gemini-3.8-flash", True), ("gemini-2.5-flash", False)])
def test_an_image_in_a_tool_result_goes_into_the_response_where_the_model_takes_it(model: str, inside: bool) -> None:
    picture = Image(data="AAAA", media_type="image/png")
    result = Message("tool", (Text("here"), picture), tool_call_id="a")
    parts = body(HELLO, Message("assistant", "", (ToolCall("a", "draw"),)), result, model=model)["contents"][2]["parts"]
    wire = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    assert (parts[0]["functionResponse"].get("parts") == [wire]) is inside
    assert (parts[1:] == [wire]) is not inside


@pytest.mark.parametrize(("named", "sent"), [("auto", None), ("off", None), ("cachedContents/x", "cachedContents/x")])
def test_only_a_named_cache_is_asked_for(named: str, sent: str | None) -> None:
    assert body(prompt_cache=named).get("cachedContent") == sent


def test_extra_wins_and_joins_the_generation_config_key_by_key() -> None:
    extra = {"safetySettings": [], "generationConfig": {"topK": 3, "temperature": 1}}
    asked = body(params=Params(temperature=0.1, max_tokens=5, extra=extra))
    assert asked["generationConfig"] == {"temperature": 1, "maxOutputTokens": 5, "topK": 3}
    assert asked["safetySettings"] == []


def test_a_stream_has_the_same_body() -> None:
    assert CODEC.streaming(body()) == body()


def test_an_embedding_batch_names_the_model_in_each_request() -> None:
    assert CODEC.encode_embed("gemini-embedding-001", ["a", "b"], None) == {
        "requests": [
            {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}},
            {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "b"}]}},
        ]
    }


_texts = st.text(max_size=20)
_calls = st.lists(st.builds(ToolCall, _texts, _texts, _texts), max_size=3).map(tuple)
_messages = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user"]), _texts),
    st.builds(Message, st.just("assistant"), _texts, _calls),
    st.builds(Message, st.just("tool"), _texts, tool_call_id=_texts, is_error=st.booleans()),
)


@given(st.lists(_messages, min_size=1, max_size=8), st.sampled_from(["gemini-2.5-flash", "gemini-3.8-flash"]))
def test_any_history_encodes_to_the_same_json_each_time(messages: list[Message], model: str) -> None:
    request = Request(model, tuple(messages))
    assert json.dumps(CODEC.encode(request)) == json.dumps(CODEC.encode(request))
    assert all(content["parts"] for content in CODEC.encode(request)["contents"])
