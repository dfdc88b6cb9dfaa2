"""Recorded answers of Anthropic, decoded."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest

from llmrouter.errors import ContextLengthError, LLMRouterError, ProviderError, StreamInterruptedError
from llmrouter.providers.anthropic_decode import MessagesDecoder
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.base import WireReply
from llmrouter.types import Completion, Message, Reasoning, Request, Text, ToolCallDelta
from tests.servers.wire import Exchange, cases, cut, load
from tests.wire.expectations_anthropic import NOT_SPOKEN, ROWS, Failed, Said

CODEC = MessagesCodec("anthropic")
ANSWERS = [row for row in ROWS if isinstance(row, Said)]
FAILURES = [row for row in ROWS if isinstance(row, Failed)]
STREAMS = [row for row in ANSWERS if "stream" in row.case]


def _name(row: Said | Failed) -> str:
    return f"{row.case}-{row.exchange}"


def _recorded(row: Said | Failed) -> Exchange:
    return load(f"anthropic/{row.case}")[row.exchange]


def _read(exchange: Exchange) -> Completion:
    if not exchange.is_stream:
        return CODEC.decode(WireReply(exchange.json, exchange.headers))
    decoder = CODEC.decoder(exchange.headers)
    decoder.feed(exchange.body)
    assert decoder.ended
    return decoder.finish()


def _error(exchange: Exchange) -> ProviderError:
    if exchange.status >= 400:
        return CODEC.error(exchange.status, exchange.headers, exchange.body)
    with pytest.raises(ProviderError) as caught:
        _read(exchange)
    return caught.value


@pytest.mark.parametrize("row", ANSWERS, ids=_name)
def test_a_recorded_answer_says_what_we_read_in_it(row: Said) -> None:
    answer = _read(_recorded(row))
    message = answer.message
    assert message.text.startswith(row.begins)
    assert message.text.endswith(row.ends)
    assert bool(message.text) == bool(row.begins)
    assert (answer.model, answer.usage) == (row.model, row.usage)
    assert (answer.finish_reason, answer.provider_finish_reason) == (row.finish, row.reason)
    assert [(call.id, call.name) for call in message.tool_calls] == [call[:2] for call in row.calls]
    assert all(call.arguments_json.startswith(row.calls[at][2]) for at, call in enumerate(message.tool_calls))
    assert (answer.reasoning or "").startswith(row.reasoning or "")
    assert bool(answer.reasoning) == bool(row.reasoning)
    assert tuple(block["type"] for block in message.private_for("anthropic") or ()) == row.private


@pytest.mark.parametrize("row", FAILURES, ids=_name)
def test_a_recorded_failure_has_its_class_code_and_delay(row: Failed) -> None:
    exchange = _recorded(row)
    error = _error(exchange)
    assert type(error) is row.error
    assert (error.code, error.status, error.retry_after) == (row.code, exchange.status, row.retry_after)
    assert row.in_stream == exchange.is_stream
    if isinstance(error, ContextLengthError):
        assert (error.tokens_used, error.max_tokens) == row.tokens


@pytest.mark.parametrize("row", STREAMS, ids=_name)
@pytest.mark.parametrize("seed", range(4))
def test_a_recorded_stream_reads_the_same_however_it_is_cut(row: Said, seed: int) -> None:
    exchange = _recorded(row)
    decoder = CODEC.decoder(exchange.headers)
    deltas = [delta for piece in cut(exchange.body, seed) for delta in decoder.feed(piece)]
    answer = decoder.finish()
    assert answer == _read(exchange)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Text)) == answer.message.text
    assert "".join(delta.text for delta in deltas if isinstance(delta, Reasoning)) == (answer.reasoning or "")
    written = ["" for _ in answer.message.tool_calls]
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            written[delta.index] += delta.arguments_json
    assert [text or "{}" for text in written] == [call.arguments_json for call in answer.message.tool_calls]


@pytest.mark.parametrize("row", STREAMS, ids=_name)
def test_a_recorded_stream_cut_off_anywhere_is_interrupted_or_has_its_stop_reason(row: Said) -> None:
    exchange = _recorded(row)
    whole, chance = _read(exchange), random.Random(row.case)
    for _ in range(20):
        decoder = CODEC.decoder(exchange.headers)
        decoder.feed(exchange.body[: chance.randrange(len(exchange.body))])
        assert whole.message.text.startswith(_text_of(decoder, row))


def _text_of(decoder: MessagesDecoder, row: Said) -> str:
    """Return the text of a stream that was cut, or of one that got as far as its stop reason."""
    try:
        answer = decoder.finish()
    except StreamInterruptedError as error:
        return error.partial
    assert answer.provider_finish_reason == row.reason
    return answer.message.text


@pytest.mark.parametrize("row", ANSWERS, ids=_name)
def test_a_recorded_answer_can_be_sent_back(row: Said) -> None:
    """Every block of it has a form that the API takes: no blank text, own blocks verbatim."""
    message = _read(_recorded(row)).message
    history = (Message("user", "Hello"), message, Message("user", "Go on"))
    sent = CODEC.encode(Request(row.model, history))["messages"][1]
    own = message.private_for("anthropic")
    if own is not None:
        assert sent["content"] == [block for block in own if block["type"] != "text" or block["text"].strip()]
    assert sent["role"] == "assistant"
    assert all(block["text"].strip() for block in sent["content"] if block["type"] == "text")


# ------------------------------------------------------------------------------------------------ mutations

NONSENSE: tuple[Any, ...] = (None, 0, -1, 1.5, True, "", "nonsense", [], {}, [[]], [{}], {"a": {}}, ["x"], 10**30)


def _mutated(value: Any, chance: random.Random) -> Any:
    """Return JSON with something in it removed, added or of another type."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {name: held for name, held in value.items() if name != key}
        return {**value, key: _mutated(value[key], chance), "surprise": [1]}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], _mutated(value[place], chance), *value[place + 1 :]]
    return chance.choice(NONSENSE)


def _read_mutated_stream(exchange: Exchange, chance: random.Random) -> None:
    lines = exchange.body.decode().split("\n")
    place = chance.choice([at for at, line in enumerate(lines) if line.startswith("data: {")])
    lines[place] = "data: " + json.dumps(_mutated(json.loads(lines[place][6:]), chance))
    decoder: MessagesDecoder = CODEC.decoder(exchange.headers)
    decoder.feed("\n".join(lines).encode())
    decoder.usage_so_far()
    decoder.finish()


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_mutations_of_a_recorded_answer_are_read_or_raise_an_error_of_ours(row: Said | Failed) -> None:
    exchange, chance = _recorded(row), random.Random(row.case)
    for _ in range(150):
        with suppress(LLMRouterError):
            if exchange.is_stream:
                _read_mutated_stream(exchange, chance)
            elif exchange.status < 400:
                CODEC.decode(WireReply(_mutated(exchange.json, chance), exchange.headers))
            else:
                CODEC.error(exchange.status, exchange.headers, json.dumps(_mutated(exchange.json, chance)))


def test_every_recording_of_these_protocols_is_expected() -> None:
    load("anthropic/tool-use")  # skips without recordings
    expected = {f"anthropic/{row.case}" for row in ROWS} | set(NOT_SPOKEN)
    assert {*cases("anthropic/"), *cases("bedrock/")} == expected
