"""Spend limits: nobody overshoots, however many ask at once, and what was not spent is given back."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter import BudgetExceededError
from llmrouter.policy.spend import Per, period_of, worst_case_nano
from llmrouter.prices import Price, rates
from llmrouter.store.spend import Claim, Refused, SpendBook, Tally
from llmrouter.types import Usage
from tests.chains import WORDS, Mode, ask, before, chain, each_mode, failing, outcomes
from tests.conftest import FaultServers
from tests.ledger.rows import start, stored
from tests.servers.protocols import OPENAI, Answer
from tests.servers.replies import silence
from tests.worlds import Face

BILLED = Answer("Here.", input_tokens=1000, output_tokens=200)
COST = 0.003  # PRICE: $1 in, $10 out, for a million tokens
WORST = {"max_tokens": 1000}  # $0.01 and a little for the prompt

# ------------------------------------------------------------------------------------------------ periods

NOW = datetime(2026, 11, 20, 14, 35, 10, tzinfo=UTC).timestamp()  # a Friday
PERIODS: list[tuple[Per, str, str | None]] = [
    ("minute", "minute 2026-11-20T14:35", "2026-11-20T14:36:00+00:00"),
    ("hour", "hour 2026-11-20T14", "2026-11-20T15:00:00+00:00"),
    ("day", "day 2026-11-20", "2026-11-21T00:00:00+00:00"),
    ("week", "week 2026-11-16", "2026-11-23T00:00:00+00:00"),
    ("month", "month 2026-11", "2026-12-01T00:00:00+00:00"),
    ("total", "total", None),
]


@pytest.mark.parametrize(("per", "name", "ends"), PERIODS)
def test_periods_are_of_the_calendar_in_utc(per: Per, name: str, ends: str | None) -> None:
    period = period_of(per, NOW)
    assert period.name == name
    assert period.ends == (None if ends is None else datetime.fromisoformat(ends).timestamp())


@given(st.sampled_from(["minute", "hour", "day", "week", "month"]), st.floats(0, 4e9))
def test_a_period_ends_after_each_moment_in_it_and_the_next_begins_there(per: Per, now: float) -> None:
    period = period_of(per, now)
    assert period.ends is not None
    assert period.ends > now
    assert period_of(per, period.ends).name != period.name
    assert period_of(per, period.ends - 0.001).name == period.name


BUCKETS = st.integers(0, 100_000)


@given(BUCKETS, BUCKETS, BUCKETS, BUCKETS, BUCKETS)
def test_no_bill_is_above_the_worst_case(plain: int, read: int, written: int, answer: int, thought: int) -> None:
    usd = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75, "reasoning": 20}
    price = Price(rates("some-model", usd))
    usage = Usage(plain, answer + thought, read, written, reasoning_tokens=thought)
    worst = worst_case_nano(price, usage.input_tokens, usage.output_tokens)
    assert worst is not None
    assert price.nano_usd(usage) <= worst


# ------------------------------------------------------------------------------------------------ the book


def claim(ceiling: int = 100, scope: str = "route:r") -> Claim:
    return Claim(scope, "day 2026-11-20", NOW + 3600, ceiling)


def test_a_reservation_is_refused_where_there_is_no_room(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    first = book.reserve([claim()], 60, 30, NOW)
    assert book.reserve([claim()], 50, 30, NOW) == Refused(0, Tally(0, 60))
    assert isinstance(first, str)
    book.settle(first, [claim()], 20)
    assert isinstance(book.reserve([claim()], 50, 30, NOW), str)
    assert book.tally(claim(), NOW) == Tally(20, 50)
    book.close()


def test_when_one_limit_refuses_nothing_is_reserved_under_the_others(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    assert book.reserve([claim(100), claim(10, "all")], 50, 30, NOW) == Refused(1, Tally(0, 0))
    assert book.tally(claim(), NOW) == Tally(0, 0)
    book.close()


def test_a_reservation_that_nobody_settles_lapses_after_its_lease(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    late = book.reserve([claim()], 100, 30, NOW)
    assert isinstance(book.reserve([claim()], 1, 30, NOW + 29), Refused)
    assert isinstance(book.reserve([claim()], 90, 30, NOW + 31), str)
    assert isinstance(late, str)
    book.settle(late, [claim()], 10)  # it was only slow: what it spent counts all the same
    assert book.tally(claim(), NOW + 31) == Tally(10, 90)
    book.close()


def test_what_was_spent_survives_a_restart(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    book.settle("", [claim()], 70)
    book.close()
    again = SpendBook(tmp_path)
    assert again.tally(claim(), NOW) == Tally(70, 0)
    again.close()


def test_a_new_period_begins_at_zero(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    book.settle("", [claim()], 100)
    assert book.tally(claim()._replace(period="day 2026-11-21"), NOW) == Tally(0, 0)
    book.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, None], ids=["corrupt", "no place"])
def test_a_file_that_cannot_be_used_leaves_the_limit_to_this_process(
    tmp_path: Path, warnings: list[str], content: bytes | None
) -> None:
    if content is None:
        (tmp_path / "state").write_text("in the way")
    else:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "spend.db").write_bytes(content)
    book = SpendBook(tmp_path / "state")
    assert isinstance(book.reserve([claim()], 60, 30, NOW), str)
    assert isinstance(book.reserve([claim()], 60, 30, NOW), Refused)
    assert len(warnings) == 1
    assert "hold in it alone" in warnings[0]
    book.close()


def test_a_forked_process_counts_in_the_same_file(tmp_path: Path) -> None:
    book = SpendBook(tmp_path)
    book.settle("", [claim()], 1)
    pid = os.fork()
    if pid == 0:
        book.settle("", [claim()], 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    book.settle("", [claim()], 1)
    assert book.tally(claim(), NOW) == Tally(3, 0)
    book.close()


# ------------------------------------------------------------------------------------------------ calls


def limited(
    *rungs: Any, usd: float = 0.012, on_exceed: str = "error", per: str = "day", **route: Any
) -> dict[str, Any]:
    """Return a chain whose route may spend `usd`."""
    return chain(*rungs, params=WORST, spend_limit={"usd": usd, "per": per, "on_exceed": on_exceed}, **route)


@each_mode
def test_a_call_above_the_limit_is_refused_before_any_request(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    server = fault_server(OPENAI.reply(BILLED))
    with face.router(limited((OPENAI, server))) as router:
        ask(face, router, mode)
        error = failing(BudgetExceededError, face, router, mode)
    assert len(server.requests) == 1
    assert (error.limit_usd, error.spent_usd, error.reserved_usd) == (0.012, COST, 0.0)
    assert error.resets_at == period_of("day", datetime.now(UTC).timestamp()).ends
    told = str(error)
    assert "spend_limit of route 'r', $0.012 a day: $0.003 is spent" in told
    assert "up to $0.01" in told
    assert "00:00 UTC" in told


def test_a_total_limit_never_resets(face: Face, fault_server: FaultServers) -> None:
    with face.router(limited((OPENAI, fault_server(OPENAI.reply(BILLED))), usd=0.001, per="total")) as router:
        error = failing(BudgetExceededError, face, router, "chat")
    assert error.resets_at is None
    assert "in total" in str(error)


@each_mode
def test_on_exceed_next_goes_on_to_the_next_rung(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    dear, free = fault_server(OPENAI.reply("Dear.")), fault_server(OPENAI.reply("Free."))
    config = limited((OPENAI, dear), (OPENAI, free), usd=0.001, on_exceed="next")
    config["prices"]["second/*"] = {"input": 0, "output": 0}
    with face.router(config) as router:
        reply = ask(face, router, mode)
    assert reply.content == "Free."
    assert outcomes(reply) == [("first", "skipped"), ("second", "ok")]
    assert "spend_limit" in (reply.attempts[0].reason or "")
    assert not dear.requests


@pytest.mark.parametrize("where", ["provider", "all"])
def test_limits_of_a_provider_and_of_all_routes_hold_too(face: Face, fault_server: FaultServers, where: str) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))), params=WORST)
    (config if where == "all" else config["providers"]["first"])["spend_limit"] = {"usd": 0.012}
    with face.router(config) as router:
        ask(face, router, "chat")
        error = failing(BudgetExceededError, face, router, "chat")
    assert f"spend_limit of {'all routes' if where == 'all' else 'provider'}" in str(error)


@each_mode
def test_a_failure_that_was_not_billed_is_refunded(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    failed, healthy = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply(BILLED))
    with face.router(limited((OPENAI, failed), (OPENAI, healthy))) as router:
        assert ask(face, router, mode).cost_usd == COST
    assert len(failed.requests) == 3


def tally(router: Any) -> Tally:
    """Return how the limit of route `r` stands."""
    now = datetime.now(UTC).timestamp()
    limit, period = router.plan("r").spend_limits[0], period_of("day", now)
    found: Tally = guard(router)._book.tally(Claim(limit.scope, period.name, period.ends, limit.nano), now)
    return found


def guard(router: Any) -> Any:
    return next(each for each in router._pipeline.guards if type(each).__name__ == "SpendGuard")


def test_an_abandoned_stream_is_settled(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream(WORDS).stalled(before(OPENAI.chunks(WORDS), "w20"), 30))
    with face.router(limited((OPENAI, server))) as router:
        with face.stream(router, "r", "hello") as stream:
            words = iter(stream)
            next(words)
            assert tally(router).reserved > 0
        assert tally(router) == Tally(round(router.total_cost * 1e9), 0)


def test_a_cancelled_task_is_settled(fault_server: FaultServers) -> None:
    face = Face("async")
    with face.router(limited((OPENAI, fault_server(silence(30))))) as router:

        async def cancelled() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(router.chat("r", "hello"), 0.3)

        face.run(cancelled)
        assert tally(router) == Tally(round(router.total_cost * 1e9), 0)
    assert not face.close()


def test_a_cached_answer_takes_nothing_from_the_limit(face: Face, fault_server: FaultServers) -> None:
    with face.router(limited((OPENAI, fault_server(OPENAI.reply(BILLED))), cache="1h")) as router:
        assert [ask(face, router, "chat").cached for _ in range(3)] == [False, True, True]


def test_a_target_without_a_price_is_refused_with_the_way_out(face: Face, fault_server: FaultServers) -> None:
    config = limited((OPENAI, fault_server(OPENAI.reply(BILLED))))
    del config["prices"]
    with face.router(config) as router:
        error = failing(BudgetExceededError, face, router, "chat")
    assert "its price is unknown; give it one under `prices:`" in str(error)


def test_a_target_without_any_bound_on_its_answer_is_refused(face: Face, fault_server: FaultServers) -> None:
    config = limited((OPENAI, fault_server(OPENAI.reply(BILLED))))
    config["routes"]["r"] |= {"params": {}, "model": "first/nobody-knows-it"}
    with face.router(config) as router:
        error = failing(BudgetExceededError, face, router, "chat")
    assert "set `max_tokens`" in str(error)


def test_calls_at_once_do_not_overshoot_together(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.complete(BILLED).after(0.1))
    with face.router(limited((OPENAI, server), usd=0.05)) as router:
        replies = face.at_once([partial(router.chat, "r", f"hello {number}") for number in range(16)])
        assert sum(isinstance(reply, BudgetExceededError) for reply in replies) == 12
        assert tally(router) == Tally(4 * 3_000_000, 0)


# ------------------------------------------------------------------------------------------------ processes

WORKER = """
import asyncio, json, sys
from llmrouter import AsyncRouter, BudgetExceededError
async def main():
    async with AsyncRouter(json.loads(sys.argv[1])) as router:
        calls = (router.chat("r", f"hello {sys.argv[2]} {n}") for n in range(16))
        replies = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(r, BudgetExceededError) or not isinstance(r, BaseException) for r in replies), replies
    print(sum(round(r.cost_usd * 1e9) for r in replies if not isinstance(r, BaseException)))
asyncio.run(main())
"""
RUNS = int(os.environ.get("LLMROUTER_SPEND_RUNS", "1"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", range(RUNS))
def test_64_calls_in_4_processes_stay_within_a_dollar(tmp_path: Path, fault_server: FaultServers, number: int) -> None:
    dear = Answer("Here.", input_tokens=10, output_tokens=4500 + number)  # about $0.045 of $0.05
    server = fault_server(OPENAI.complete(dear).after(0.05))
    config = {
        **chain((OPENAI, server), params={"max_tokens": 4990}, spend_limit={"usd": 1}, deadline="30s"),
        "ledger": {"path": str(tmp_path / "usage.db")},
    }
    processes = [start(WORKER, json.dumps(config), name) for name in "abcd"]
    spent = 0
    for process in processes:
        with process:
            out, errors = process.communicate(timeout=100)
        assert (process.returncode, errors) == (0, "")
        spent += int(out)
    rows = stored(tmp_path / "usage.db")
    assert sum(row.cost_nano or 0 for row in rows) == spent <= 10**9
    assert len(server.requests) == len(rows) > 16


KILLED = """
import json, sys
from llmrouter import Router
Router(json.loads(sys.argv[1])).chat("r", "hello")
"""


@pytest.mark.timeout(120)  # a program that imports an SDK takes its time on a busy machine
def test_a_killed_processs_reservation_holds_until_its_lease_ends(tmp_path: Path, fault_server: FaultServers) -> None:
    server = fault_server(silence(30))
    ledger = {"path": str(tmp_path / "usage.db")}
    config = {**limited((OPENAI, server), timeouts={"total": "90s"}), "ledger": ledger}
    with start(KILLED, json.dumps(config)) as process:
        assert server.wait_for(lambda it: bool(it.requests), 90)
        process.kill()
    now = datetime.now(UTC).timestamp()
    period = period_of("day", now)
    kept, book = Claim("route:r", period.name, period.ends, 10**9), SpendBook(tmp_path)
    assert book.tally(kept, now).reserved > 10_000_000
    assert book.tally(kept, now + 90 + 60 + 1).reserved == 0
    book.close()
