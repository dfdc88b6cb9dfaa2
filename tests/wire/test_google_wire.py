"""Recorded answers of the Gemini API and of Vertex AI, decoded."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from llmrouter.errors import BadRequestError, LLMRouterError, ProviderError
from llmrouter.providers.base import WireReply
from llmrouter.providers.google_genai import GoogleCodec
from llmrouter.types import Completion, Message, Reasoning, Request, Text, ToolCallDelta
from tests.servers.wire import Exchange, cases, cut, load
from tests.wire.expectations_google import NOT_SPOKEN, ROWS, Failed, Said

CODEC = GoogleCodec("google")
ANSWERS = [row for row in ROWS if isinstance(row, Said)]
FAILURES = [row for row in ROWS if isinstance(row, Failed)]
STREAMS = [row for row in ANSWERS if "stream" in row.case or row.case == "gemini/schema"]


def _name(row: Said | Failed) -> str:
    return f"{row.case}-{row.exchange}"


def _streamed(exchange: Exchange) -> bool:
    return "streamGenerateContent" in exchange.url


def _decoded(exchange: Exchange) -> Completion:
    if not _streamed(exchange):
        return CODEC.decode(WireReply(exchange.json, exchange.headers))
    decoder = CODEC.decoder(exchange.headers)
    decoder.feed(exchange.body)
    assert decoder.ended
    return decoder.finish()


@pytest.mark.parametrize("row", ANSWERS, ids=_name)
def test_a_recorded_answer_says_what_we_read_in_it(row: Said) -> None:
    answer = _decoded(load(row.case)[row.exchange])
    assert answer.message.text.startswith(row.begins)
    assert bool(answer.message.content) == bool(row.begins)
    assert answer.usage == row.usage
    assert (answer.finish_reason, answer.model) == (row.finish, row.model)
    assert tuple((call.name, call.arguments_json) for call in answer.message.tool_calls) == row.calls
    assert (answer.reasoning or "").startswith(row.reasoning or "")
    assert bool(answer.reasoning) == bool(row.reasoning)
    assert bool(answer.message.private) == row.private


@pytest.mark.parametrize("row", FAILURES, ids=_name)
def test_a_recorded_failure_has_its_class_code_and_delay(row: Failed) -> None:
    exchange = load(row.case)[row.exchange]
    error = _failure(exchange)
    assert type(error) is row.error
    assert (error.code, error.retry_after) == (row.code, row.retry_after)


def _failure(exchange: Exchange) -> ProviderError:
    if exchange.status >= 400:
        return CODEC.error(exchange.status, exchange.headers, exchange.body)
    with pytest.raises(ProviderError) as blocked:
        CODEC.decode(WireReply(exchange.json, exchange.headers))
    return blocked.value


def test_misuse_of_thinking_is_a_bad_request() -> None:
    recorded = load("gemini/err-400-thinking-level")[0].json
    for body in (recorded["reasoningNoneResponse"], recorded["thinkingLevelAndBudgetResponse"]):
        error = CODEC.error(400, {}, body)
        assert type(error) is BadRequestError
        assert error.message == body["error"]["message"]


def test_a_recorded_embedding_has_as_many_numbers_as_were_asked() -> None:
    exchange = load("gemini/embed-single")[0]
    vectors, usage = CODEC.decode_embed(WireReply(exchange.json, exchange.headers))
    assert [len(vector) for vector in vectors] == [768]
    assert vectors[0][:2] == [0.013796286, 0.00994793]
    assert usage.estimated


def test_our_embedding_request_is_the_recorded_one() -> None:
    text = "Ruby is a programmer's best friend"
    assert CODEC.encode_embed("gemini-embedding-001", [text], 768) == load("gemini/embed-single")[0].request


def test_a_recorded_signed_call_goes_back_as_it_came() -> None:
    exchange = load("gemini/tool-call")[0]
    answer = _decoded(exchange)
    result = Message("tool", "Mexico", tool_call_id=answer.message.tool_calls[0].id)
    question = Message("user", "What is the largest city in the user country?")
    body = CODEC.encode(Request("gemini-3-flash-preview", (question, answer.message, result)))
    assert body["contents"][1]["parts"] == exchange.json["candidates"][0]["content"]["parts"]
    assert body["contents"][2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "w71i0cbt", "name": "get_user_country", "response": {"result": "Mexico"}}}
        ],
    }


@pytest.mark.parametrize("row", STREAMS, ids=_name)
@pytest.mark.parametrize("seed", range(4))
def test_a_recorded_stream_reads_the_same_however_it_is_cut(row: Said, seed: int) -> None:
    exchange = load(row.case)[row.exchange]
    decoder = CODEC.decoder(exchange.headers)
    deltas = [delta for piece in cut(exchange.body, seed) for delta in decoder.feed(piece)]
    answer = decoder.finish()
    assert answer == _decoded(exchange)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Text)) == answer.message.content
    assert "".join(delta.text for delta in deltas if isinstance(delta, Reasoning)) == (answer.reasoning or "")
    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert [(call.id, call.name, call.arguments_json) for call in calls] == [
        (call.id, call.name, call.arguments_json) for call in answer.message.tool_calls
    ]


@pytest.mark.parametrize("row", STREAMS, ids=_name)
def test_a_recorded_stream_cut_off_anywhere_ends_in_an_error_of_ours_or_whole(row: Said) -> None:
    exchange = load(row.case)[row.exchange]
    chance = random.Random(row.case)
    for _ in range(20):
        decoder = CODEC.decoder(exchange.headers)
        decoder.feed(exchange.body[: chance.randrange(len(exchange.body))])
        try:
            answer = decoder.finish()
        except LLMRouterError:
            continue
        assert answer == _decoded(exchange)


def _mutated(value: object, chance: random.Random) -> object:
    """Return JSON with something in it removed, added or of another type."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _mutated(value[key], chance), "surprise": [1]}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], _mutated(value[place], chance), *value[place + 1 :]]
    return chance.choice([None, 0, -1, 1.5, True, "", "nonsense", [], {}, [[]], [{}], {"a": {}}, ["x"], 10**30])


def _bodies(exchange: Exchange) -> list[Any]:
    """Return the answer's bodies: one, or those of the stream."""
    if "event-stream" in exchange.headers.get("content-type", ""):
        return [json.loads(line[6:]) for line in exchange.body.decode().splitlines() if line.startswith("data: ")]
    found = exchange.json
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_mutations_of_a_recorded_answer_are_read_or_raise_an_error_of_ours(row: Said | Failed) -> None:
    exchange = load(row.case)[row.exchange]
    bodies, chance = _bodies(exchange), random.Random(row.case)
    for _ in range(150):
        changed = [_mutated(body, chance) for body in bodies]
        try:
            if exchange.status >= 400:
                CODEC.error(exchange.status, exchange.headers, json.dumps(changed[0]))
            elif _streamed(exchange):
                decoder = CODEC.decoder({})
                decoder.feed(b"".join(b"data: " + json.dumps(body).encode() + b"\r\n\r\n" for body in changed))
                decoder.finish()
            else:
                answer = CODEC.decode(WireReply(changed[0], exchange.headers))
                CODEC.encode(Request("gemini-3.8-flash", (Message("user", "hi"), answer.message)))
        except LLMRouterError:
            pass


def test_every_recorded_exchange_is_expected_or_not_spoken_for_a_reason() -> None:
    load("gemini/stream-sse")  # skips without recordings
    recorded = {(case, at) for case in (*cases("gemini/"), *cases("vertex/")) for at in range(len(load(case)))}
    assert recorded == {(row.case, row.exchange) for row in ROWS} | set(NOT_SPOKEN)
