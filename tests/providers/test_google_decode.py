"""What Gemini answers, whole and in streams: finish reasons, usage, calls, private parts, and every kind of garbage."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    BadRequestError,
    ContentFilterError,
    LLMRouterError,
    MalformedResponseError,
    OverloadedError,
    RateLimitError,
    StreamInterruptedError,
)
from llmrouter.providers.base import WireReply
from llmrouter.providers.google_genai import GoogleCodec
from llmrouter.types import Completion, Private, Text, Usage

CODEC = GoogleCodec("google")


def answer(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1", **more}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"text": words, **more}


def call(name: str = "weather", **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **fields}}


def decode(body: Any) -> Completion:
    return CODEC.decode(WireReply(body))


def sse(*bodies: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(body).encode() + b"\r\n\r\n" for body in bodies)


def stream(*pieces: bytes) -> Completion:
    decoder = CODEC.decoder({})
    for piece in pieces:
        decoder.feed(piece)
    return decoder.finish()


# ------------------------------------------------------------------------------------------------ whole answers


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("OTHER", "other"),
        ("TOO_MANY_TOOL_CALLS", "other"),
        ("NEVER_HEARD_OF", "other"),
    ],
)
def test_finish_reasons_have_our_names_and_keep_their_own(finish: str, expected: str) -> None:
    found = decode(answer(text("hi"), finish=finish))
    assert (found.finish_reason, found.provider_finish_reason) == (expected, finish)


def test_a_stop_with_calls_is_tool_calls() -> None:
    found = decode(answer(call(args={"city": "Oslo"}, id="c1")))
    assert found.finish_reason == "tool_calls"
    assert [(c.id, c.name, c.arguments) for c in found.message.tool_calls] == [("c1", "weather", {"city": "Oslo"})]


def test_a_call_without_an_id_gets_the_same_one_each_time_and_another_than_its_twin() -> None:
    body = answer(call(args={}), call(args={}))
    first, second = decode(body).message.tool_calls
    assert (first, second) == decode(body).message.tool_calls
    assert first.id != second.id


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_an_answer_that_is_malformed_by_its_own_word_is_malformed(finish: str) -> None:
    with pytest.raises(MalformedResponseError) as raised:
        decode(answer(finish=finish))
    assert raised.value.code == finish


def test_a_missing_signature_is_our_requests_fault() -> None:
    with pytest.raises(BadRequestError):
        decode(answer(finish="MISSING_THOUGHT_SIGNATURE"))


def test_an_empty_answer_is_malformed_but_a_cut_one_is_not() -> None:
    with pytest.raises(MalformedResponseError, match="empty answer"):
        decode(answer(text("")))
    assert decode(answer(finish="MAX_TOKENS")).finish_reason == "length"


def test_thoughts_are_reasoning_and_not_text() -> None:
    found = decode(answer(text("hm", thought=True), text("4")))
    assert (found.reasoning, found.message.content, found.message.private) == ("hm", "4", ())


def test_signed_parts_are_kept_verbatim_and_unsigned_thoughts_are_not() -> None:
    signed, code = text("4", thoughtSignature="c2ln"), {"executableCode": {"language": "PYTHON", "code": "2+2"}}
    found = decode(answer(text("hm", thought=True), code, signed))
    assert found.message.private == (Private("google", {"role": "model", "parts": [code, signed]}),)


def test_logprobs_and_ids_come_along() -> None:
    body = answer(text("hi"))
    body["candidates"][0]["logprobsResult"] = {"chosenCandidates": []}
    found = decode(body)
    assert (found.logprobs, found.request_id, found.model) == ({"chosenCandidates": []}, "r1", "gemini-x")


def test_usage_is_disjoint_and_counts_thoughts_as_output() -> None:
    counts = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 7,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 142,
    }
    found = decode(answer(text("hi"), usageMetadata=counts)).usage
    assert found == Usage(uncached_tokens=47, output_tokens=35, cache_read_tokens=60, reasoning_tokens=30)
    assert found.total_tokens == 142


@pytest.mark.parametrize("counts", [None, {}, {"trafficType": "ON_DEMAND"}, "many"])
def test_usage_that_says_nothing_is_none(counts: Any) -> None:
    assert decode(answer(text("hi"), usageMetadata=counts)).usage is None


def test_a_blocked_prompt_raises_with_the_reason() -> None:
    with pytest.raises(ContentFilterError, match="jailbreak filters") as raised:
        decode({"promptFeedback": {"blockReason": "JAILBREAK", "blockReasonMessage": "jailbreak filters"}})
    assert raised.value.code == "JAILBREAK"


def test_of_several_candidates_the_first_is_the_answer() -> None:
    first, second = answer(text("one"))["candidates"][0], {**answer(text("two"))["candidates"][0], "index": 1}
    assert decode({"candidates": [second, first]}).message.content == "one"


def test_an_error_in_a_200_is_that_error() -> None:
    with pytest.raises(OverloadedError):
        decode({"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}})


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        7,
        {},
        {"candidates": []},
        {"candidates": "x"},
        {"candidates": [None]},
        {"candidates": [{"content": "x", "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": "x"}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": ["x"]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {}}]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"functionCall": 3}]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"text": "no end"}]}}]},
    ],
)
def test_what_is_not_the_protocol_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedResponseError):
        decode(body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_keys = ("candidates", "content", "parts", "text", "functionCall", "finishReason", "usageMetadata", "promptFeedback")
_shaped = st.recursive(
    _json, lambda inner: st.dictionaries(st.sampled_from(_keys), inner | st.lists(inner, max_size=2), max_size=4)
)


@given(_shaped)
def test_any_json_decodes_or_raises_an_error_of_ours(body: Any) -> None:
    with contextlib.suppress(LLMRouterError):
        decode(body)


# ------------------------------------------------------------------------------------------------ streams

CHUNKS = (
    answer(text("Hel"), finish=None, usageMetadata={"promptTokenCount": 3}),
    answer(text("lo ✓"), finish=None, usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 1}),
    answer(text(""), usageMetadata={"promptTokenCount": 4, "candidatesTokenCount": 2}),
)


def test_the_last_usage_wins() -> None:
    assert stream(sse(*CHUNKS)).usage == Usage(4, 2)


def test_the_usage_so_far_is_there_before_the_end() -> None:
    decoder = CODEC.decoder({})
    decoder.feed(sse(*CHUNKS[:2]))
    assert (decoder.ended, decoder.usage_so_far()) == (False, Usage(3, 1))


@given(st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_a_stream_reads_the_same_in_any_chunking(cuts: list[int], array: bool) -> None:
    whole = json.dumps(CHUNKS, indent=2).encode() if array else sse(*CHUNKS)
    places = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    assert stream(*pieces) == stream(sse(*CHUNKS))


def test_text_comes_as_it_is_fed() -> None:
    decoder = CODEC.decoder({})
    assert list(decoder.feed(sse(CHUNKS[0]))) == [Text("Hel")]
    assert list(decoder.feed(sse(CHUNKS[1]))) == [Text("lo ✓")]
    assert not decoder.ended
    assert list(decoder.feed(sse(CHUNKS[2]))) == []
    assert decoder.ended


def test_a_finish_reason_in_every_chunk_ends_nothing_where_there_are_no_response_ids() -> None:
    chunks = [{"candidates": answer(text(word))["candidates"]} for word in ("one ", "two ", "three")]
    decoder = CODEC.decoder({})
    for chunk in chunks:
        decoder.feed(sse(chunk))
        assert not decoder.ended
    assert decoder.finish().message.content == "one two three"


def test_the_end_may_come_twice_and_finish_be_asked_twice() -> None:
    decoder = CODEC.decoder({})
    decoder.feed(sse(*CHUNKS, CHUNKS[-1], {"usageMetadata": {"promptTokenCount": 4}}))
    assert decoder.finish() == decoder.finish()


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert stream(sse(*CHUNKS).rstrip()).message.content == "Hello ✓"


def test_foreign_events_comments_and_a_done_are_ignored() -> None:
    noise = b": ping\n\nevent: odd\nid: 7\n\ndata: [DONE]\n\n"
    assert stream(noise, sse({"unheard": 1}, *CHUNKS), noise).message.content == "Hello ✓"


@pytest.mark.parametrize("array", [False, True])
def test_a_stream_without_a_finish_reason_is_interrupted_and_keeps_its_text(array: bool) -> None:
    pieces = json.dumps(CHUNKS[:2]).encode()[:-1] if array else sse(*CHUNKS[:2])
    with pytest.raises(StreamInterruptedError) as raised:
        stream(pieces)
    assert raised.value.partial == "Hello ✓"


def test_an_empty_stream_is_interrupted() -> None:
    with pytest.raises(StreamInterruptedError):
        stream(b"")


@pytest.mark.parametrize(
    "garbage", [b"data: {nope\n\n", b"data: 7\n\n", b"[7, 8]", b"[{}} ", b'data: {"candidates": 3}\n\n']
)
def test_garbage_in_a_stream_is_malformed(garbage: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        stream(garbage)


def test_a_page_instead_of_a_stream_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="doctype"):
        stream(b"<!doctype html><title>Sign in</title>")


ERROR = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down"}}


@pytest.mark.parametrize(
    "written",
    [
        sse(ERROR),
        json.dumps(ERROR, indent=2).encode(),
        json.dumps([ERROR], indent=2).encode(),
        sse(CHUNKS[0]) + json.dumps(ERROR, indent=2).encode(),
    ],
    ids=["event", "bare", "array", "bare after events"],
)
def test_an_error_inside_a_stream_is_that_error_however_google_writes_it(written: bytes) -> None:
    with pytest.raises(RateLimitError, match="slow down"):
        stream(written)


def test_a_prompt_blocked_in_a_stream_raises() -> None:
    with pytest.raises(ContentFilterError):
        stream(sse({"promptFeedback": {"blockReason": "SAFETY"}}))


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_decode_or_raise_an_error_of_ours(pieces: list[bytes]) -> None:
    with contextlib.suppress(LLMRouterError):
        stream(*pieces)


# ------------------------------------------------------------------------------------------------ embeddings


def test_vectors_keep_their_order_and_usage_is_estimated_where_none_is_told() -> None:
    vectors, usage = CODEC.decode_embed(WireReply({"embeddings": [{"values": [1, 0.5]}, {"values": [2, 3]}]}))
    assert (vectors, usage) == ([[1, 0.5], [2, 3]], Usage(estimated=True))


def test_embedding_usage_is_read_where_it_is_told() -> None:
    body = {"embeddings": [{"values": [1]}], "usageMetadata": {"promptTokenCount": 9}}
    assert CODEC.decode_embed(WireReply(body))[1] == Usage(uncached_tokens=9)


@pytest.mark.parametrize(
    "body", [None, {}, {"embeddings": []}, {"embeddings": [{}]}, {"embeddings": [{"values": ["1"]}]}, [1]]
)
def test_an_answer_without_vectors_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedResponseError):
        CODEC.decode_embed(WireReply(body))
