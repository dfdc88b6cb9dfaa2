"""Recorded answers read by the codecs alone: whole, cut anywhere, cut off, and spoilt."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest

from llmrouter.errors import BadRequestError, LLMRouterError, StreamInterruptedError
from llmrouter.providers.base import StreamDecoder, WireReply
from llmrouter.providers.google_genai import GoogleCodec
from llmrouter.types import Completion, Message, Reasoning, Request, Text, ToolCallDelta
from tests.servers.wire import Exchange, cases, cut, load
from tests.wire.expectations import ANSWERS, FAILURES, ROWS
from tests.wire.rows import Failed, Row, Said, codec_of, exchange_of, is_stream

STREAMS = tuple(row for row in ANSWERS if "stream" in row.at or row.at in ("gemini/schema#0", "anthropic/tool-use#0"))


def _name(row: Row) -> str:
    return row.at


def read(exchange: Exchange) -> Completion:
    codec = codec_of(exchange)
    if not is_stream(exchange):
        return codec.decode(WireReply(exchange.json, exchange.headers))
    decoder = codec.decoder(exchange.headers)
    decoder.feed(exchange.body)
    assert decoder.ended
    return decoder.finish()


def test_every_recorded_exchange_has_its_row() -> None:
    load("openai/chat-plain")  # skips without recordings
    recorded = [f"{case}#{place}" for case in cases() for place in range(len(load(case)))]
    assert sorted(row.at for row in ROWS) == sorted(recorded)


# ------------------------------------------------------------------------------------------------ streams


@pytest.mark.parametrize("row", STREAMS, ids=_name)
@pytest.mark.parametrize("seed", range(4))
def test_a_recorded_stream_reads_the_same_however_it_is_cut(row: Said, seed: int) -> None:
    exchange = exchange_of(row)
    if not is_stream(exchange):
        pytest.skip("recorded whole")
    decoder = codec_of(exchange).decoder(exchange.headers)
    deltas = [delta for piece in cut(exchange.body, seed) for delta in decoder.feed(piece)]
    answer = decoder.finish()
    assert answer == read(exchange)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Text)) == answer.message.text
    assert "".join(delta.text for delta in deltas if isinstance(delta, Reasoning)) == (answer.reasoning or "")
    written = ["" for _ in answer.message.tool_calls]
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            written[delta.index] += delta.arguments_json
    assert [text or "{}" for text in written] == [call.arguments_json for call in answer.message.tool_calls]


@pytest.mark.parametrize("row", STREAMS, ids=_name)
def test_a_recorded_stream_cut_off_anywhere_is_interrupted_or_has_its_finish_reason(row: Said) -> None:
    exchange = exchange_of(row)
    if not is_stream(exchange):
        pytest.skip("recorded whole")
    whole, chance = read(exchange), random.Random(row.at)
    for _ in range(20):
        decoder = codec_of(exchange).decoder(exchange.headers)
        decoder.feed(exchange.body[: chance.randrange(len(exchange.body))])
        assert whole.message.text.startswith(_text_of(decoder, row))


def _text_of(decoder: StreamDecoder, row: Said) -> str:
    """Return the text of a stream that was cut off, or of one that got as far as its finish reason."""
    try:
        answer = decoder.finish()
    except StreamInterruptedError as error:
        return error.partial
    except LLMRouterError:  # cut off in the middle of an event
        return ""
    assert answer.provider_finish_reason == row.word
    return answer.message.text


# ------------------------------------------------------------------------------------------------ the next turn


@pytest.mark.parametrize("row", ANSWERS, ids=_name)
def test_a_recorded_answer_can_be_sent_back(row: Said) -> None:
    """The codec writes it into the next request, without losing a call or sending blank text."""
    exchange = exchange_of(row)
    answer = read(exchange).message
    results = tuple(Message("tool", "done", tool_call_id=call.id) for call in answer.tool_calls)
    history = (Message("user", "Hello"), answer, *results, Message("user", "Go on"))
    body = json.dumps(codec_of(exchange).encode(Request(row.model, history)))
    assert all(f'"{call.name}"' in body for call in answer.tool_calls)
    if row.at.startswith("anthropic/"):  # which refuses blank text; Gemini signs it and wants it back
        assert '"text": ""' not in body


def test_a_recorded_signed_call_goes_back_as_it_came() -> None:
    exchange = load("gemini/tool-call")[0]
    answer = read(exchange)
    result = Message("tool", "Mexico", tool_call_id=answer.message.tool_calls[0].id)
    question = Message("user", "What is the largest city in the user country?")
    body = codec_of(exchange).encode(Request("gemini-3-flash-preview", (question, answer.message, result)))
    assert body["contents"][1]["parts"] == exchange.json["candidates"][0]["content"]["parts"]
    response = {"id": "w71i0cbt", "name": "get_user_country", "response": {"result": "Mexico"}}
    assert body["contents"][2] == {"role": "user", "parts": [{"functionResponse": response}]}


def test_misuse_of_thinking_is_a_bad_request() -> None:
    recorded = load("gemini/err-400-thinking-level")[0].json
    for body in (recorded["reasoningNoneResponse"], recorded["thinkingLevelAndBudgetResponse"]):
        error = GoogleCodec("wire").error(400, {}, body)
        assert type(error) is BadRequestError
        assert error.message == body["error"]["message"]


# ------------------------------------------------------------------------------------------------ mutations

NONSENSE: tuple[Any, ...] = (None, 0, -1, 1.5, True, "", "nonsense", [], {}, [[]], [{}], {"a": {}}, ["x"], 10**30)


def mutated(value: Any, chance: random.Random) -> Any:
    """Return JSON with something in it removed, added or of another type."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {name: held for name, held in value.items() if name != key}
        return {**value, key: mutated(value[key], chance), "surprise": [1]}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], mutated(value[place], chance), *value[place + 1 :]]
    return chance.choice(NONSENSE)


def spoilt(exchange: Exchange, chance: random.Random) -> bytes:
    """Return the answer's bytes with one event, or the body, mutated."""
    if not exchange.is_stream:
        return json.dumps(mutated(exchange.json, chance)).encode()
    lines = exchange.body.decode().split("\n")
    place = chance.choice([at for at, line in enumerate(lines) if line.startswith("data: {")])
    lines[place] = "data: " + json.dumps(mutated(json.loads(lines[place][6:]), chance))
    return "\n".join(lines).encode()


@pytest.mark.parametrize("row", [*ANSWERS, *FAILURES], ids=_name)
def test_mutations_of_a_recorded_answer_are_read_or_raise_an_error_of_ours(row: Said | Failed) -> None:
    exchange, chance = exchange_of(row), random.Random(row.at)
    codec = codec_of(exchange)
    for _ in range(30):
        body = spoilt(exchange, chance)
        with suppress(LLMRouterError):
            if exchange.status >= 400:
                codec.error(exchange.status, exchange.headers, body)
            elif is_stream(exchange):
                decoder = codec.decoder(exchange.headers)
                decoder.feed(body)
                decoder.usage_so_far()
                codec.encode(Request("m", (Message("user", "hi"), decoder.finish().message)))
            else:
                answer = codec.decode(WireReply(json.loads(body), exchange.headers))
                codec.encode(Request("m", (Message("user", "hi"), answer.message)))
