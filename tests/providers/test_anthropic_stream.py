"""The Messages API: what a stream says, cut anywhere, and what becomes of garbage."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    BadRequestError,
    ContextLengthError,
    MalformedResponseError,
    OverloadedError,
    ProviderError,
    ServerError,
    StreamInterruptedError,
)
from llmrouter.providers.anthropic_encode import ANSWER_TOOL
from llmrouter.types import Completion, Reasoning, Text, ToolCall, ToolCallDelta, Usage
from tests.providers.anthropic_answers import (
    CALLED,
    CODEC,
    HEADERS,
    OPUS,
    SAID,
    START,
    STOP,
    TEXT,
    THOUGHT,
    USAGE,
    body,
    decoded,
    delta,
    ended,
    iteration,
    opened,
    read,
    sse,
)
from tests.servers.protocols import ANTHROPIC, Answer, Call


def test_a_stream_yields_text_and_ends_with_message_stop() -> None:
    deltas, decoder = read([sse(START, {"type": "ping"}, *TEXT, ended(output_tokens=5), STOP)])
    assert deltas == [Text("Hi"), Text(".")]
    assert decoder.ended
    found = decoder.finish()
    assert (found.message.content, found.finish_reason, found.request_id) == ("Hi.", "stop", "req_1")
    assert found.usage == Usage(10, 5)


def test_thinking_signature_and_citations_are_assembled() -> None:
    events = (
        opened(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="H"),
        delta(0, "thinking_delta", thinking="m."),
        delta(0, "signature_delta", signature="c2ln"),
        opened(1, type="text", text="", citations=None),
        delta(1, "text_delta", text="Hi."),
        delta(1, "citations_delta", citation={"type": "page_location"}),
    )
    deltas, decoder = read([sse(START, *events, ended(), STOP)])
    assert deltas == [Reasoning("H"), Reasoning("m."), Text("Hi.")]
    found = decoder.finish()
    assert found.reasoning == "Hm."
    assert found.message.private_for("anthropic") == [THOUGHT, {**SAID, "citations": [{"type": "page_location"}]}]


def test_a_compaction_is_kept_for_the_next_turn() -> None:
    summary = {"content": "We spoke of dogs.", "encrypted_content": "eA=="}
    events = (
        opened(0, type="compaction", content=None),
        delta(0, "compaction_delta", **summary),
        *({**event, "index": 1} for event in TEXT),
    )
    _, decoder = read([sse(START, *events, ended(), STOP)])
    found = decoder.finish()
    assert found.message.private_for("anthropic") == [{"type": "compaction", **summary}, SAID]


def test_tool_calls_are_numbered_apart_from_other_blocks() -> None:
    events = (
        *TEXT,
        opened(1, type="tool_use", id="toolu_1", name="weather", input={}),
        delta(1, "input_json_delta", partial_json='{"city": '),
        delta(1, "input_json_delta", partial_json='"Oslo"}'),
        opened(2, type="tool_use", id="toolu_2", name="now", input={}),
    )
    deltas, decoder = read([sse(START, *events, ended("tool_use"), STOP)])
    assert deltas[2:] == [
        ToolCallDelta(0, "toolu_1", "weather"),
        ToolCallDelta(0, arguments_json='{"city": '),
        ToolCallDelta(0, arguments_json='"Oslo"}'),
        ToolCallDelta(1, "toolu_2", "now"),
    ]
    calls = decoder.finish().message.tool_calls
    assert calls == (ToolCall("toolu_1", "weather", '{"city": "Oslo"}'), ToolCall("toolu_2", "now", "{}"))


def test_broken_tool_arguments_keep_their_text() -> None:
    events = (opened(0, type="tool_use", id="t", name="f", input={}), delta(0, "input_json_delta", partial_json='{"a'))
    _, decoder = read([sse(START, *events, ended("max_tokens"), STOP)])
    assert decoder.finish().message.tool_calls[0].arguments_json == '{"a'


def test_the_answer_tool_streams_as_text() -> None:
    events = (
        opened(0, type="tool_use", id="t", name=ANSWER_TOOL, input={}),
        delta(0, "input_json_delta", partial_json='{"a":'),
        delta(0, "input_json_delta", partial_json=" 1}"),
    )
    deltas, decoder = read([sse(START, *events, ended("tool_use"), STOP)])
    found = decoder.finish()
    assert deltas == [Text('{"a":'), Text(" 1}")]
    assert (found.message.content, found.finish_reason) == ('{"a": 1}', "stop")


def test_the_later_usage_wins_where_it_counts() -> None:
    first = copy.deepcopy(START)
    first["message"]["usage"] = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 1}  # type: ignore[index]
    usage = ended(input_tokens=25, cache_read_input_tokens=0, output_tokens=8)
    _, decoder = read([sse(first, *TEXT, usage, STOP)])
    assert decoder.finish().usage == Usage(25, 8, cache_read_tokens=90)


def test_usage_so_far_is_what_was_reported_until_now() -> None:
    decoder = CODEC.decoder(HEADERS)
    assert decoder.usage_so_far() is None
    decoder.feed(sse(START))
    assert decoder.usage_so_far() == Usage(10, 1)


def test_unknown_events_blocks_and_deltas_are_ignored() -> None:
    events = (
        {"type": "weather_report"},
        opened(0, type="hologram", data="x"),
        delta(0, "hologram_delta", data="y"),
        *({**event, "index": 1} for event in TEXT),
    )
    deltas, decoder = read([sse(START, *events, ended(), STOP)])
    assert deltas == [Text("Hi"), Text(".")]
    assert decoder.finish().message.private_for("anthropic")[0] == {"type": "hologram", "data": "x"}


def test_what_follows_the_end_is_ignored() -> None:
    whole = sse(START, *TEXT, ended(), STOP)
    deltas, decoder = read([whole + sse(STOP), sse(*TEXT), b"data: garbage\n\n"])
    assert len(deltas) == 2
    assert decoder.finish().message.content == "Hi."


def test_a_stop_reason_is_end_enough() -> None:
    _, decoder = read([sse(START, *TEXT, ended(output_tokens=5))])
    assert not decoder.ended
    assert decoder.finish().message.content == "Hi."


def test_a_last_event_without_its_blank_line_counts() -> None:
    _, decoder = read([sse(START, *TEXT, ended())[:-2]])
    assert decoder.finish().finish_reason == "stop"


@pytest.mark.parametrize("cut", [0, 40, len(sse(START)), len(sse(START, *TEXT)), len(sse(START, *TEXT, ended())) - 3])
def test_a_stream_that_is_cut_is_interrupted_with_its_partial_text(cut: int) -> None:
    whole = sse(START, *TEXT, ended(), STOP)
    deltas, decoder = read([whole[:cut]])
    with pytest.raises(StreamInterruptedError) as caught:
        decoder.finish()
    assert caught.value.partial == "".join(delta.text for delta in deltas if isinstance(delta, Text))
    assert caught.value.request_id == "req_1"


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, OverloadedError),
        ({"type": "api_error", "message": "Internal server error"}, ServerError),
        ({"type": "invalid_request_error", "message": "no"}, BadRequestError),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}, ContextLengthError),
        ({"type": "a type of tomorrow", "message": "no"}, ServerError),
        ({}, ServerError),
    ],
)
def test_an_error_inside_a_stream_has_its_class(error: dict[str, Any], cls: type[ProviderError]) -> None:
    deltas, decoder = read([sse(START, *TEXT, {"type": "error", "error": error})])
    assert [type(delta) for delta in deltas] == [Text] * len(deltas)  # what came before the error is not lost
    with pytest.raises(ProviderError) as caught:
        decoder.finish()
    assert type(caught.value) is cls


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {broken\n\n",
        b"data: []\n\n",
        b'data: {"type": "content_block_delta", "index": 7, "delta": {}}\n\n',
        b'data: {"type": "content_block_delta", "index": [], "delta": {}}\n\n',
        b'data: {"type": "content_block_start", "index": "0"}\n\n',
    ],
)
def test_garbage_inside_a_stream_is_malformed(garbage: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        read([sse(START) + garbage])


RICH = Answer(text="Grüße, 世界!", reasoning="Hm.", cache_read=4, cache_write=2, reasoning_tokens=3)
CALLING = Answer(calls=(Call(), Call("now", {}, "call_2")), reasoning="Hm.")


@pytest.mark.parametrize("answer", [RICH, CALLING])
def test_a_stream_says_what_the_whole_answer_says(answer: Answer) -> None:
    whole = decoded(ANTHROPIC.body(answer, "claude-opus-5"))
    _, decoder = read(ANTHROPIC.events(answer, "claude-opus-5"))
    assert replace(decoder.finish(), raw=None) == replace(whole, raw=None)


@given(st.lists(st.integers(1, 60), min_size=1), st.sampled_from([RICH, CALLING]))
def test_any_chunking_gives_the_same_stream(sizes: list[int], answer: Answer) -> None:
    events = ANTHROPIC.events(answer, "claude-opus-5")
    whole, at = b"".join(events), 0
    chunks: list[bytes] = []
    while at < len(whole):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(whole[at : at + size])
        at += size
    expected, one = read(events)
    found, other = read(chunks)
    assert (found, other.finish()) == (expected, one.finish())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WHOLE = body(
    THOUGHT,
    SAID,
    CALLED,
    stop_details={"type": "refusal", "explanation": "no"},
    usage={
        **USAGE,
        "cache_creation": {"ephemeral_1h_input_tokens": 1},
        "output_tokens_details": {"thinking_tokens": 1},
        "iterations": [iteration("message", 10), iteration("advisor_message", 9, OPUS)],
    },
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Return every container of a JSON value with each of its keys."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    return [place for key in keys for place in ((node, key), *places(node[key]))]


@st.composite
def mutated(draw: st.DrawFn, original: Any) -> Any:
    changed = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(changed)))
        if key not in (range(len(container)) if isinstance(container, list) else container):
            continue  # an earlier mutation took it away
        if draw(st.booleans()):
            container[key] = draw(JSON)
        else:
            del container[key]
    return changed


def completes_or_fails_properly(read: Callable[[], Completion]) -> None:
    """A bare KeyError, TypeError and the like would pass through."""
    with suppress(ProviderError):
        assert isinstance(read(), Completion)


@given(mutated(WHOLE))
def test_a_mutated_answer_is_read_or_refused_as_a_provider_error(answer: Any) -> None:
    completes_or_fails_properly(lambda: decoded(answer))


EVENTS = [
    START,
    *TEXT,
    opened(1, **CALLED),
    delta(1, "input_json_delta", partial_json="{}"),
    ended(output_tokens=3),
    STOP,
]


@given(mutated(EVENTS))
def test_a_mutated_stream_is_read_or_refused_as_a_provider_error(events: Any) -> None:
    def completed() -> Completion:
        _, decoder = read(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
        decoder.usage_so_far()
        return decoder.finish()

    completes_or_fails_properly(completed)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_stream(noise: bytes) -> None:
    def completed() -> Completion:
        _, decoder = read([noise])
        return decoder.finish()

    with pytest.raises(ProviderError):
        completed()
