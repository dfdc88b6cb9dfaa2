"""The Messages API: how a conversation is told, what is private in it, and what is marked for its cache."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import InvalidRequestError
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.types import (
    Document,
    Image,
    Message,
    Params,
    Private,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
)
from tests.providers.anthropic_requests import (
    ADAPTIVE,
    ANSWER,
    CALL,
    CODEC,
    DOG,
    MARK,
    MIDDLE,
    NEW,
    OLD,
    RESULT,
    USER,
    WEATHER,
    encoded,
    text,
    turn,
)


def test_leading_system_messages_are_the_system_prompt() -> None:
    body = encoded(Message("system", "One"), Message("system", "Two"), USER)
    assert body["system"] == [text("One"), text("Two")]


def test_a_later_system_message_joins_the_system_prompt_of_older_models() -> None:
    body = encoded(Message("system", "One"), USER, ANSWER, Message("system", "Two"), USER)
    assert body["system"] == [text("One"), text("Two")]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("roles", "sent"),
    [
        (("user", "system"), ["user", "system"]),
        (("user", "system", "user"), ["user", "system"]),
        (("user", "assistant", "system", "user"), ["user", "assistant", "user", "system"]),
        (("user", "system", "assistant", "user"), ["user", "system", "assistant", "user"]),
        (("user", "system", "system", "user", "assistant", "user"), ["user", "system", "assistant", "user"]),
    ],
)
def test_newer_models_keep_a_system_message_after_the_user_turn_it_stands_in(
    roles: tuple[Role, ...], sent: list[str]
) -> None:
    body = encoded(*(Message(role, f"{role} {at}") for at, role in enumerate(roles)), model=MIDDLE)
    assert [turn["role"] for turn in body["messages"]] == sent
    assert "system" not in body


def test_a_cloud_without_inline_system_messages_gets_them_at_the_top() -> None:
    codec = MessagesCodec("bedrock", inline_system=False)
    body = codec.encode(Request(MIDDLE, (USER, Message("system", "Now")), prompt_cache="off"))
    assert (body["system"], body["messages"]) == ([text("Now")], [turn("user", text("Hello"))])


def test_a_system_prompt_alone_is_asked_as_a_user() -> None:
    assert encoded(Message("system", "Hello"))["messages"] == [turn("user", text("Hello"))]


def test_neighbours_of_one_role_become_one_turn_and_results_come_first() -> None:
    body = encoded(USER, CALL, RESULT, replace(RESULT, tool_call_id="toolu_2", is_error=True), USER)
    assert body["messages"][1:] == [
        turn("assistant", {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}),
        turn(
            "user",
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("Rain")]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [text("Rain")], "is_error": True},
            text("Hello"),
        ),
    ]


def test_broken_tool_arguments_stay_with_their_call() -> None:
    broken = Message("assistant", "", (ToolCall("toolu_1", "weather", '{"city": '),))
    assert encoded(USER, broken, RESULT)["messages"][1]["content"][0]["input"] == {"invalid_json": '{"city": '}


def test_foreign_tool_ids_are_made_safe_in_call_and_result_alike() -> None:
    foreign = Message("assistant", "", (ToolCall("call|1/x", "weather"),))
    turns = encoded(USER, foreign, replace(RESULT, tool_call_id="call|1/x"))["messages"]
    assert turns[1]["content"][0]["id"] == turns[2]["content"][0]["tool_use_id"] != "call|1/x"


def test_empty_and_blank_text_is_not_sent() -> None:
    body = encoded(Message("user", (Text(""), Text(" \n"), Text("Hello"))), Message("assistant", ""), USER)
    assert body["messages"] == [turn("user", text("Hello"), text("Hello"))]


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(url="http://x/a.png"), {"type": "image", "source": {"type": "url", "url": "http://x/a.png"}}),
        (
            Image(data=PNG, media_type="image/png"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ),
        (
            Document(data="JVBERg==", media_type="application/pdf", filename="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                "title": "a.pdf",
            },
        ),
        (Document(url="http://x/a.pdf"), {"type": "document", "source": {"type": "url", "url": "http://x/a.pdf"}}),
        (
            Document.from_bytes("Grüße".encode(), "text/markdown"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
        ),
    ],
)
def test_images_and_documents_take_their_wire_form(part: Image | Document, block: dict[str, Any]) -> None:
    assert encoded(Message("user", (part,)))["messages"] == [turn("user", block)]


def test_a_text_document_that_is_no_base64_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidRequestError, match="use from_bytes"):
        encoded(Message("user", (Document(data="x", media_type="text/plain"),)))


def test_a_prefill_stays_where_the_model_continues_it_without_its_trailing_space() -> None:
    assert encoded(USER, Message("assistant", "The answer is "))["messages"][-1] == turn(
        "assistant", text("The answer is")
    )


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("claude-opus-4-6", {}),
        (NEW, {}),
        (OLD, {"params": Params(reasoning="low")}),
        (OLD, {"schema": DOG}),
    ],
)
def test_a_prefill_becomes_a_request_to_continue_where_it_is_refused(model: str, fields: dict[str, Any]) -> None:
    assert encoded(USER, ANSWER, model=model, **fields)["messages"][-1]["role"] == "user"


# ------------------------------------------------------------------------------------------------ private parts


THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
BLANK = {"type": "text", "text": "\n\n"}
SAID = {"type": "text", "text": "Hi."}


def thoughtful(origin: str = "anthropic") -> Message:
    return replace(ANSWER, private=(Private(origin, [BLANK, THOUGHT, SAID]),))


def test_own_blocks_go_back_verbatim_but_for_blank_text() -> None:
    assert encoded(USER, thoughtful(), USER)["messages"][1] == turn("assistant", THOUGHT, SAID)


def test_private_data_that_holds_no_blocks_is_left_out() -> None:
    damaged = replace(ANSWER, private=(Private("anthropic", ["garbage", SAID]),))
    assert encoded(USER, damaged, USER)["messages"][1] == turn("assistant", SAID)
    assert encoded(USER, replace(ANSWER, private=(Private("anthropic", 7),)), USER)["messages"][1]["content"] == [SAID]


def test_foreign_blocks_are_never_sent() -> None:
    assert encoded(USER, thoughtful("other"), USER)["messages"][1] == turn("assistant", SAID)


def test_thoughts_stay_home_when_thinking_is_off() -> None:
    body = encoded(USER, thoughtful(), USER, model="claude-opus-5", params=Params(reasoning="none"))
    assert body["messages"][1] == turn("assistant", SAID)


def test_models_that_bind_thoughts_are_asked_to_drop_those_that_no_longer_fit() -> None:
    dropping = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    assert encoded(USER, thoughtful(), USER, model=NEW)["thinking"] == {"type": "adaptive", **dropping}
    asked = encoded(USER, thoughtful(), USER, model=NEW, params=Params(reasoning="high"))
    assert asked["thinking"] == {**ADAPTIVE, **dropping}


def test_a_history_without_thoughts_needs_no_binding() -> None:
    assert "thinking" not in encoded(USER, ANSWER, USER, model=NEW)


# ------------------------------------------------------------------------------------------------ caching


def marks(body: Mapping[str, Any]) -> list[str]:
    """Name the marked places in the order of the prefix."""
    found = [f"tool {at}" for at, tool in enumerate(body.get("tools", ())) if "cache_control" in tool]
    found += [f"system {at}" for at, block in enumerate(body.get("system", ())) if "cache_control" in block]
    for at, message in enumerate(body["messages"]):
        found += [f"turn {at}" for block in message["content"] if "cache_control" in block]
    return found


SYSTEM = Message("system", "Be brief")


def test_a_first_question_marks_tools_and_system_prompt_only() -> None:
    assert marks(encoded(SYSTEM, USER, cache="auto", tools=(WEATHER, Tool("b")))) == ["tool 1", "system 0"]


def test_a_conversation_marks_its_last_two_user_turns_too() -> None:
    history = (SYSTEM, USER, ANSWER, USER, ANSWER, USER)
    assert marks(encoded(*history, cache="auto", tools=(WEATHER,))) == ["tool 0", "system 0", "turn 2", "turn 4"]


def test_off_marks_nothing() -> None:
    assert marks(encoded(SYSTEM, USER, ANSWER, USER, cache="off", tools=(WEATHER,))) == []


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_the_callers_own_marks_replace_ours(cache: str) -> None:
    marked = Message("user", (Text("long", cache=True), Text("question")))
    body = encoded(SYSTEM, marked, cache=cache)
    assert body["messages"] == [turn("user", text("long", cache_control=MARK), text("question"))]
    assert marks(body) == ["turn 0"]


def test_a_mark_inside_a_tool_result_marks_the_result() -> None:
    result = Message("tool", (Text("Rain", cache=True),), tool_call_id="toolu_1")
    assert encoded(USER, CALL, result)["messages"][2]["content"][0]["cache_control"] == MARK


PARTS = st.lists(st.builds(Text, st.text(max_size=5), st.booleans()), max_size=4).map(tuple)
MESSAGES = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), PARTS), min_size=1, max_size=9)


@given(MESSAGES, st.sampled_from([OLD, MIDDLE, NEW]))
def test_any_history_alternates_has_no_blank_text_and_at_most_four_marks(messages: list[Message], model: str) -> None:
    body = encoded(*messages, model=model, cache="auto", tools=(WEATHER,))
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    assert all(before == "user" for before, role in pairwise(roles) if role == "system")
    assert all(after == "assistant" for role, after in pairwise(roles) if role == "system")
    assert len(marks(body)) <= 4
    for message in body["messages"]:
        assert all(block["text"].strip() for block in message["content"])


@given(MESSAGES)
def test_encoding_changes_nothing_and_is_the_same_twice(messages: list[Message]) -> None:
    request = Request(MIDDLE, (*messages, thoughtful(), USER), tools=(WEATHER,))
    first = json.dumps(CODEC.encode(request))
    assert json.dumps(CODEC.encode(request)) == first


def test_a_streaming_body_differs_by_its_flag_only() -> None:
    body = encoded()
    assert CODEC.streaming(body) == {**body, "stream": True}
