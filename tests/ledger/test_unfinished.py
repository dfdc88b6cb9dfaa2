"""What is booked of an attempt without an answer: as reported, or nothing, or an estimate that says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from llmrouter import (
    APIConnectionError,
    MalformedResponseError,
    ProviderError,
    QuotaError,
    RequestTimeoutError,
    StreamInterruptedError,
)
from llmrouter.policy.spend import period_of
from llmrouter.store.ledger_row import Row
from llmrouter.store.spend import Claim, Tally
from tests.chains import WORDS, Mode, ask, chain, each_mode, each_protocol, failing
from tests.conftest import FaultServers
from tests.ledger.rows import ALL
from tests.servers.faults import refused_port, unanswered_port
from tests.servers.protocols import OPENAI, Answer, Protocol
from tests.servers.replies import Reply, close_before_headers, html, reset_before_headers, silence
from tests.worlds import Face

ONCE: dict[str, Any] = {"retry": {"attempts": 1}, "params": {"max_tokens": 50}, "spend_limit": {"usd": 1}}
QUICK = {"attempt": "300ms", "first_token": "300ms", "connect": "200ms"}
PROMPT = "one two three four five six seven eight nine ten " * 20
IN, OUT = 1_000, 10_000  # nano-USD a token: PRICE of tests.chains


def booked(router: Any) -> list[Row]:
    """Return the ledger's rows; what router and spend limit have in their books has to come to the same."""
    rows = sorted(router._accounts.ledger.read(ALL), key=lambda row: row.number)
    total = sum(row.cost_nano or 0 for row in rows)
    assert round(router.total_cost * 1e9) == total
    now = datetime.now(UTC).timestamp()
    limit, period = router.plan("r").spend_limits[0], period_of("day", now)
    claim = Claim(limit.scope, period.name, period.ends, limit.nano)
    assert router._accounts.book.tally(claim, now) == Tally(total, 0)
    return rows


def is_estimate(row: Row) -> bool:
    """Whether a row has the prompt, counted, and nothing of an answer."""
    counted = 150 < row.uncached_tokens < 400
    return row.estimated and counted and not row.output_tokens and row.cost_nano == row.uncached_tokens * IN


@each_protocol
@each_mode
def test_an_answer_that_did_not_come_in_time_is_an_estimate(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    with face.router(chain((protocol, fault_server(silence(30))), timeouts=QUICK, **ONCE)) as router:
        error = failing(RequestTimeoutError, face, router, mode, PROMPT)
        (row,) = booked(router)
    assert error.limit in ("attempt", "first_token")
    assert (row.outcome, row.error) == ("failed", "RequestTimeoutError")
    assert is_estimate(row)


def test_a_chat_that_streams_underneath_is_an_estimate_too(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(silence(30))
    with face.router(chain((OPENAI, server), timeouts={**QUICK, "idle": "1s"}, **ONCE)) as router:
        failing(RequestTimeoutError, face, router, "chat", PROMPT)
        (row,) = booked(router)
    assert is_estimate(row)


CUT: dict[str, tuple[Callable[[Protocol], Reply], type[ProviderError]]] = {
    "cut": (lambda protocol: protocol.stream(WORDS).cut_after(0), APIConnectionError),
    "ended": (lambda _: Reply(headers={"content-type": "text/event-stream"}), StreamInterruptedError),
}


@pytest.mark.parametrize("how", CUT)
@each_protocol
def test_a_stream_that_broke_before_its_first_word_is_an_estimate(
    face: Face, fault_server: FaultServers, protocol: Protocol, how: str
) -> None:
    reply, error = CUT[how]
    with face.router(chain((protocol, fault_server(reply(protocol))), **ONCE)) as router:
        failing(error, face, router, "stream", PROMPT)
        (row,) = booked(router)
    assert is_estimate(row)


@each_protocol
def test_an_answer_that_broke_off_is_an_estimate(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.complete(Answer(WORDS)).cut_after_bytes(40))
    with face.router(chain((protocol, server), **ONCE)) as router:
        error = failing(APIConnectionError, face, router, "chat", PROMPT)
        (row,) = booked(router)
    assert error.answer_begun
    assert is_estimate(row)


@each_mode
def test_an_answer_that_is_not_the_protocols_is_an_estimate(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    with face.router(chain((OPENAI, fault_server(html())), **ONCE)) as router:
        failing(MalformedResponseError, face, router, mode, PROMPT)
        (row,) = booked(router)
    assert is_estimate(row)


@each_protocol
@each_mode
def test_an_answer_that_says_nothing_costs_what_it_reports(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply(Answer("", input_tokens=1000, output_tokens=200)))
    with face.router(chain((protocol, server), **ONCE)) as router:
        failing(MalformedResponseError, face, router, mode, PROMPT)
        (row,) = booked(router)
    assert (row.outcome, row.estimated) == ("failed", False)
    assert (row.uncached_tokens, row.output_tokens, row.cost_nano) == (1000, 200, 1000 * IN + 200 * OUT)


LOST: dict[str, Reply] = {"reset": reset_before_headers(), "closed": close_before_headers()}


@pytest.mark.parametrize("how", LOST)
@each_mode
def test_a_connection_that_is_lost_before_any_answer_costs_nothing(
    face: Face, fault_server: FaultServers, mode: Mode, how: str
) -> None:
    with face.router(chain((OPENAI, fault_server(LOST[how])), **ONCE)) as router:
        error = failing(APIConnectionError, face, router, mode, PROMPT)
        (row,) = booked(router)
    assert not error.answer_begun
    assert (row.outcome, row.cost_nano, row.uncached_tokens, row.estimated) == ("failed", 0, 0, False)


@each_mode
def test_a_request_that_was_never_sent_costs_nothing(face: Face, mode: Mode) -> None:
    with refused_port() as port, face.router(chain((OPENAI, f"http://127.0.0.1:{port}/v1"), **ONCE)) as router:
        failing(APIConnectionError, face, router, mode, PROMPT)
        (row,) = booked(router)
    assert (row.outcome, row.cost_nano, row.estimated) == ("failed", 0, False)


@each_mode
def test_a_server_that_is_not_reached_in_time_costs_nothing(face: Face, mode: Mode) -> None:
    limits = {"attempt": "2s", "connect": "200ms"}
    with (
        unanswered_port() as port,
        face.router(chain((OPENAI, f"http://127.0.0.1:{port}/v1"), timeouts=limits, **ONCE)) as router,
    ):
        error = failing(RequestTimeoutError, face, router, mode, PROMPT)
        (row,) = booked(router)
    assert error.limit == "connect"
    assert (row.outcome, row.cost_nano, row.estimated) == ("failed", 0, False)


@each_protocol
@each_mode
def test_a_refusal_costs_nothing(face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode) -> None:
    with face.router(chain((protocol, fault_server(protocol.fails("quota"))), **ONCE)) as router:
        failing(QuotaError, face, router, mode, PROMPT)
        (row,) = booked(router)
    assert (row.outcome, row.cost_nano, row.uncached_tokens, row.estimated) == ("failed", 0, 0, False)


@each_mode
def test_what_a_timeout_cost_counts_beside_the_answer_that_came(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    silent, healthy = fault_server(silence(30)), fault_server(OPENAI.reply(Answer("Here.", input_tokens=1000)))
    with face.router(chain((OPENAI, silent), (OPENAI, healthy), timeouts=QUICK, **ONCE)) as router:
        reply = ask(face, router, mode, PROMPT)
        late, answered = booked(router)
    assert is_estimate(late)
    assert round(reply.cost_usd * 1e9) == answered.cost_nano == 1000 * IN + 7 * OUT
    assert sum(attempt.cost_nano for attempt in reply.attempts) == (late.cost_nano or 0) + answered.cost_nano


# ------------------------------------------------------------------------------------------------ embeddings


def embedding(server: Any, **route: Any) -> dict[str, Any]:
    config = chain((OPENAI, server), **{**ONCE, "params": {}, **route})
    config["routes"]["r"]["model"] = "first/text-embedding-3-small"
    return config


def test_an_embedding_that_did_not_come_in_time_is_an_estimate(face: Face, fault_server: FaultServers) -> None:
    with face.router(embedding(fault_server(silence(30)), timeouts=QUICK)) as router:
        with pytest.raises(RequestTimeoutError):
            face.embed(router, "r", [PROMPT])
        (row,) = booked(router)
    assert (row.outcome, row.error) == ("failed", "RequestTimeoutError")
    assert is_estimate(row)


def test_a_cancelled_embedding_leaves_a_row_for_each_batch_under_way(fault_server: FaultServers) -> None:
    face = Face("async")
    server = fault_server(silence(30))
    with face.router(embedding(server)) as router:

        async def cancelled() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(router.embed("r", [PROMPT] * 3000), 0.5)

        face.run(cancelled)
        rows = booked(router)
    assert {(row.outcome, bool(row.estimated)) for row in rows} == {("cancelled", True)}
    assert len(rows) > 1
    assert all(row.cost_nano for row in rows)
    assert not face.close()
