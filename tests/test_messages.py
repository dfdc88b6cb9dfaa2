"""The door for messages: what it takes, what it refuses and how it says so, and histories made fit for a provider."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from llmrouter.errors import InvalidRequestError
from llmrouter.messages import ends_with_prefill, for_origin, normalize, safe_tool_ids, to_dict, without_prefill
from llmrouter.types import Document, Image, Message, Part, Private, Text, ToolCall

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 8).decode()
PDF = base64.b64encode(b"%PDF-1.7 and so on").decode()
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def one(raw: Any) -> Message:
    (message,) = normalize([raw])
    return message


def part(raw: Any) -> Part:
    (found,) = one({"role": "user", "content": [raw]}).parts
    return found


# ------------------------------------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("hello", (Message("user", "hello"),)),
        (Message("user", "hi"), (Message("user", "hi"),)),
        ({"role": "user", "content": "hi"}, (Message("user", "hi"),)),
        ([{"role": "developer", "content": "short"}, Message("user", "hi")],
         (Message("system", "short"), Message("user", "hi"))),
        (({"role": "user", "content": "hi", "name": "ann"},), (Message("user", "hi", name="ann"),)),
        ([{"role": "assistant", "content": None, "tool_calls": [CALL]}],
         (Message("assistant", "", (ToolCall("call_1", "add", '{"a": 1}'),)),)),
        ([{"role": "assistant", "content": None, "refusal": "I will not."}], (Message("assistant", "I will not."),)),
        ([{"role": "function", "name": "add", "content": "2"}],
         (Message("tool", "2", tool_call_id="add", name="add"),)),
        ([{"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}}],
         (Message("assistant", "", (ToolCall("add", "add"),)),)),
    ],
)  # fmt: skip
def test_what_users_pass_becomes_messages(raw: Any, expected: tuple[Message, ...]) -> None:
    assert normalize(raw) == expected


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("c", "add", {"a": 1}),
        {"id": "c", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}},
        {"id": "c", "name": "add", "arguments": '{"a": 1}'},
        {"call_id": "c", "id": "fc_1", "type": "function_call", "name": "add", "arguments": '{"a": 1}'},
    ],
)
def test_a_tool_call_may_have_any_of_the_usual_forms(call: Any) -> None:
    assert one({"role": "assistant", "tool_calls": [call]}).tool_calls == (ToolCall("c", "add", {"a": 1}),)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sunny", "sunny"),
        ({"temp": 3, "ort": "Zürich"}, '{"temp": 3, "ort": "Zürich"}'),
        ([{"temp": 3}], '[{"temp": 3}]'),
        ([], "[]"),
        (["a", "b"], '["a", "b"]'),
        (3, "3"),
        (None, ""),
        ([{"type": "text", "text": "sunny"}], (Text("sunny"),)),
        ([Text("sunny")], (Text("sunny"),)),
        ({"type": "sunny"}, '{"type": "sunny"}'),
    ],
)
def test_a_tool_result_is_text_parts_or_any_json_value(content: Any, expected: Any) -> None:
    assert one({"role": "tool", "tool_call_id": "c", "content": content}).content == expected


class Answer:
    """Stands for a Response that a user appended whole."""

    message = Message("assistant", "yes")


class SdkMessage(BaseModel):
    """Stands for an SDK's answer object: it dumps to a message with leftovers."""

    role: str = "assistant"
    content: str | None = "yes"
    refusal: str | None = None
    annotations: list[Any] = []
    audio: None = None
    function_call: None = None
    tool_calls: None = None


def test_a_pydantic_message_of_an_sdk_is_taken_as_it_is() -> None:
    assert one(SdkMessage()) == Message("assistant", "yes")


def test_a_single_part_needs_no_list() -> None:
    assert one({"role": "user", "content": {"type": "text", "text": "hi"}}).content == (Text("hi"),)


def test_a_tool_call_without_arguments_has_none() -> None:
    raw = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "now", "arguments": None}}]}
    assert one(raw).tool_calls == (ToolCall("c", "now"),)


def test_keys_that_chat_stores_keep_are_ignored() -> None:
    raw = {"role": "user", "content": "hi", "id": "m1", "timestamp": 12.5, "metadata": {"a": 1}, "weird": None}
    assert one(raw) == Message("user", "hi")


def test_a_cache_mark_on_a_message_marks_its_last_part() -> None:
    raw = {"role": "system", "content": ["a", "b"], "cache_control": {"type": "ephemeral"}}
    assert one(raw).content == (Text("a"), Text("b", cache=True))


# ------------------------------------------------------------------------------------------------ parts


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", Text("plain")),
        (Text("a", cache=True), Text("a", cache=True)),
        ({"type": "text", "text": "a"}, Text("a")),
        ({"type": "input_text", "text": "a"}, Text("a")),
        ({"type": "output_text", "text": "a", "annotations": []}, Text("a")),
        ({"type": "refusal", "refusal": "no"}, Text("no")),
        ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, Text("a", cache=True)),
        ({"type": "image_url", "image_url": "https://e.org/a.png"}, Image("https://e.org/a.png")),
        ({"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}},
         Image("https://e.org/a.png", detail="low")),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
         Image(data=PNG, media_type="image/png")),
        ({"type": "input_image", "image_url": "https://e.org/a.png", "detail": "high", "file_id": None},
         Image("https://e.org/a.png", detail="high")),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
         Image(data=PNG, media_type="image/png")),
        ({"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}}, Image("https://e.org/a.png")),
        ({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
         Document(data=PDF, media_type="application/pdf", filename="a.pdf")),
        ({"type": "file", "file": {"file_data": PDF}}, Document(data=PDF, media_type="application/pdf")),
        ({"type": "file", "file": {"file_data": "aGk=", "filename": "a.TXT"}},
         Document(data="aGk=", media_type="text/plain", filename="a.TXT")),
        ({"type": "input_file", "file_url": "https://e.org/a.pdf"}, Document("https://e.org/a.pdf")),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
         Document(data=PDF, media_type="application/pdf")),
        ({"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
         Document(data="aGk=", media_type="text/plain", filename="t")),
        ({"type": "document", "source": {"type": "url", "url": "https://e.org/a.pdf"}},
         Document("https://e.org/a.pdf")),
    ],
)  # fmt: skip
def test_a_part_may_have_any_of_the_usual_forms(raw: Any, expected: Part) -> None:
    assert part(raw) == expected


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("kind", [Image, Document])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "needs exactly one of url= and data="),
        ({"url": "https://e.org/a", "data": PNG}, "needs exactly one of url= and data="),
        ({"data": b"%PDF-1.7"}, "data= is base64 text; for raw bytes use from_bytes()"),
        ({"url": Path("a.pdf")}, "takes url= and data= as text; for a file use from_path()"),
    ],
)
def test_an_attachment_says_what_it_can_be_made_of(kind: Any, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        kind(**fields)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([], "messages: the list is empty"),
        (3, "messages: expected a string"),
        (b"hi", "messages: expected a string"),
        (["hi"], "messages[0]: expected a dict with 'role' and 'content', or a Message, got str"),
        ([{"role": "user", "content": "a"}, None], "messages[1]: expected a dict"),
        ([{"rol": "user", "content": "a"}], "messages[0]: unknown key 'rol'; did you mean 'role'?"),
        ([{"content": "a"}], "messages[0]: needs the key 'role' (a string), has 'content'"),
        ([{"role": "usr", "content": "a"}], "messages[0].role: unknown role 'usr'; did you mean 'user'?"),
        ([{"role": "model", "content": "a"}], "did you mean 'assistant'?"),
        ([{"role": "user"}], "messages[0]: needs the key 'content'"),
        ([{"role": "assistant"}], "messages[0]: needs the key 'content' or 'tool_calls'"),
        ([{"role": "user", "content": 3}], "messages[0].content: expected a string or a list of parts, got int"),
        ([{"role": "user", "content": ["a", {"type": "txt", "text": "b"}]}],
         "messages[0].content[1].type: unknown part type 'txt'; did you mean 'text'?"),
        ([{"role": "user", "content": [{"text": "b"}]}], "messages[0].content[0]: needs the key 'type'"),
        ([{"role": "user", "content": [{"type": "text", "txet": "b"}]}], "did you mean 'text'?"),
        ([{"role": "user", "content": [None]}], "messages[0].content[0]: expected a string"),
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], "not supported"),
        ([{"role": "user", "content": [{"type": "tool_result"}]}], "role 'tool'"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png,xyz"}]}],
         "messages[0].content[0]: a data: URL must have the form"),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f1"}}]}],
         "messages[0].content[0].file: a file_id belongs to one provider's file store"),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_data": "aGk="}}]}],
         "messages[0].content[0]: cannot tell the media type"),
        ([{"role": "user", "content": "a", "tool_calls": [CALL]}], "messages[0].tool_calls: only an assistant"),
        ([{"role": "user", "content": "a", "tool_call_id": "c"}], "messages[0].tool_call_id: belongs to"),
        ([{"role": "tool", "content": "a"}], "messages[0]: a tool result needs the key 'tool_call_id'"),
        ([{"role": "tool", "tool_call_id": "c", "content": {"a": object()}}], "cannot be written as JSON"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": "add"}}]}],
         "messages[0].tool_calls[0]: needs the key 'id'"),
        ([{"role": "assistant", "tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}],
         "messages[0].tool_calls[0].function: needs the key 'name'"),
        ([{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}], "only 'function' calls"),
        ([{"role": "assistant", "content": "a", "private": [{"origin": "x"}]}], "messages[0].private[0]: expected"),
        ([{"role": "assistant", "content": "a", "private": 3}], "messages[0].private: expected a list"),
        ([{"role": "assistant", "content": "a", "tool_call_id": "c"}], "messages[0].tool_call_id: belongs to"),
        ([{"role": "assistant", "tool_calls": "add"}], "messages[0].tool_calls: expected a list of tool calls"),
        ([{"role": "assistant", "tool_calls": ["add"]}], "messages[0].tool_calls[0]: expected a ToolCall"),
        ([{"role": "assistant", "tool_calls": [{"id": "c", "name": "f", "arguments": 3}]}],
         "messages[0].tool_calls[0].arguments: expected JSON text or a dict, got int"),
        ([{"role": "tool", "tool_call_id": "c", "content": "a", "is_error": 1}], "messages[0].is_error: expected"),
        ([{"role": "user", "content": [{"type": "file"}]}], "messages[0].content[0]: needs the key 'file'"),
        ([{"role": "user", "content": [{"type": "image"}]}], "messages[0].content[0].source: expected a dict"),
        ([{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}],
         "messages[0].content[0].source: a file_id belongs to"),
        ([{"role": "user", "content": [{"type": "image", "source": {"type": "text"}}]}], "expected 'base64' or 'url'"),
        ([{"role": "user", "content": [{"type": "document", "source": {"type": "x"}}]}], "'url' or 'text', got 'x'"),
        ([Answer()], "messages[0]: expected a dict with 'role' and 'content', or a Message, got Answer; append its"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(raw: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        normalize(raw)


# ------------------------------------------------------------------------------------------------ to_dict

names = st.text(min_size=1, max_size=12)
base64s = st.binary(min_size=1, max_size=12).map(lambda data: base64.b64encode(data).decode())
media = st.sampled_from(["image/png", "application/pdf", "text/plain"])
urls = st.sampled_from(["https://e.org/a", "gs://bucket/a.pdf"])
maybe = st.none() | names
parts = st.one_of(
    st.builds(Text, st.text(), st.booleans()),
    st.builds(Image, url=urls, media_type=st.none() | media, detail=maybe, cache=st.booleans()),
    st.builds(Image, data=base64s, media_type=st.none() | media, detail=maybe, cache=st.booleans()),
    st.builds(Document, url=urls, media_type=st.none() | media, filename=maybe, cache=st.booleans()),
    st.builds(Document, data=base64s, media_type=media, filename=maybe, cache=st.booleans()),
)
contents = st.text() | st.lists(parts, min_size=1, max_size=3).map(tuple)
calls = st.builds(ToolCall, names, names, st.text() | st.dictionaries(st.text(), st.integers(), max_size=2))
privates = st.builds(Private, names, st.dictionaries(st.text(), st.integers(), max_size=2))
messages = st.one_of(
    st.builds(Message, st.sampled_from(["user", "system"]), contents, name=maybe),
    st.builds(
        Message,
        st.just("assistant"),
        contents,
        st.lists(calls, max_size=2).map(tuple),
        name=maybe,
        private=st.lists(privates, max_size=2).map(tuple),
    ),
    st.builds(Message, st.just("tool"), contents, tool_call_id=names, name=maybe, is_error=st.booleans()),
)


@given(messages)
def test_a_message_survives_the_way_through_json(message: Message) -> None:
    assert one(json.loads(json.dumps(to_dict(message)))) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
near_messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system", "x"]) | json_values,
        "content": json_values | st.lists(st.fixed_dictionaries({"type": st.sampled_from(
            ["text", "image_url", "file", "image", "document", "input_image", "input_file", "refusal"])},
            optional=dict.fromkeys(("text", "image_url", "file", "source", "file_data"), json_values))),
        "tool_calls": json_values,
        "tool_call_id": json_values,
        "private": json_values,
        "function_call": json_values,
    },
)  # fmt: skip


@given(st.lists(near_messages, max_size=3) | json_values)
def test_whatever_json_comes_it_is_read_or_refused_with_a_place(raw: Any) -> None:
    try:
        found = normalize(raw)
    except InvalidRequestError as error:
        assert str(error).startswith("messages")  # noqa: PT017 - the property has two good ends
    else:
        assert all(isinstance(message, Message) for message in found)


# ------------------------------------------------------------------------------------------------ history


def test_private_parts_reach_their_own_provider_only() -> None:
    both = Message("assistant", "a", private=(Private("openai", 1), Private("anthropic", 2)))
    (seen,) = for_origin((both,), "anthropic")
    assert seen.private == (Private("anthropic", 2),)


def test_an_assistant_message_with_nothing_but_foreign_privates_is_dropped() -> None:
    history = (Message("user", "a"), Message("assistant", "", private=(Private("openai", 1),)), Message("user", "b"))
    assert for_origin(history, "google") == (Message("user", "a"), Message("user", "b"))


def test_a_message_with_safe_ids_beside_an_unsafe_one_is_left_alone() -> None:
    safe, unsafe = (Message("assistant", "", (ToolCall(name, "f"),)) for name in ("call_1", "call 2"))
    assert safe_tool_ids((safe, unsafe))[0] is safe


def test_private_parts_may_be_objects() -> None:
    assert one({"role": "assistant", "private": [Private("openai", 1)]}).private == (Private("openai", 1),)


def test_a_history_without_privates_is_handed_back_as_it_is() -> None:
    history = (Message("user", "a"),)
    assert for_origin(history, "google") is history


@pytest.mark.parametrize(("pattern", "length"), [("[a-zA-Z0-9_-]+", 64), ("[a-zA-Z0-9]{9}", 9), (".+", 40)])
@given(ids=st.lists(st.text(min_size=0, max_size=70), min_size=1, max_size=6, unique=True))
def test_tool_ids_become_safe_and_calls_keep_their_results(pattern: str, length: int, ids: list[str]) -> None:
    asked = Message("assistant", "", tuple(ToolCall(one_id, "f") for one_id in ids))
    history = (asked, *(Message("tool", "r", tool_call_id=one_id) for one_id in ids))
    first, *results = safe_tool_ids(history, pattern, length)
    found = [call.id for call in first.tool_calls]
    assert [result.tool_call_id for result in results] == found
    assert len(set(found)) == len(ids)
    assert all(re.fullmatch(pattern, one_id) and len(one_id) <= length for one_id in found)


def test_safe_tool_ids_are_left_alone() -> None:
    history = (Message("assistant", "", (ToolCall("call_1", "f"),)), Message("tool", "r", tool_call_id="call_1"))
    assert safe_tool_ids(history) is history


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (Message("assistant", "Sure, the"), True),
        (Message("assistant", ""), False),
        (Message("assistant", "a", (ToolCall("c", "f"),)), False),
        (Message("user", "a"), False),
    ],
)
def test_a_prefill_is_a_trailing_assistant_text(last: Message, expected: bool) -> None:
    assert ends_with_prefill((Message("user", "q"), last)) is expected


def test_no_message_is_no_prefill() -> None:
    assert not ends_with_prefill(())


def test_without_prefill_the_model_is_asked_to_continue_its_words() -> None:
    history = (Message("user", "q"), Message("assistant", "Sure, the"))
    *kept, asked = without_prefill(history)
    assert tuple(kept) == history
    assert asked.role == "user"
    assert not ends_with_prefill((*kept, asked))
