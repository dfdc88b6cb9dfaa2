"""Recorded answers of OpenAI, Azure and the servers that speak their protocol, decoded."""

from __future__ import annotations

import json
import random

import pytest

from llmrouter.errors import LLMRouterError
from llmrouter.providers.base import Codec, WireReply
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_dialect import OPENAI
from llmrouter.providers.openai_responses import ResponsesCodec
from llmrouter.providers.presets import PRESETS
from llmrouter.types import Completion, Reasoning, Text, ToolCallDelta
from tests.servers.wire import Exchange, cases, cut, load
from tests.wire.expectations_openai import ROWS, Failed, Said

ANSWERS = [row for row in ROWS if isinstance(row, Said)]
FAILURES = [row for row in ROWS if isinstance(row, Failed)]


def _name(row: Said | Failed) -> str:
    return f"{row.case}-{row.exchange}"


def codec_for(exchange: Exchange) -> Codec:
    provider = exchange.case.partition("/")[0]
    dialect = PRESETS[provider].dialect if provider in PRESETS else OPENAI
    speaks = ResponsesCodec if exchange.url.endswith("/responses") else ChatCodec
    return speaks(provider, dialect)


def _decoded(exchange: Exchange) -> Completion:
    codec = codec_for(exchange)
    if not exchange.is_stream:
        return codec.decode(WireReply(exchange.json, exchange.headers))
    decoder = codec.decoder(exchange.headers)
    decoder.feed(exchange.body)
    assert decoder.ended
    return decoder.finish()


@pytest.mark.parametrize("row", ANSWERS, ids=_name)
def test_a_recorded_answer_says_what_we_read_in_it(row: Said) -> None:
    answer = _decoded(load(row.case)[row.exchange])
    assert answer.message.text.startswith(row.begins)
    assert bool(answer.message.content) == bool(row.begins)
    assert answer.usage == row.usage
    assert answer.finish_reason == row.finish
    assert tuple((call.name, call.arguments_json) for call in answer.message.tool_calls) == row.calls
    assert (answer.reasoning or "").startswith(row.reasoning or "")
    assert bool(answer.reasoning) == bool(row.reasoning)
    assert bool(answer.message.private) == row.private


@pytest.mark.parametrize("row", FAILURES, ids=_name)
def test_a_recorded_failure_has_its_class_code_and_delay(row: Failed) -> None:
    exchange = load(row.case)[row.exchange]
    error = codec_for(exchange).error(exchange.status, exchange.headers, exchange.body)
    assert type(error) is row.error
    assert (error.code, error.status, error.retry_after) == (row.code, exchange.status, row.retry_after)


@pytest.mark.parametrize("row", [row for row in ANSWERS if "stream" in row.case], ids=_name)
@pytest.mark.parametrize("seed", range(4))
def test_a_recorded_stream_reads_the_same_however_it_is_cut(row: Said, seed: int) -> None:
    exchange = load(row.case)[row.exchange]
    if not exchange.is_stream:
        pytest.skip("recorded whole")
    decoder = codec_for(exchange).decoder(exchange.headers)
    deltas = [delta for piece in cut(exchange.body, seed) for delta in decoder.feed(piece)]
    answer = decoder.finish()
    assert answer == _decoded(exchange)
    assert "".join(delta.text for delta in deltas if isinstance(delta, Text)) == answer.message.content
    assert "".join(delta.text for delta in deltas if isinstance(delta, Reasoning)) == (answer.reasoning or "")
    written = ["" for _ in answer.message.tool_calls]
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            written[delta.index] += delta.arguments_json
    assert written == [call.arguments_json for call in answer.message.tool_calls]


@pytest.mark.parametrize("row", [row for row in ANSWERS if "stream" in row.case], ids=_name)
def test_a_recorded_stream_cut_off_anywhere_ends_in_an_error_of_ours_or_whole(row: Said) -> None:
    exchange = load(row.case)[row.exchange]
    chance = random.Random(row.case)
    for _ in range(20):
        decoder = codec_for(exchange).decoder(exchange.headers)
        decoder.feed(exchange.body[: chance.randrange(len(exchange.body))])
        try:
            answer = decoder.finish()
        except LLMRouterError:
            continue
        assert answer.provider_finish_reason


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


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_mutations_of_a_recorded_answer_are_read_or_raise_an_error_of_ours(row: Said | Failed) -> None:
    exchange = load(row.case)[row.exchange]
    codec, chance = codec_for(exchange), random.Random(row.case)
    for _ in range(150):
        try:
            if exchange.is_stream:
                _feed_mutated(codec, exchange, chance)
            elif exchange.status < 400:
                codec.decode(WireReply(_mutated(exchange.json, chance), exchange.headers))
            else:
                codec.error(exchange.status, exchange.headers, json.dumps(_mutated(exchange.json, chance)))
        except LLMRouterError:
            pass


def _feed_mutated(codec: Codec, exchange: Exchange, chance: random.Random) -> None:
    lines = exchange.body.decode().split("\n")
    place = chance.choice([at for at, line in enumerate(lines) if line.startswith("data: {")])
    lines[place] = "data: " + json.dumps(_mutated(json.loads(lines[place][6:]), chance))
    decoder = codec.decoder(exchange.headers)
    decoder.feed("\n".join(lines).encode())
    decoder.finish()


def test_every_recording_of_these_protocols_is_expected() -> None:
    load("openai/chat-plain")  # skips without recordings
    folders = ("azure/", "deepseek/", "groq/", "mistral/", "openai/", "openrouter/", "other/")
    recorded = {case for folder in folders for case in cases(folder)} | {"ollama/stream-openai-compat"}
    assert recorded - {row.case for row in ROWS} == {"openai/embed-single"}
