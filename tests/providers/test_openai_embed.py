"""Embeddings: batches in, vectors out, in the order asked."""

from __future__ import annotations

import base64
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import MalformedResponseError, ProviderError, RateLimitError
from llmrouter.providers.base import WireReply
from llmrouter.providers.openai_dialect import COMPATIBLE, OPENAI
from llmrouter.providers.openai_embed import decode_embed, encode_embed
from llmrouter.providers.presets import PRESETS
from tests.servers.wire import load

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def reply(*rows: Any, **fields: Any) -> WireReply:
    return WireReply({"data": list(rows), "usage": {"prompt_tokens": 3, "total_tokens": 3}, **fields})


def test_openai_is_asked_for_base64_and_others_for_numbers() -> None:
    assert encode_embed(OPENAI, "m", ("a", "b"), None) == {
        "model": "m",
        "input": ["a", "b"],
        "encoding_format": "base64",
    }
    assert encode_embed(COMPATIBLE, "m", ["a"], 8)["encoding_format"] == "float"


def test_dimensions_go_by_each_servers_name() -> None:
    assert encode_embed(OPENAI, "m", ["a"], 8)["dimensions"] == 8
    assert encode_embed(PRESETS["mistral"].dialect, "m", ["a"], 8)["output_dimension"] == 8


@given(st.lists(st.lists(SINGLE, min_size=1, max_size=8), min_size=1, max_size=5))
def test_vectors_survive_base64(vectors: list[list[float]]) -> None:
    rows = [{"index": index, "embedding": packed(vector)} for index, vector in enumerate(vectors)]
    assert decode_embed(reply(*rows))[0] == vectors


@given(st.permutations(range(6)))
def test_vectors_are_put_in_the_order_asked(order: list[int]) -> None:
    vectors, _ = decode_embed(reply(*[{"index": index, "embedding": [float(index)]} for index in order]))
    assert vectors == [[float(index)] for index in range(6)]


def test_vectors_without_an_index_stand_in_order() -> None:
    assert decode_embed(reply({"embedding": [1]}, {"embedding": [2]}))[0] == [[1.0], [2.0]]


def test_usage_is_all_input() -> None:
    usage = decode_embed(reply({"embedding": [1]}))[1]
    assert (usage.input_tokens, usage.output_tokens) == (3, 0)


@pytest.mark.parametrize(
    "rows",
    [
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}],
        [{"index": 5, "embedding": [1]}],
        [{"index": 0}],
        [{"index": 0, "embedding": []}],
        [{"index": 0, "embedding": ["1"]}],
        [{"index": 0, "embedding": "###"}],
        [{"index": 0, "embedding": "AAA="}],
        ["x"],
    ],
)
def test_what_is_no_list_of_vectors_is_malformed(rows: list[Any]) -> None:
    with pytest.raises(MalformedResponseError):
        decode_embed(reply(*rows))


def test_an_error_inside_a_200_has_its_class() -> None:
    with pytest.raises(RateLimitError):
        decode_embed(WireReply({"error": {"code": "rate_limit_exceeded", "message": "x"}}))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["data", "embedding", "index", "usage", "error"]), inner)))  # fmt: skip
def test_no_body_at_all_raises_anything_but_our_errors(body: Any) -> None:
    with suppress(ProviderError):
        decode_embed(WireReply(body))


def test_a_recorded_embedding_is_read() -> None:
    (exchange,) = load("openai/embed-single")
    (vector,), usage = decode_embed(WireReply(exchange.json, exchange.headers))
    assert len(vector) == 1536
    assert abs(sum(number * number for number in vector) - 1.0) < 1e-3
    assert usage.input_tokens == 4
