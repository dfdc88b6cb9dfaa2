"""Chat Completions: what every kind of server answers in a stream."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    BadRequestError,
    MalformedResponseError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from llmrouter.types import (
    Reasoning,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from tests.providers.openai_chat import (
    FIELDS,
    OTHER,
    THINKING,
    WIRE,
    piece,
    preset,
    streamed,
)


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


@given(st.lists(st.dictionaries(FIELDS, WIRE, max_size=6), max_size=5), WIRE)
def test_no_stream_at_all_raises_anything_but_our_errors(deltas: list[dict[str, Any]], tail: Any) -> None:
    with suppress(ProviderError):
        streamed(*[piece(delta) for delta in deltas], tail)
