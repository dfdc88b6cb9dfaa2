"""What a call costs: every bucket at its own price, every attempt that was billed, and nothing invented."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from llmrouter import ContentFilterError, OutputInvalidError
from tests.chains import Mode, ask, chain, each_mode, each_protocol, failing
from tests.conftest import FaultServers
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, PROTOCOLS, Answer, Protocol
from tests.worlds import Face

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
BUCKETS = {"input": 1.0, "output": 10.0, "cache_read": 0.1, "cache_write": 2.0}  # USD per million tokens

# ------------------------------------------------------------------------------------------------ one answer


@every_protocol
@each_mode
def test_each_bucket_has_its_own_price(face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode) -> None:
    writes = 50 if protocol is ANTHROPIC else 0  # the others write their caches without a price of its own
    answer = Answer(input_tokens=1000, cache_read=600, cache_write=writes, output_tokens=200, reasoning_tokens=150)
    config = chain((protocol, fault_server(protocol.reply(answer)))) | {"prices": {"first/*": BUCKETS}}
    with face.router(config) as router:
        reply = ask(face, router, mode)
    usage = reply.usage
    assert usage.input_tokens == 1000 == usage.uncached_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (600, writes)
    assert (usage.output_tokens, usage.reasoning_tokens, usage.total_tokens) == (200, 150, 1200)
    expected = (1000 - 600 - writes) * 1.0 + 600 * 0.1 + writes * 2.0 + 200 * 10.0
    assert reply.cost_usd == pytest.approx(expected / 1e6, abs=1e-9)


def test_an_unknown_price_is_none(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply())))
    del config["prices"]
    with face.router(config) as router:
        reply = ask(face, router, "chat")
        assert router.total_cost == 0.0
    assert reply.cost_usd is None
    assert reply.attempts[0].cost_usd is None


def test_the_built_in_table_knows_the_providers_own_models(face: Face, fault_server: FaultServers) -> None:
    # A server of one's own is priced only when the file says so: the table is for the providers' own addresses.
    config = chain((OPENAI, fault_server(OPENAI.reply())))
    config["prices"] = {}
    with face.router(config) as router:
        assert ask(face, router, "chat").cost_usd is None
        assert router.model_info("openai/gpt-6-luna").price is not None


def test_prices_of_the_route_win_over_those_of_the_file(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(Answer(input_tokens=1_000_000, output_tokens=0)))
    config = chain((OPENAI, server), prices={"first/gpt-6-luna": {"input": 7.0, "output": 0.0}})
    with face.router(config) as router:
        assert ask(face, router, "chat").cost_usd == pytest.approx(7.0)


def test_prices_of_the_rung_win_over_those_of_the_route(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(Answer(input_tokens=1_000_000, output_tokens=0)))
    config = chain((OPENAI, server), prices={"first/gpt-6-luna": {"input": 7.0, "output": 0.0}})
    config["routes"]["r"]["model"] = {"model": "first/gpt-6-luna", "prices": {"input": 9.0, "output": 0.0}}
    with face.router(config) as router:
        assert ask(face, router, "chat").cost_usd == pytest.approx(9.0)


def test_a_price_of_nothing_costs_nothing(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply()))) | {"prices": {"first/*": {"input": 0, "output": 0}}}
    with face.router(config) as router:
        assert ask(face, router, "chat").cost_usd == 0.0


def test_a_python_target_costs_nothing(face: Face) -> None:
    with face.router({"routes": {"r": {"model": "python/llmrouter.offline:summarize"}}}) as router:
        reply = ask(face, router, "chat", "One sentence. Another one. And a third one.")
    assert reply.cost_usd == 0.0


# ------------------------------------------------------------------------------------------------ the total


@each_protocol
def test_the_total_is_the_sum_of_all_calls(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply(Answer(input_tokens=123, output_tokens=45)))
    with face.router(chain((protocol, server))) as router:
        assert router.total_cost == 0.0
        replies = [ask(face, router, mode) for mode in ("chat", "stream", "chat")]
        assert router.total_cost == pytest.approx(sum(reply.cost_usd for reply in replies))


def test_calls_at_once_lose_nothing_of_the_total(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(Answer(input_tokens=100, output_tokens=10)))
    with face.router(chain((OPENAI, server))) as router:
        replies = face.at_once([partial(router.chat, "r", "hello")] * 16)
        assert router.total_cost == pytest.approx(16 * replies[0].cost_usd)


def test_a_failure_that_was_not_billed_costs_nothing(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.fails("server"), OPENAI.fails("rate_limit"), OPENAI.reply()])
    with face.router(chain((OPENAI, server))) as router:
        reply = ask(face, router, "chat")
        assert router.total_cost == reply.cost_usd
    assert [attempt.cost_usd for attempt in reply.attempts] == [None, None, reply.cost_usd]


def test_an_answer_that_was_filtered_was_billed(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(Answer("Well", finish="content_filter", input_tokens=100, output_tokens=1)))
    with face.router(chain((OPENAI, server))) as router:
        failing(ContentFilterError, face, router, "chat")
        assert router.total_cost == pytest.approx((100 * 1.0 + 1 * 10.0) / 1e6)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
    "additionalProperties": False,
}


@each_protocol
def test_answers_that_fail_their_schema_were_billed_to_their_target(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    bad = fault_server(protocol.reply(Answer('{"age": "old"}', input_tokens=100, output_tokens=10)))
    good = fault_server(GOOGLE.reply(Answer('{"age": 36}', input_tokens=100, output_tokens=10)))
    with face.router(chain((protocol, bad), (GOOGLE, good))) as router:
        reply = ask(face, router, "chat", schema=SCHEMA)
        total = router.total_cost
    one = (100 * 1.0 + 10 * 10.0) / 1e6
    assert [attempt.cost_usd for attempt in reply.attempts] == pytest.approx([one] * 3)
    assert [type(attempt.error) for attempt in reply.attempts] == [OutputInvalidError, OutputInvalidError, type(None)]
    assert (reply.cost_usd, total) == pytest.approx((one, 3 * one))


def test_what_the_prompt_cache_saved_is_in_the_usage_of_a_stream_too(face: Face, fault_server: FaultServers) -> None:
    answer = Answer(input_tokens=5000, cache_read=4000, cache_write=500)
    server = fault_server(ANTHROPIC.reply(answer))
    with face.router(chain((ANTHROPIC, server))) as router:
        whole, streamed = ask(face, router, "chat").usage, ask(face, router, "stream").usage
    assert whole == streamed
    assert (whole.uncached_tokens, whole.cache_read_tokens, whole.cache_write_tokens) == (500, 4000, 500)
