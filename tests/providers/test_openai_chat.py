"""Chat Completions: what is asked, and what every kind of server answers."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    MalformedResponseError,
    ModelNotFoundError,
    OutputInvalidError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from llmrouter.providers.base import WireReply
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_chat_encode import missing
from llmrouter.providers.openai_dialect import COMPATIBLE, OPENAI, is_openai_reasoning_model, openai_effort
from llmrouter.providers.presets import PRESETS
from llmrouter.types import (
    Completion,
    Delta,
    Document,
    Image,
    Message,
    Params,
    Private,
    Reasoning,
    Request,
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
)

OWN = ChatCodec("openai", OPENAI)
OTHER = ChatCodec("local", COMPATIBLE)


def preset(name: str) -> ChatCodec:
    return ChatCodec(name, PRESETS[name].dialect)


def asked(codec: ChatCodec, *messages: Message, model: str = "gpt-6-luna", **fields: Any) -> dict[str, Any]:
    return codec.encode(Request(model, messages or (Message("user", "hello"),), **fields))


def answered(message: dict[str, Any], finish: Any = "stop", codec: ChatCodec = OTHER, **body: Any) -> Completion:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return codec.decode(WireReply({"id": "a1", "model": "m", "choices": [choice], **body}))


def streamed(*chunks: Any, codec: ChatCodec = OTHER, done: bool = True) -> tuple[list[Delta], Completion]:
    decoder = codec.decoder({})
    deltas: list[Delta] = []
    for chunk in chunks:
        deltas += decoder.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    if done:
        deltas += decoder.feed(b"data: [DONE]\n\n")
    return deltas, decoder.finish()


def piece(delta: dict[str, Any], finish: str | None = None, **body: Any) -> dict[str, Any]:
    return {"id": "a1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **body}


# ------------------------------------------------------------------------------------------------ the request


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


# ------------------------------------------------------------------------------------------------ the answer


def test_a_refusal_is_an_answer_of_its_own_kind() -> None:
    answer = answered({"content": None, "refusal": "I will not."})
    assert (answer.finish_reason, answer.provider_finish_reason) == ("refusal", "stop")
    assert answer.message.content == "I will not."


@pytest.mark.parametrize(
    ("told", "ours"),
    [
        ("eos", "stop"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("odd", "other"),
        (None, "stop"),
    ],
)
def test_finish_reasons_are_ours(told: str | None, ours: str) -> None:
    answer = answered({"content": "x"}, told)
    assert (answer.finish_reason, answer.provider_finish_reason) == (ours, told)


def test_an_empty_finish_reason_counts_as_none() -> None:
    assert answered({"content": "x"}, "").provider_finish_reason is None


def test_tool_calls_decide_the_finish_reason_of_a_plain_stop() -> None:
    call = {"id": "c", "function": {"name": "look", "arguments": "{}"}}
    assert answered({"content": "", "tool_calls": [call]}, "stop").finish_reason == "tool_calls"


def test_tool_arguments_may_be_an_object_and_ids_may_be_missing() -> None:
    calls = [{"function": {"name": "look", "arguments": {"at": "ü"}}}, {"function": {"name": "look"}}]
    first, second = answered({"tool_calls": calls}).message.tool_calls
    assert (first.arguments, second.arguments) == ({"at": "ü"}, {})
    assert first.id != second.id
    assert first.id == answered({"tool_calls": calls}).message.tool_calls[0].id


def test_a_call_of_the_old_kind_is_a_tool_call() -> None:
    answer = answered({"content": None, "function_call": {"name": "look", "arguments": "{}"}}, "function_call")
    assert (answer.finish_reason, answer.message.tool_calls[0].name) == ("tool_calls", "look")


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x", "reasoning_content": "hm"},
        {"content": "x", "reasoning": "hm"},
        {"content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "x"},
            ]
        },
    ],
)
def test_visible_reasoning_is_found_under_every_name(message: dict[str, Any]) -> None:
    answer = answered(message)
    assert (answer.message.content, answer.reasoning) == ("x", "hm")


def test_mistrals_thinking_goes_back_verbatim() -> None:
    content = [THINKING, {"type": "text", "text": "x"}]
    answer = answered({"content": content}, codec=preset("mistral"))
    assert answer.message.private_for("mistral") == {"role": "assistant", "content": content}


def test_deepseeks_reasoning_goes_back_with_its_tool_calls_only() -> None:
    call = {"id": "c", "function": {"name": "look", "arguments": "{}"}}
    codec = preset("deepseek")
    with_calls = answered({"content": "", "reasoning_content": "hm", "tool_calls": [call]}, codec=codec)
    assert with_calls.message.private_for("deepseek")["reasoning_content"] == "hm"
    assert answered({"content": "x", "reasoning_content": "hm"}, codec=codec).message.private == ()


def test_geminis_signature_on_a_tool_call_goes_back() -> None:
    extra = {"google": {"thought_signature": "s"}}
    call = {"id": "c", "function": {"name": "look", "arguments": "{}"}, "extra_content": extra}
    kept = answered({"content": None, "tool_calls": [call]}).message.private_for("local")
    assert kept["tool_calls"][0]["extra_content"] == extra


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 30,
                "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 50},
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(10, 30, 40, 50, reasoning_tokens=20),
        ),
        ({"prompt_tokens": 100, "completion_tokens": 3, "prompt_cache_hit_tokens": 64}, Usage(36, 3, 64)),  # DeepSeek
        ({"prompt_tokens": 100, "completion_tokens": 3, "cached_tokens": 60}, Usage(40, 3, 60)),  # Together
        (  # xAI
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(10, 25, reasoning_tokens=20),
        ),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99}}, Usage(0, 0, 10)),
        ({}, None),
        (None, None),
        ("many", None),
    ],
)
def test_usage_is_split_in_disjoint_parts(usage: Any, expected: Usage | None) -> None:
    assert answered({"content": "x"}, usage=usage).usage == expected


def test_an_empty_answer_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="empty answer"):
        answered({"content": ""})


def test_an_empty_answer_cut_by_its_limit_is_an_answer() -> None:
    assert answered({"content": ""}, "length").finish_reason == "length"


def test_an_azure_answer_without_message_is_a_content_filter() -> None:
    body = {"model": "m", "choices": [{"index": 0, "finish_reason": "content_filter"}]}
    assert OWN.decode(WireReply(body)).finish_reason == "content_filter"


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": 1}]}]
)
def test_what_is_not_the_protocol_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedResponseError):
        OWN.decode(WireReply(body))


def test_an_error_inside_a_200_has_its_own_class() -> None:
    with pytest.raises(ServerError) as caught:
        OWN.decode(WireReply({"error": {"code": 502, "message": "upstream"}}))
    assert (caught.value.status, caught.value.code) == (502, "502")


def test_an_error_inside_a_choice_has_its_own_class() -> None:
    with pytest.raises(RateLimitError):
        answered({"content": ""}, "error", choices=[{"message": {}, "error": {"code": 429, "message": "x"}}])


def test_a_finish_reason_that_means_a_broken_server_is_a_server_error() -> None:
    with pytest.raises(ServerError, match="insufficient_system_resource"):
        answered({"content": "x"}, "insufficient_system_resource")


def test_logprobs_are_kept() -> None:
    logprobs = {"content": [{"token": "x", "logprob": -0.1}]}
    body = {"model": "m", "choices": [{"message": {"content": "x"}, "finish_reason": "stop", "logprobs": logprobs}]}
    assert OWN.decode(WireReply(body)).logprobs == logprobs


# ------------------------------------------------------------------------------------------------ streams


def test_a_stream_gives_text_reasoning_and_usage() -> None:
    deltas, answer = streamed(
        piece({"role": "assistant", "content": "", "reasoning": "hm"}),
        piece({"content": "Hel"}),
        piece({"content": "lo"}),
        piece({}, "stop"),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    )
    assert deltas == [Reasoning("hm"), Text("Hel"), Text("lo")]
    assert (answer.message.content, answer.reasoning, answer.usage) == ("Hello", "hm", Usage(3, 2))


def test_streamed_tool_arguments_are_put_together() -> None:
    deltas, answer = streamed(
        piece({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}}]}),
        piece({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
        piece({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "see", "arguments": "{}"}}]}),
        piece({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
        piece({}, "tool_calls"),
    )
    assert deltas[0] == ToolCallDelta(0, "c1", "look", "")
    assert deltas[3] == ToolCallDelta(0, None, None, "1}")
    assert answer.message.tool_calls == (ToolCall("c1", "look", '{"a":1}'), ToolCall("c2", "see", "{}"))


def test_calls_that_all_have_index_0_are_told_apart_by_id() -> None:
    _, answer = streamed(
        piece({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{}"}}]}),
        piece({"tool_calls": [{"index": 0, "id": "c2", "function": {"name": "look", "arguments": "{}"}}]}, "stop"),
    )
    assert [call.id for call in answer.message.tool_calls] == ["c1", "c2"]
    assert answer.finish_reason == "tool_calls"


def test_streamed_calls_without_index_or_id_are_understood() -> None:
    calls = [{"function": {"name": "look", "arguments": {"a": 1}}}, {"function": {"name": "see", "arguments": "{}"}}]
    _, answer = streamed(piece({"tool_calls": calls}, "stop"))
    assert [call.name for call in answer.message.tool_calls] == ["look", "see"]
    assert len({call.id for call in answer.message.tool_calls}) == 2


def test_a_streamed_refusal_is_a_refusal() -> None:
    deltas, answer = streamed(piece({"refusal": "I "}), piece({"refusal": "won't."}), piece({}, "stop"))
    assert deltas == [Text("I "), Text("won't.")]
    assert (answer.finish_reason, answer.message.content) == ("refusal", "I won't.")


def test_pieces_of_one_reasoning_detail_are_joined_for_the_way_back() -> None:
    detail = {"type": "reasoning.text", "index": 0}
    _, answer = streamed(
        piece({"reasoning": "a", "reasoning_details": [{**detail, "text": "a"}]}),
        piece({"reasoning": "b", "reasoning_details": [{**detail, "text": "b"}]}),
        piece({"reasoning_details": [{**detail, "signature": "s"}]}),
        piece({"content": "x"}, "stop"),
        codec=preset("openrouter"),
    )
    kept = answer.message.private_for("openrouter")
    assert kept["reasoning_details"] == [{**detail, "text": "ab", "signature": "s"}]


def test_streamed_thinking_chunks_of_mistral_go_back_as_chunks() -> None:
    deltas, answer = streamed(piece({"content": [THINKING]}), piece({"content": "x"}, "stop"), codec=preset("mistral"))
    assert deltas == [Reasoning("hm"), Text("x")]
    assert answer.message.private_for("mistral")["content"] == [THINKING, {"type": "text", "text": "x"}]


def test_a_stream_may_end_without_done_after_its_finish_reason() -> None:
    _, answer = streamed(piece({"content": "x"}, "stop"), done=False)
    assert answer.message.content == "x"


def test_a_stream_may_end_with_done_and_no_finish_reason() -> None:
    _, answer = streamed(piece({"content": "x"}))
    assert (answer.finish_reason, answer.provider_finish_reason) == ("stop", None)


def test_a_stream_that_just_stops_is_interrupted() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed(piece({"content": "par"}), done=False)
    assert caught.value.partial == "par"


def test_a_stream_with_nothing_in_it_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="empty answer"):
        streamed()


def test_what_follows_done_is_ignored() -> None:
    decoder = OTHER.decoder({})
    event = b"data: " + json.dumps(piece({"content": "x"}, "stop")).encode() + b"\n\n"
    decoder.feed(event + b"data: [DONE]\n\ndata: [DONE]\n\n" + event)
    assert decoder.ended
    assert decoder.feed(event) == []
    assert decoder.finish().message.content == "x"


def test_a_stream_ends_with_its_usage_where_the_server_sends_no_done() -> None:
    decoder = OTHER.decoder({})
    last = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    for chunk in (piece({"content": "x"}, "stop"), last):
        decoder.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert decoder.ended


def test_usage_beside_the_text_does_not_end_a_stream() -> None:
    _, answer = streamed(*[piece({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": n}) for n in (1, 2)])
    assert (answer.message.content, answer.usage) == ("xx", Usage(1, 2))


def test_the_answer_may_be_asked_for_twice() -> None:
    decoder = OTHER.decoder({})
    decoder.feed(b"data: " + json.dumps(piece({"content": "x"}, "stop")).encode())
    assert decoder.finish() == decoder.finish()


def test_garbage_in_an_event_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="not JSON"):
        OTHER.decoder({}).feed(b"data: {oops\n\n")


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        ({"message": "busy", "type": "overloaded_error"}, OverloadedError),
        ({"message": "slow", "code": "rate_limit_exceeded"}, RateLimitError),
        ({"message": "?", "type": "server_error"}, ServerError),
        ({"message": "?", "code": 503}, OverloadedError),
        ({"message": "no", "type": "invalid_request_error"}, BadRequestError),
        ("it broke", ServerError),
    ],
)
def test_an_error_inside_a_stream_has_its_class(error: Any, cls: type[ProviderError]) -> None:
    with pytest.raises(cls):
        streamed(piece({"content": "x"}), {"error": error})


def test_a_whole_answer_in_place_of_a_stream_is_read() -> None:
    decoder = OTHER.decoder({"Content-Type": "application/json"})
    body = json.dumps({"model": "m", "choices": [{"message": {"content": "hé}"}, "finish_reason": "stop"}]}).encode()
    deltas = [delta for byte in body for delta in decoder.feed(bytes([byte]))]
    assert deltas == [Text("hé}")]
    assert decoder.ended
    assert decoder.finish().message.content == "hé}"


def test_an_error_in_place_of_a_stream_is_raised() -> None:
    with pytest.raises(QuotaError):
        OTHER.decoder({"content-type": "application/json"}).feed(b'{"error": {"code": "insufficient_quota"}}')


def test_usage_is_known_before_the_end() -> None:
    decoder = OTHER.decoder({})
    assert decoder.usage_so_far() is None
    chunk = piece({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1})
    decoder.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert decoder.usage_so_far() == Usage(1, 1)


def test_of_several_answers_the_first_is_read() -> None:
    _, answer = streamed(
        piece({"content": "one"}, "stop"),
        {"choices": [{"index": 1, "delta": {"content": "two"}, "finish_reason": "stop"}]},
    )
    assert answer.message.content == "one"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "arguments",
        "choices",
        "content",
        "delta",
        "error",
        "finish_reason",
        "function",
        "id",
        "index",
        "logprobs",
        "message",
        "name",
        "prompt_tokens",
        "reasoning",
        "reasoning_details",
        "refusal",
        "text",
        "tool_calls",
        "type",
        "usage",
    ]
)
WIRE = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(FIELDS, WIRE, max_size=6), st.dictionaries(FIELDS, WIRE, max_size=6))
def test_no_answer_at_all_raises_anything_but_our_errors(message: dict[str, Any], choice: dict[str, Any]) -> None:
    body = {"choices": [{"finish_reason": "stop", **choice, "message": message}]}
    with suppress(ProviderError):
        assert isinstance(OTHER.decode(WireReply(body)), Completion)


@given(st.lists(st.dictionaries(FIELDS, WIRE, max_size=6), max_size=5), WIRE)
def test_no_stream_at_all_raises_anything_but_our_errors(deltas: list[dict[str, Any]], tail: Any) -> None:
    with suppress(ProviderError):
        streamed(*[piece(delta) for delta in deltas], tail)


# ------------------------------------------------------------------------------------------------ errors


def failed(status: int, body: Any, headers: dict[str, str] | None = None) -> ProviderError:
    return OTHER.error(status, headers or {}, json.dumps(body).encode() if not isinstance(body, bytes) else body)


@pytest.mark.parametrize(
    ("status", "body", "cls", "code"),
    [
        (400, {"error": {"code": "invalid_api_key", "message": "x"}}, AuthenticationError, "invalid_api_key"),
        (400, {"code": "bad", "error": "Incorrect API key provided: x"}, AuthenticationError, "bad"),  # xAI
        (400, {"error": {"message": "Model Not Exist", "code": "invalid_request_error"}}, ModelNotFoundError, None),
        (400, {"object": "error", "type": "invalid_model", "message": "x", "code": "1500"}, ModelNotFoundError, "1500"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "x"}}, ModelNotFoundError, "DeploymentNotFound"),
        (402, {"error": {"message": "Insufficient Balance", "code": "x"}}, QuotaError, "x"),
        (429, {"error": {"type": "insufficient_quota", "message": "x"}}, QuotaError, "insufficient_quota"),
        (413, {"error": {"message": "Request too large for model", "code": "rate_limit_exceeded"}}, QuotaError, None),
        (403, {"error": {"code": 403, "message": "x", "metadata": {"flagged_input": "y"}}}, ContentFilterError, "403"),
        (400, {"error": {"code": "content_filter", "message": "x"}}, ContentFilterError, "content_filter"),
        (422, {"detail": [{"loc": ["body"], "msg": "extra"}]}, BadRequestError, None),
        (500, b"<html>Internal</html>", ServerError, None),
        (503, b"", OverloadedError, None),
        (302, b"", MalformedResponseError, None),
        (429, [{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}], RateLimitError, "429"),
        (400, {"error": {"code": "json_validate_failed", "failed_generation": "{"}}, OutputInvalidError, None),
    ],
)
def test_failures_are_classified(status: int, body: Any, cls: type[ProviderError], code: str | None) -> None:
    error = failed(status, body)
    assert type(error) is cls
    assert error.status == status
    assert code is None or error.code == code


@pytest.mark.parametrize(
    ("error", "used", "limit"),
    [
        (
            {
                "code": "context_length_exceeded",
                "message": "This model's maximum context length is 128000 tokens. "
                "However, your messages resulted in 150000 tokens.",
            },
            150_000,
            128_000,
        ),
        (
            {"code": 400, "message": "This endpoint's maximum context length is 8192 tokens. "
             "However, you requested about 9000 tokens (8000 of text input, 1000 in the output)."},
            9000,
            8192,
        ),
        ({"type": "exceed_context_size_error", "message": "x", "n_ctx": 4096, "n_prompt_tokens": 5000}, 5000, 4096),
        (
            {"message": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."},
            537_812,
            131_072,
        ),
        ({"code": "context_length_exceeded", "message": "Your input exceeds the context window."}, None, None),
    ],
)  # fmt: skip
def test_a_prompt_that_is_too_long_tells_its_counts(error: dict[str, Any], used: int | None, limit: int | None) -> None:
    found = failed(400, {"error": error})
    assert isinstance(found, ContextLengthError)
    assert (found.tokens_used, found.max_tokens) == (used, limit)


def test_a_429_that_says_not_to_retry_is_a_quota() -> None:
    assert type(failed(429, {}, {"X-Should-Retry": "false"})) is QuotaError
    assert type(failed(429, {}, {"X-Should-Retry": "true"})) is RateLimitError


def test_a_failure_keeps_delay_and_request_id() -> None:
    error = failed(429, {"error": {"message": "slow down"}}, {"Retry-After": "7", "X-Request-Id": "r1"})
    assert (error.retry_after, error.request_id, error.message) == (7.0, "r1", "slow down")


def test_what_the_provider_behind_openrouter_said_is_in_the_message() -> None:
    error = failed(429, {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "busy"}}})
    assert error.message == "Provider returned error: busy"


@given(st.integers(min_value=300, max_value=599), WIRE)
def test_every_failure_is_an_error_of_ours(status: int, body: Any) -> None:
    assert isinstance(OTHER.error(status, {}, body), ProviderError)
