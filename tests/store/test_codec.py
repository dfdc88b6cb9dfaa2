"""Cached answers: every field comes back, and what cannot be read is a miss."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st

from llmrouter.store.codec import VERSION, dump, load
from llmrouter.types import (
    Completion,
    Document,
    FinishReason,
    Image,
    Message,
    Private,
    Role,
    Text,
    ToolCall,
    Usage,
)

text = st.text(st.characters(exclude_categories=()), max_size=20)
maybe = st.none() | text
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
images = st.builds(Image, url=text, data=st.none(), media_type=maybe, detail=maybe, cache=st.booleans())
documents = st.builds(Document, url=st.none(), data=text, media_type=maybe, filename=maybe, cache=st.booleans())
parts = st.builds(Text, text, st.booleans()) | images | documents
messages = st.builds(
    Message,
    role=st.sampled_from(get_args(Role)),
    content=text | st.lists(parts, max_size=3).map(tuple),
    tool_calls=st.lists(st.builds(ToolCall, text, text, text), max_size=2).map(tuple),
    tool_call_id=maybe,
    name=maybe,
    is_error=st.booleans(),
    private=st.lists(st.builds(Private, text, plain), max_size=2).map(tuple),
)
counts = {name: st.integers(0, 2**53) for name in (f.name for f in fields(Usage)) if name.endswith("_tokens")}
single_usages = st.builds(Usage, **counts, estimated=st.booleans())
usages = st.builds(
    Usage, **counts, estimated=st.booleans(), others=st.lists(st.tuples(text, single_usages), max_size=2).map(tuple)
)
completions = st.builds(
    Completion,
    message=messages,
    finish_reason=st.sampled_from(get_args(FinishReason)),
    provider_finish_reason=maybe,
    model=text,
    usage=st.none() | usages,
    reasoning=maybe,
    logprobs=plain,
    request_id=maybe,
    raw=plain,
)
ANSWER = Completion(Message("assistant", "Hello."), "stop", "stop", "m", Usage(1, 2), raw={"id": "x"})


@given(completions)
def test_an_answer_comes_back_as_it_went(completion: Completion) -> None:
    assert load(dump(completion)) == completion


def test_the_properties_above_cover_every_field() -> None:
    data = json.loads(dump(ANSWER))
    assert set(data) == {field.name for field in fields(Completion)} | {"v"}
    assert set(data["message"]) == {field.name for field in fields(Message)}
    assert set(data["usage"]) == {field.name for field in fields(Usage)}


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b"\xff\xfe\xfd", b"{" * 100_000, b"[" * 100_000])
def test_what_is_not_an_answer_is_a_miss(data: bytes) -> None:
    assert load(data) is None


@given(st.binary())
def test_no_bytes_raise(data: bytes) -> None:
    load(data)


@pytest.mark.parametrize("version", [0, VERSION + 1, str(VERSION), None])
def test_another_version_is_a_miss(version: object) -> None:
    data = {**json.loads(dump(ANSWER)), "v": version}
    assert load(json.dumps(data).encode()) is None


def damaged(path: tuple[Any, ...], value: Any) -> bytes:
    data = json.loads(dump(replace(ANSWER, message=Message("assistant", (Text("a"),), (ToolCall("i", "n"),)))))
    target = data
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model",), 5),
        (("message",), []),
        (("message", "role"), "robot"),
        (("message", "role"), []),
        (("message", "content"), None),
        (("message", "content", 0, "type"), "video"),
        (("message", "content", 0, "text"), 7),
        (("message", "content", 0, "surprise"), "x"),
        (("message", "tool_calls"), "abc"),
        (("message", "tool_calls", 0), ["only"]),
        (("message", "is_error"), 1),
        (("message", "private"), {}),
        (("finish_reason",), "tired"),
        (("usage", "output_tokens"), "2"),
        (("usage", "output_tokens"), True),
        (("usage", "others"), [["m", None]]),
    ],
)
def test_a_field_of_the_wrong_kind_is_a_miss(path: tuple[Any, ...], value: object) -> None:
    assert load(damaged(path, value)) is None


@pytest.mark.parametrize("path", [("model",), ("message",), ("raw",)])
def test_a_missing_field_is_a_miss(path: tuple[str, ...]) -> None:
    data = json.loads(dump(ANSWER))
    del data[path[0]]
    assert load(json.dumps(data).encode()) is None


def test_an_answer_that_is_not_plain_json_cannot_be_dumped() -> None:
    with pytest.raises(TypeError):
        dump(replace(ANSWER, raw=object()))
