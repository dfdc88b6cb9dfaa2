"""Responses: what is asked, what is answered, and what goes back, since nothing is stored."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    ContentFilterError,
    MalformedResponseError,
    ProviderError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from llmrouter.providers.base import ProviderSettings, WireReply
from llmrouter.providers.openai import provider
from llmrouter.providers.openai_dialect import COMPATIBLE
from llmrouter.providers.openai_responses import ResponsesCodec
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

CODEC = ResponsesCodec("openai")
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"a":1}'}


def said(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content, **fields}


def asked(*messages: Message, model: str = "gpt-4o", **fields: Any) -> dict[str, Any]:
    return CODEC.encode(Request(model, messages or (Message("user", "hello"),), **fields))


def body_of(*items: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "model": "m", "status": status, "output": list(items), **fields}


def answered(*items: dict[str, Any], status: str = "completed", **fields: Any) -> Completion:
    return CODEC.decode(WireReply(body_of(*items, status=status, **fields)))


def streamed(*events: Any) -> tuple[list[Delta], Completion]:
    decoder = CODEC.decoder({})
    deltas: list[Delta] = []
    for event in events:
        deltas += decoder.feed(f"data: {json.dumps(event)}\n\n".encode())
    return deltas, decoder.finish()


def completed(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": body_of(*items, **fields)}


# ------------------------------------------------------------------------------------------------ the request


def test_nothing_is_stored() -> None:
    assert asked() == {"model": "gpt-4o", "input": [{"role": "user", "content": "hello"}], "store": False}


def test_parameters_go_out_under_the_names_of_responses() -> None:
    body = asked(params=Params(temperature=0.2, top_p=0.9, max_tokens=50, extra={"service_tier": "flex"}))
    assert (body["temperature"], body["top_p"], body["max_output_tokens"]) == (0.2, 0.9, 50)
    assert body["service_tier"] == "flex"


@pytest.mark.parametrize(("model", "included"), [("gpt-5.5", True), ("o3", True), ("gpt-4o", False)])
def test_encrypted_reasoning_is_asked_of_models_that_reason(model: str, included: bool) -> None:
    assert ("include" in asked(model=model)) is included


def test_reasoning_is_an_effort() -> None:
    assert asked(model="gpt-5.5", params=Params(reasoning=9000))["reasoning"] == {"effort": "medium"}
    assert "reasoning" not in asked(model="gpt-4o", params=Params(reasoning="low"))


def test_a_compatible_server_is_spared_openais_own_fields() -> None:
    request = Request("m", (Message("user", "x"),), Params(reasoning="low"), session="s")
    body = ResponsesCodec("local", COMPATIBLE).encode(request)
    assert body["reasoning"] == {"effort": "low"}
    assert not body.keys() & {"include", "prompt_cache_key"}


def test_tools_are_flat_and_as_strict_as_in_chat_completions() -> None:
    body = asked(tools=(Tool("look", "Looks."), Tool("see", strict=True)), tool_choice="see")
    first, second = body["tools"]
    assert (first["type"], first["name"], first["description"], first["strict"]) == (
        "function",
        "look",
        "Looks.",
        False,
    )
    assert second["strict"] is True
    assert body["tool_choice"] == {"type": "function", "name": "see"}


def test_a_schema_is_a_text_format() -> None:
    schema = Schema({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, name="thing")
    form = asked(schema=schema)["text"]["format"]
    assert (form["type"], form["name"], form["strict"]) == ("json_schema", "thing", True)


def test_deepseek_gets_the_schema_in_words() -> None:
    request = Request("m", (Message("user", "x"),), schema=Schema({"type": "object", "required": ["a"]}))
    body = ResponsesCodec("deepseek", PRESETS["deepseek"].dialect).encode(request)
    assert body["text"] == {"format": {"type": "json_object"}}
    assert '"required": ["a"]' in body["input"][0]["content"]


def test_images_and_files_are_input_parts() -> None:
    parts = (
        Text("what?"),
        Image(url="https://example.com/a.png", detail="high"),
        Document(data="AAAA", media_type="application/pdf", filename="a.pdf"),
        Document(url="https://example.com/b.pdf"),
    )
    (message,) = asked(Message("user", parts))["input"]
    assert message["content"] == [
        {"type": "input_text", "text": "what?"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "input_file", "file_url": "https://example.com/b.pdf"},
    ]


def test_a_tool_round_becomes_items() -> None:
    call = Message("assistant", "Let me look.", (ToolCall("c1", "look", '{"a":1}'),))
    image = Image(data="AAAA", media_type="image/png")
    result = Message("tool", (Text("seen"), image), tool_call_id="c1")
    assert asked(call, result)["input"] == [
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "seen"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            ],
        },
    ]


def test_reasoning_items_go_back_verbatim() -> None:
    answer = answered(REASONING, CALL)
    assert asked(answer.message)["input"] == [REASONING, CALL]


def test_what_chat_completions_kept_is_not_sent_as_items() -> None:
    message = Message("assistant", "hi", private=(Private("openai", {"role": "assistant"}),))
    assert asked(message)["input"] == [{"role": "assistant", "content": "hi"}]


def test_stop_sequences_are_lacking() -> None:
    served = provider(ProviderSettings("openai", "openai", api="responses"))
    request = Request("m", (Message("user", "x"),), Params(stop=("a",)))
    assert served.lacks(request) == "stop sequences"
    assert served.lacks(Request("m", (Message("user", "x"),))) is None


# ------------------------------------------------------------------------------------------------ the answer


def test_text_and_calls_come_out() -> None:
    answer = answered(said("Looking."), CALL)
    assert answer.message.content == "Looking."
    assert answer.message.tool_calls == (ToolCall("c1", "look", '{"a":1}'),)
    assert (answer.finish_reason, answer.provider_finish_reason) == ("tool_calls", "completed")
    assert answer.message.private == ()


def test_a_refusal_is_an_answer_of_its_own_kind() -> None:
    item = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    answer = answered(item)
    assert (answer.finish_reason, answer.message.content) == ("refusal", "No.")


@pytest.mark.parametrize(
    ("why", "ours"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("steered", "other")]
)
def test_an_incomplete_answer_tells_why(why: str, ours: str) -> None:
    answer = answered(said("x"), status="incomplete", incomplete_details={"reason": why})
    assert (answer.finish_reason, answer.provider_finish_reason) == (ours, why)


def test_an_answer_cut_before_its_first_word_is_an_answer() -> None:
    answer = answered(REASONING, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert (answer.message.content, answer.finish_reason) == ("", "length")


def test_summaries_of_reasoning_are_visible() -> None:
    item = {**REASONING, "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]}
    assert answered(item, said("x")).reasoning == "a\n\nb"


def test_reasoning_that_cannot_go_back_is_not_kept() -> None:
    bare = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert answered(bare, said("x", phase="final_answer")).message.private == ()


def test_items_of_the_servers_own_tools_go_back() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    assert answered(search, said("x")).message.private_for("openai") == [search, said("x")]


def test_usage_is_split_in_disjoint_parts() -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 50},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 20},
    }
    assert answered(said("x"), usage=usage).usage == Usage(10, 30, 40, 50, reasoning_tokens=20)
    assert answered(said("x"), usage=None).usage is None


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"output": "x"}, body_of(), body_of(said("x"), status="in_progress")],
)
def test_what_is_no_finished_answer_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedResponseError):
        CODEC.decode(WireReply(body))


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("server_error", ServerError),
        ("rate_limit_exceeded", RateLimitError),
        ("invalid_prompt", ContentFilterError),
        ("bio_policy", ContentFilterError),
    ],
)
def test_a_failed_answer_has_the_class_of_its_code(code: str, cls: type[ProviderError]) -> None:
    with pytest.raises(cls) as caught:
        answered(status="failed", error={"code": code, "message": "why"})
    assert (caught.value.code, caught.value.message) == (code, "why")


# ------------------------------------------------------------------------------------------------ streams


def test_a_stream_gives_text_reasoning_and_calls() -> None:
    deltas, answer = streamed(
        {"type": "response.created", "response": body_of(status="in_progress")},
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "a"},
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "b"},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Look"},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "ing."},
        {"type": "response.output_item.added", "output_index": 2, "item": {**CALL, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a":'},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "1}"},
        {"type": "response.output_item.done", "output_index": 2, "item": CALL},
        {"type": "response.something.new", "delta": "?"},
        completed(REASONING, said("Looking."), CALL),
    )
    assert deltas == [
        Reasoning("a"),
        Reasoning("\n\n"),
        Reasoning("b"),
        Text("Look"),
        Text("ing."),
        ToolCallDelta(0, "c1", "look", ""),
        ToolCallDelta(0, None, None, '{"a":'),
        ToolCallDelta(0, None, None, "1}"),
    ]
    assert (answer.message.content, answer.finish_reason) == ("Looking.", "tool_calls")


def test_a_call_that_comes_in_one_piece_is_given_once() -> None:
    deltas, _ = streamed({"type": "response.output_item.done", "output_index": 0, "item": CALL}, completed(CALL))
    assert deltas == [ToolCallDelta(0, "c1", "look", '{"a":1}')]


def test_arguments_that_come_only_at_the_end_of_an_announced_call_are_given() -> None:
    deltas, _ = streamed(
        {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "arguments": ""}},
        {"type": "response.output_item.done", "output_index": 0, "item": CALL},
        completed(CALL),
    )
    assert deltas == [ToolCallDelta(0, "c1", "look", ""), ToolCallDelta(0, None, None, '{"a":1}')]


def test_items_left_out_of_the_last_event_are_remembered() -> None:
    _, answer = streamed({"type": "response.output_item.done", "output_index": 0, "item": said("x")}, completed())
    assert answer.message.content == "x"


def test_a_streamed_refusal_is_text() -> None:
    item = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    deltas, answer = streamed({"type": "response.refusal.delta", "delta": "No."}, completed(item))
    assert (deltas, answer.finish_reason) == ([Text("No.")], "refusal")


def test_an_incomplete_stream_ends_cleanly() -> None:
    body = body_of(said("x"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    _, answer = streamed({"type": "response.incomplete", "response": body})
    assert answer.finish_reason == "length"


def test_a_stream_without_its_last_event_is_interrupted() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        streamed({"type": "response.output_text.delta", "delta": "par"})
    assert caught.value.partial == "par"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "why"},
        {"type": "error", "error": {"type": "rate_limit_error", "message": "why"}},
        {"error": {"code": "rate_limit_exceeded", "message": "why"}},
        {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "why"}}},
    ],
)
def test_an_error_inside_a_stream_has_its_class(event: dict[str, Any]) -> None:
    with pytest.raises(RateLimitError, match="why"):
        streamed(event)


def test_garbage_in_an_event_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="not JSON"):
        CODEC.decoder({}).feed(b"data: {oops\n\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "content", "summary", "arguments"]), inner, max_size=4)
    ),
    max_leaves=12,
)
KINDS = st.sampled_from(
    ["message", "reasoning", "function_call", "custom_tool_call", "output_text", "refusal", "response.output_item.done"]
)


@given(st.lists(st.dictionaries(st.sampled_from(["type", "content", "name", "id", "summary"]), KINDS | JSON)))
def test_no_answer_at_all_raises_anything_but_our_errors(items: list[dict[str, Any]]) -> None:
    with suppress(ProviderError):
        assert isinstance(answered(*items), Completion)


EVENTS = st.sampled_from(
    [
        "response.created",
        "response.output_text.delta",
        "response.output_item.added",
        "response.output_item.done",
        "response.function_call_arguments.delta",
        "response.completed",
        "response.failed",
        "error",
        "message",
    ]
)
FIELDS = st.dictionaries(st.sampled_from(["response", "item", "delta", "output_index"]), JSON)


@given(st.lists(st.tuples(EVENTS, FIELDS)))
def test_no_stream_at_all_raises_anything_but_our_errors(events: list[tuple[str, dict[str, Any]]]) -> None:
    with suppress(ProviderError):
        streamed(*[{"type": kind, **fields} for kind, fields in events])
