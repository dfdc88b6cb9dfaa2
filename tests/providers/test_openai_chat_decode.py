"""Chat Completions: what every kind of server answers at once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    MalformedResponseError,
    ProviderError,
    RateLimitError,
    ServerError,
)
from llmrouter.providers.base import WireReply
from llmrouter.types import (
    Completion,
    Usage,
)
from tests.providers.openai_chat import (
    FIELDS,
    OTHER,
    OWN,
    THINKING,
    WIRE,
    answered,
    preset,
)


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


@given(st.dictionaries(FIELDS, WIRE, max_size=6), st.dictionaries(FIELDS, WIRE, max_size=6))
def test_no_answer_at_all_raises_anything_but_our_errors(message: dict[str, Any], choice: dict[str, Any]) -> None:
    body = {"choices": [{"finish_reason": "stop", **choice, "message": message}]}
    with suppress(ProviderError):
        assert isinstance(OTHER.decode(WireReply(body)), Completion)
