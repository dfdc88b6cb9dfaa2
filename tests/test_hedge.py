"""A slow rung is helped by the next one: the first answer counts, the other attempt is cancelled and booked."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

import pytest

from llmrouter import AllTargetsFailedError, AsyncRouter, AuthenticationError, QuotaError, Router
from tests.chains import (
    NAMES,
    Mode,
    another_than,
    ask,
    chain,
    each_mode,
    each_protocol,
    failing,
    outcomes,
    within,
)
from tests.conftest import FaultServers
from tests.ledger.rows import ALL
from tests.servers.faults import FaultServer, unanswered_port
from tests.servers.protocols import ANTHROPIC, OPENAI, Answer, Protocol
from tests.servers.replies import silence
from tests.worlds import Face

HEDGED: dict[str, Any] = {"hedge": {"after": "100ms", "max_extra": "100%"}}
PATIENT: dict[str, Any] = {**HEDGED, "timeouts": {"connect": "30s", "attempt": "30s"}, "deadline": "1m"}


def open_clients(face: Face, router: Any, *rungs: tuple[Protocol, FaultServer]) -> None:
    """Ask each target once, its script put aside: an SDK that is being opened may not pass for a slow rung."""
    for name, (protocol, server) in zip(NAMES, rungs, strict=False):
        with server.aside(protocol.reply()):
            face.chat(router, f"{name}/{protocol.model}", "hello")


@each_protocol
@each_mode
def test_when_the_first_rung_is_slow_the_second_answers_and_the_first_is_cut_short(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    slow, quick = fault_server(silence(30)), fault_server(another_than(protocol).reply("Quick."))
    rungs = (protocol, slow), (another_than(protocol), quick)
    with face.router(chain(*rungs, **HEDGED)) as router:
        open_clients(face, router, *rungs)
        with within(2.0):
            assert ask(face, router, mode).content == "Quick."
        assert slow.wait_for(lambda server: len(server.early_closes) == 1)
    assert (len(slow.requests), len(quick.requests)) == (1, 1)


@each_mode
def test_both_attempts_are_told_of_and_booked(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    answer = Answer("Quick.", input_tokens=100, output_tokens=20)
    slow, quick = fault_server(silence(30)), fault_server(ANTHROPIC.reply(answer))
    with face.router(chain((OPENAI, slow), (ANTHROPIC, quick), **HEDGED)) as router:
        open_clients(face, router, (OPENAI, slow), (ANTHROPIC, quick))
        before = router.total_cost
        reply = ask(face, router, mode)
        face.run(router.close)
        rows = {row.key.partition("/")[0]: row for row in face.run(router.usage, by="target").rows}
        errors = [row.error for row in router.ledger.read(ALL) if row.outcome == "cancelled"]
        total = router.total_cost
    assert sorted(outcomes(reply)) == [("first", "cancelled"), ("second", "ok")]
    assert set(rows) == {"first", "second"}
    [lost] = [attempt for attempt in reply.attempts if attempt.outcome == "cancelled"]
    assert isinstance(lost.error, asyncio.CancelledError)
    assert errors == ["CancelledError"]  # the same word in both worlds
    assert lost.usage.estimated  # the provider has the prompt, and nobody knows what it will bill
    assert total - before == pytest.approx(reply.cost_usd + lost.cost_usd)


@each_mode
def test_a_first_rung_that_answers_in_time_is_asked_alone(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    first, second = fault_server(OPENAI.reply("First.")), fault_server()
    config = chain((OPENAI, first), (OPENAI, second), hedge={"after": "2s", "max_extra": "100%"})
    with face.router(config) as router:
        for _ in range(5):
            assert ask(face, router, mode).content == "First."
    assert not second.requests


@each_mode
def test_a_slow_first_rung_that_is_still_first_keeps_its_answer(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    first, second = fault_server(OPENAI.complete("First.").after(0.3)), fault_server(silence(30))
    if mode == "stream":
        first.script(OPENAI.stream("First.").after(0.3))
    with face.router(chain((OPENAI, first), (OPENAI, second), **HEDGED)) as router:
        open_clients(face, router, (OPENAI, first), (OPENAI, second))
        with within(2.0):
            assert ask(face, router, mode).content == "First."
        assert second.wait_for(lambda server: len(server.early_closes) == 1)


@each_mode
def test_a_first_rung_that_cannot_even_be_connected_to_does_not_hold_the_answer_up(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    quick = fault_server(OPENAI.reply("Quick."))
    with unanswered_port() as port:
        config = chain((OPENAI, f"http://127.0.0.1:{port}"), (OPENAI, quick), **PATIENT)
        with face.router(config) as router, within(1.5):
            assert ask(face, router, mode).content == "Quick."


@each_mode
def test_a_first_rung_whose_handshake_hangs_does_not_hold_the_answer_up(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    quick = fault_server(OPENAI.reply("Quick."))
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # connects, and never says a word of TLS
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        config = chain((OPENAI, url), (OPENAI, quick), **PATIENT)
        with face.router(config) as router, within(1.5):
            assert ask(face, router, mode).content == "Quick."


@each_mode
@pytest.mark.usefixtures("lost_names")
def test_a_first_rung_whose_name_nobody_resolves_does_not_hold_the_answer_up(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    quick = fault_server(OPENAI.reply("Quick."))
    config = chain((OPENAI, "http://lost.invalid"), (OPENAI, quick), **PATIENT)
    with face.router(config) as router, within(1.5):
        assert ask(face, router, mode).content == "Quick."


@each_mode
def test_when_both_fail_the_first_ones_error_is_raised_and_none_is_asked_twice(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    first = fault_server(OPENAI.fails("quota").after(0.3))
    second = fault_server(OPENAI.fails("authentication"))
    with face.router(chain((OPENAI, first), (OPENAI, second), **HEDGED)) as router:
        error = failing(AllTargetsFailedError, face, router, mode)
    assert isinstance(error.__cause__, QuotaError)
    assert any(isinstance(attempt.error, AuthenticationError) for attempt in error.attempts)
    assert (len(first.requests), len(second.requests)) == (1, 1)


@each_mode
def test_a_rung_after_the_two_is_asked_when_both_have_failed(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    first, second = fault_server(OPENAI.fails("quota").after(0.3)), fault_server(OPENAI.fails("quota"))
    third = fault_server(OPENAI.reply("Third."))
    with face.router(chain((OPENAI, first), (OPENAI, second), (OPENAI, third), **HEDGED)) as router:
        assert ask(face, router, mode).content == "Third."


def test_extra_calls_stay_within_their_share(face: Face, fault_server: FaultServers) -> None:
    first, second = fault_server(OPENAI.complete("First.").after(0.08)), fault_server(silence(30))
    config = chain((OPENAI, first), (OPENAI, second), hedge={"after": "20ms", "max_extra": "10%"})
    with face.router(config) as router:
        for _ in range(30):
            assert ask(face, router, "chat").content == "First."
    assert 1 <= len(second.requests) <= 3  # 10 % of 30


def test_the_first_slow_call_of_all_may_be_helped(face: Face, fault_server: FaultServers) -> None:
    slow, quick = fault_server(silence(30)), fault_server(OPENAI.reply("Quick."))
    with face.router(chain((OPENAI, slow), (OPENAI, quick), hedge={"after": "50ms"})) as router, within(2.0):
        assert ask(face, router, "chat").content == "Quick."


def test_many_slow_calls_at_once_are_each_answered_once(face: Face, fault_server: FaultServers) -> None:
    slow, quick = fault_server(silence(30)), fault_server(OPENAI.reply("Quick."))
    with face.router(chain((OPENAI, slow), (OPENAI, quick), **HEDGED)) as router, within(5.0):
        replies = face.at_once([partial(router.chat, "r", f"question {number}") for number in range(4)])
    assert [reply.content for reply in replies] == ["Quick."] * 4
    assert len(quick.requests) == 4


@each_mode
def test_the_winner_is_cached_under_its_own_rung(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    slow, quick = fault_server(silence(30)), fault_server(OPENAI.reply("Quick."))
    config = chain((OPENAI, slow), (OPENAI, quick), cache={"ttl": "1h"}, **HEDGED)
    with face.router(config) as router:
        assert not ask(face, router, mode).cached
        slow.script(OPENAI.reply("First."))
        assert ask(face, router, mode).content == "First."


@each_mode
def test_a_follower_whose_leader_lost_the_race_is_not_held_up(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    slow, quick = fault_server(silence(30)), fault_server(OPENAI.reply("Quick."))
    config = chain((OPENAI, slow), (OPENAI, quick), cache={"ttl": "1h"}, timeouts={"attempt": "20s"}, **HEDGED)
    with face.router(config) as router, within(4.0):
        replies = face.at_once([partial(router.chat, "r", "the same question")] * 3)
    assert [reply.content for reply in replies] == ["Quick."] * 3


def test_a_target_whose_breaker_is_open_is_not_asked_as_a_hedge(face: Face, fault_server: FaultServers) -> None:
    first, second = fault_server(OPENAI.complete("First.").after(0.2)), fault_server(OPENAI.fails("server"))
    config = chain((OPENAI, first), (OPENAI, second), breaker={"failures": 3, "cooldown": "1m"}, **HEDGED)
    with face.router(config) as router:
        for _ in range(3):
            assert ask(face, router, "chat").content == "First."
        asked = len(second.requests)
        assert ask(face, router, "chat").content == "First."
    assert asked == len(second.requests) == 3


def test_the_reader_of_a_hedged_stream_may_ask_the_same_meanwhile(fault_server: FaultServers) -> None:
    slow, quick = fault_server(silence(30)), fault_server(OPENAI.reply("one two three"))
    config = chain((OPENAI, slow), (OPENAI, quick), cache={"ttl": "1h"}, **HEDGED)
    with Router(config) as router, router.stream("r", "hello") as stream:
        reading = iter(stream)
        text = next(reading)
        with within(2.0):  # nobody waits for themselves, though the race has threads of its own
            assert router.chat("r", "hello").content == "one two three"
        assert text + "".join(reading) == "one two three"


def test_the_task_that_reads_a_hedged_stream_may_ask_the_same_meanwhile(fault_server: FaultServers) -> None:
    slow, quick = fault_server(silence(30)), fault_server(OPENAI.reply("one two three"))
    config = chain((OPENAI, slow), (OPENAI, quick), cache={"ttl": "1h"}, **HEDGED)

    async def asked() -> str:
        async with AsyncRouter(config) as router, router.stream("r", "hello") as stream:
            reading = aiter(stream)
            text = await anext(reading)
            with within(2.0):
                assert (await router.chat("r", "hello")).content == "one two three"
            return text + "".join([piece async for piece in reading])

    assert asyncio.run(asked()) == "one two three"
