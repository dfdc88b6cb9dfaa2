"""The Messages API: what a whole answer says, and what it is billed as."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter.errors import (
    MalformedResponseError,
    OverloadedError,
)
from llmrouter.providers.anthropic_decode import usage_of
from llmrouter.providers.anthropic_encode import ANSWER_TOOL
from llmrouter.types import Private, ToolCall, Usage
from tests.providers.anthropic_answers import (
    CALLED,
    OPUS,
    SAID,
    SONNET,
    THOUGHT,
    body,
    decoded,
    iteration,
)


def test_an_answer_carries_text_model_reason_usage_and_request_id() -> None:
    found = decoded(body(SAID))
    assert (found.message.content, found.model, found.finish_reason) == ("Hi.", "claude-opus-5", "stop")
    assert (found.provider_finish_reason, found.request_id) == ("end_turn", "req_1")
    assert found.usage == Usage(uncached_tokens=10, output_tokens=5)
    assert found.message.private == ()


def test_text_blocks_are_joined_as_they_are() -> None:
    assert decoded(body({**SAID, "text": "a"}, {**SAID, "text": "b"})).message.content == "ab"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "other"),
        ("compaction", "other"),
        ("a reason of tomorrow", "other"),
    ],
)
def test_stop_reasons_map_to_ours(reason: str, finish: str) -> None:
    found = decoded(body(SAID, reason=reason))
    assert (found.finish_reason, found.provider_finish_reason) == (finish, reason)


def test_a_refusal_without_text_says_what_the_provider_explains() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "This looks like malware."}
    found = decoded(body(reason="refusal", stop_details=details))
    assert (found.finish_reason, found.message.content) == ("refusal", "This looks like malware.")


@pytest.mark.parametrize("reason", ["max_tokens", "stop_sequence", "refusal", "pause_turn", "tool_use"])
def test_nothing_visible_is_an_answer_when_the_reason_explains_it(reason: str) -> None:
    assert decoded(body(reason=reason)).message.content == ""


@pytest.mark.parametrize("content", [(), ({"type": "text", "text": ""},), ({"type": "thinking", "thinking": ""},)])
def test_an_empty_answer_is_malformed(content: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(MalformedResponseError, match="an empty answer") as caught:
        decoded(body(*content))
    assert caught.value.request_id == "req_1"


def test_thoughts_are_reasoning_and_the_blocks_stay_for_the_next_turn() -> None:
    blocks = [THOUGHT, {"type": "redacted_thinking", "data": "eA=="}, SAID]
    found = decoded(body(*blocks))
    assert (found.reasoning, found.message.private) == ("Hm.", (Private("anthropic", blocks),))


def test_blocks_of_server_tools_stay_private() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = decoded(body(search, SAID))
    assert (found.message.content, found.message.tool_calls) == ("Hi.", ())
    assert found.message.private_for("anthropic") == [search, SAID]


def test_a_tool_call_is_read_and_its_caller_field_needs_no_private_part() -> None:
    found = decoded(body(SAID, {**CALLED, "caller": {"type": "direct"}}, reason="tool_use"))
    assert found.message.tool_calls == (ToolCall("toolu_1", "weather", {"city": "Oslo"}),)
    assert found.message.private == ()


def test_the_answer_tool_is_the_answer() -> None:
    found = decoded(body(SAID, {**CALLED, "name": ANSWER_TOOL}, reason="tool_use"))
    assert json.loads(found.message.text) == {"city": "Oslo"}
    assert (found.finish_reason, found.message.tool_calls, found.message.private) == ("stop", (), ())


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ([], "list, not a JSON object"),
        ("text", "str, not a JSON object"),
        (None, "NoneType, not a JSON object"),
        ({}, "no list of content blocks"),
        ({"content": "text"}, "no list of content blocks"),
        ({"content": ["text"]}, "no list of content blocks"),
        (body({"type": "tool_use", "name": "weather"}), "lacks its `id` or `name`"),
    ],
)
def test_what_is_not_the_protocol_is_malformed_and_says_why(answer: Any, missing: str) -> None:
    with pytest.raises(MalformedResponseError, match=missing):
        decoded(answer)


def test_an_error_under_status_200_is_that_error() -> None:
    with pytest.raises(OverloadedError, match="Overloaded"):
        decoded({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (None, None),
        ("12", None),
        ({}, Usage()),
        (
            {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 7},
            Usage(3, 7, cache_read_tokens=100, cache_write_tokens=20),
        ),
        (
            {
                "input_tokens": 3,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 7,
            },
            Usage(3, 7, cache_write_tokens=30, cache_write_1h_tokens=20),
        ),
        (
            {"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}},
            Usage(cache_write_tokens=30, cache_write_1h_tokens=20),
        ),
        (
            {"input_tokens": 3, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 5}},
            Usage(3, 7, reasoning_tokens=5),
        ),
        ({"input_tokens": "3", "output_tokens": -7, "cache_read_input_tokens": True}, Usage()),
    ],
)
def test_usage_fills_disjoint_buckets(raw: Any, usage: Usage | None) -> None:
    assert usage_of(raw, "claude-opus-5") == usage


@pytest.mark.parametrize(
    ("top", "iterations", "main", "others"),
    [
        ((30, 2), [iteration("message", 10), iteration("message", 20)], Usage(30, 2), ()),
        (
            (30, 2),
            [iteration("message", 10), iteration("advisor_message", 99, OPUS), iteration("message", 20)],
            Usage(30, 2),
            ((OPUS, Usage(99, 1)),),
        ),
        ((30, 1), [iteration("compaction", 500), iteration("message", 30)], Usage(30, 1), ((SONNET, Usage(500, 1)),)),
        (  # the top level counts both models
            (50, 2),
            [iteration("message", 30, OPUS), iteration("fallback_message", 20, SONNET)],
            Usage(30, 1),
            ((SONNET, Usage(20, 1)),),
        ),
        (  # the top level counts the serving model alone
            (20, 1),
            [iteration("message", 30, OPUS), iteration("fallback_message", 20, SONNET)],
            Usage(30, 1),
            ((SONNET, Usage(20, 1)),),
        ),
        ((20, 1), ["garbage", None], Usage(20, 1), ()),
    ],
)
def test_each_inference_of_a_request_is_billed_once_to_its_model(
    top: tuple[int, int], iterations: list[Any], main: Usage, others: tuple[tuple[str, Usage], ...]
) -> None:
    found = usage_of({"input_tokens": top[0], "output_tokens": top[1], "iterations": iterations}, SONNET)
    assert found is not None
    assert (Usage(found.uncached_tokens, found.output_tokens), found.others) == (main, others)
