"""Limits: never more than the file allows, nobody overtaken, and what was not used is given back."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings, strategies as st

from llmrouter.policy.limits import Limiter, Limits, Reservation, Scope, Subject
from llmrouter.store.state import MemoryState

START = 1_800_000_000.25


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(MemoryState())


def scope(requests: int | None = None, tokens: int | None = None, at_once: int | None = None) -> Scope:
    return Scope.of(Subject("provider openai", "limits-openai", Limits(requests, tokens, at_once)))


def grants(limiter: Limiter, where: Scope, now: float, times: int, tokens: int = 0) -> list[Reservation]:
    found = [limiter.reserve(where, tokens, now) for _ in range(times)]
    return [each for each in found if each.granted]


# ------------------------------------------------------------------------------------------------ a minute


def test_without_limits_everything_passes_and_nothing_is_written(limiter: Limiter) -> None:
    reservation = limiter.reserve(Scope.of(Subject("x", "x", Limits())), 10**9, START)
    assert reservation.granted
    limiter.settle(reservation, START)
    limiter.cancel(reservation, START)


def test_a_full_minute_says_how_long_until_there_is_room(limiter: Limiter) -> None:
    where = scope(requests=3)
    assert len(grants(limiter, where, START, 5)) == 3
    refused = limiter.reserve(where, 0, START + 10)
    assert not refused.granted
    assert refused.wait_s == pytest.approx(62 - 0.25 - 10)
    assert limiter.reserve(where, 0, START + 10 + refused.wait_s).granted


def test_the_error_names_the_limit_and_the_wait(limiter: Limiter) -> None:
    where = scope(requests=1)
    grants(limiter, where, START, 1)
    error = limiter.reserve(where, 0, START).error()
    assert str(error) == "provider openai: 1 requests a minute is full for another 61.8s"
    assert error.retry_after == pytest.approx(61.75)


def test_tokens_count_by_what_is_reserved(limiter: Limiter) -> None:
    where = scope(tokens=1000)
    assert limiter.reserve(where, 700, START).granted
    assert not limiter.reserve(where, 301, START).granted
    assert limiter.reserve(where, 300, START).granted


def test_tokens_that_were_not_used_are_given_back(limiter: Limiter) -> None:
    where = scope(tokens=1000)
    limiter.settle(limiter.reserve(where, 1000, START), START + 5, tokens=100)
    assert limiter.reserve(where, 900, START + 5).granted


def test_tokens_beyond_what_was_reserved_are_booked_too(limiter: Limiter) -> None:
    where = scope(tokens=1000)
    limiter.settle(limiter.reserve(where, 100, START), START + 5, tokens=950)
    assert not limiter.reserve(where, 100, START + 5).granted


def test_usage_that_never_came_stays_as_reserved(limiter: Limiter) -> None:
    where = scope(tokens=1000)
    limiter.settle(limiter.reserve(where, 1000, START), START + 5)
    assert not limiter.reserve(where, 1, START + 5).granted


def test_a_request_larger_than_the_limit_never_passes_and_says_so(limiter: Limiter) -> None:
    refused = limiter.reserve(scope(tokens=1000), 1001, START, patience_s=1e9)
    assert math.isinf(refused.wait_s)
    assert not math.isinf(refused.sleep_s)
    assert str(refused.error()) == (
        "provider openai: 1000 tokens a minute can never be met: the request needs 1001 tokens"
    )


def test_a_cancelled_request_counts_for_nothing(limiter: Limiter) -> None:
    where = scope(requests=1, tokens=100, at_once=1)
    limiter.cancel(limiter.reserve(where, 100, START), START + 1)
    assert limiter.reserve(where, 100, START + 1).granted


def test_a_clock_that_was_set_back_does_not_lock_anybody_out(limiter: Limiter) -> None:
    where = scope(requests=1)
    grants(limiter, where, START + 3600, 1)
    assert limiter.reserve(where, 0, START).granted


@pytest.mark.parametrize("first", ["route", "provider"])
def test_the_narrowest_of_several_limits_decides_and_a_refusal_takes_nothing(limiter: Limiter, first: str) -> None:
    route = Subject("route", "limits-r", Limits(requests_per_minute=1))
    provider = Subject("provider", "limits-p", Limits(requests_per_minute=2))
    both = Scope.of(route, provider) if first == "route" else Scope.of(provider, route)
    assert len(grants(limiter, both, START, 5)) == 1
    assert len(grants(limiter, Scope.of(provider), START, 5)) == 1


# ------------------------------------------------------------------------------------------------ at once


def test_only_so_many_run_at_once(limiter: Limiter) -> None:
    where = scope(at_once=2)
    running = grants(limiter, where, START, 5)
    assert len(running) == 2
    limiter.settle(running[0], START + 1)
    assert len(grants(limiter, where, START + 1, 5)) == 1


def test_a_long_stream_keeps_its_slot(limiter: Limiter) -> None:
    where = scope(at_once=1)
    grants(limiter, where, START, 1)
    assert not grants(limiter, where, START + 3000, 1)


def test_settling_twice_frees_one_slot(limiter: Limiter) -> None:
    where = scope(at_once=2)
    running = grants(limiter, where, START, 2)
    limiter.settle(running[0], START)
    limiter.settle(running[0], START)
    assert len(grants(limiter, where, START, 5)) == 1


def test_sixteen_threads_never_run_more_than_the_limit_at_once(limiter: Limiter) -> None:
    where, lock, running, most = scope(at_once=3), threading.Lock(), 0, 0

    def work(number: int) -> None:
        nonlocal running, most
        reservation = limiter.reserve(where, 0, START + number)
        if not reservation.granted:
            return
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        limiter.settle(reservation, START + number)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(2000)))
    assert 1 <= most <= 3
    assert len(grants(limiter, where, START + 5000, 5)) == 3


# ------------------------------------------------------------------------------------------------ queueing


def queued(limiter: Limiter, where: Scope, now: float, tokens: int = 0) -> Reservation:
    reservation = limiter.reserve(where, tokens, now, patience_s=100)
    assert reservation.queued
    return reservation


def again(limiter: Limiter, waiting: Reservation, now: float) -> Reservation:
    return limiter.reserve(waiting.scope, waiting.tokens, now, patience_s=100, waiting=waiting)


def test_whoever_came_first_goes_first(limiter: Limiter) -> None:
    where = scope(at_once=1)
    (running,) = grants(limiter, where, START, 1)
    first, second = queued(limiter, where, START), queued(limiter, where, START)
    limiter.settle(running, START + 0.1)
    assert not limiter.reserve(where, 0, START + 0.1).granted
    assert not again(limiter, second, START + 0.1).granted
    assert again(limiter, first, START + 0.1).granted


def test_a_small_request_does_not_overtake_a_large_one(limiter: Limiter) -> None:
    where = scope(tokens=1000)
    grants(limiter, where, START, 1, tokens=500)
    large = queued(limiter, where, START, tokens=800)
    assert not limiter.reserve(where, 10, START).granted
    assert again(limiter, large, START + 1).queued


def test_a_waiter_that_gives_up_lets_the_next_one_through(limiter: Limiter) -> None:
    where = scope(tokens=1000)
    grants(limiter, where, START, 1, tokens=500)
    limiter.cancel(queued(limiter, where, START, tokens=800), START)
    assert limiter.reserve(where, 10, START).granted


def test_a_waiter_that_died_loses_its_place_within_two_seconds(limiter: Limiter) -> None:
    where = scope(tokens=1000)
    grants(limiter, where, START, 1, tokens=500)
    queued(limiter, where, START, tokens=800)
    assert limiter.reserve(where, 10, START + 2.01).granted


def test_whoever_may_not_wait_so_long_is_not_queued(limiter: Limiter) -> None:
    where = scope(requests=1)
    grants(limiter, where, START, 1)
    refused = limiter.reserve(where, 0, START, patience_s=30)
    assert not refused.queued
    assert limiter.reserve(where, 0, START + 62).granted


def test_a_waiter_whose_patience_ends_leaves_the_queue(limiter: Limiter) -> None:
    where = scope(at_once=1)
    (running,) = grants(limiter, where, START, 1)
    waiting = queued(limiter, where, START)
    assert not limiter.reserve(where, 0, START + 0.1, patience_s=0.0, waiting=waiting).queued
    limiter.settle(running, START + 0.2)
    assert limiter.reserve(where, 0, START + 0.2).granted


def test_a_waiter_of_one_route_does_not_hold_up_another_route_of_the_provider(limiter: Limiter) -> None:
    provider = Subject("provider", "limits-p", Limits(requests_per_minute=100))
    narrow = Scope.of(Subject("narrow", "limits-n", Limits(requests_per_minute=1)), provider)
    grants(limiter, narrow, START, 1)
    queued(limiter, narrow, START)
    assert limiter.reserve(Scope.of(provider), 0, START).granted


def test_the_wait_of_the_second_in_the_queue_counts_the_first(limiter: Limiter) -> None:
    where = scope(requests=2)
    grants(limiter, where, START, 1)
    grants(limiter, where, START + 10, 1)
    first, second = queued(limiter, where, START + 20), queued(limiter, where, START + 20)
    assert first.wait_s == pytest.approx(62 - 20.25)
    assert second.wait_s == pytest.approx(72 - 20.25)


def test_all_waiters_get_through_in_order_and_in_time(limiter: Limiter) -> None:
    where, now = scope(requests=5), START
    waiting = grants(limiter, where, now, 5) and [queued(limiter, where, now) for _ in range(5)]
    passed: list[str] = []
    while len(passed) < 5 and now < START + 70:
        now += min(each.sleep_s for each in waiting if each.id not in passed)
        found = [again(limiter, each, now) for each in waiting if each.id not in passed]
        passed += [each.id for each in found if each.granted]
    assert passed == [each.id for each in waiting]
    assert now == pytest.approx(START + 61.75, abs=1.1)


# ------------------------------------------------------------------------------------------------ properties

STEPS = st.lists(
    st.tuples(st.floats(0, 15), st.integers(0, 60), st.sampled_from(["", "settle", "cancel"])), max_size=80
)


def most_in_a_minute(sent: Sequence[tuple[float, int]]) -> int:
    return max((sum(n for at, n in sent if start <= at < start + 60) for start, _ in sent), default=0)


@given(STEPS)
def test_no_minute_ever_sees_more_requests_or_tokens_than_allowed(steps: list[tuple[float, int, str]]) -> None:
    limiter, where, now = Limiter(MemoryState()), scope(requests=4, tokens=100), START
    sent: list[tuple[float, int]] = []
    for later, tokens, ends in steps:
        now += later
        reservation = limiter.reserve(where, tokens, now)
        if not reservation.granted:
            continue
        if ends == "cancel":
            limiter.cancel(reservation, now)
            continue
        used = tokens // 2 if ends == "settle" else tokens
        limiter.settle(reservation, now, tokens=used)
        sent.append((now, used))
    assert most_in_a_minute([(at, 1) for at, _ in sent]) <= 4
    assert most_in_a_minute(sent) <= 100


@settings(max_examples=50)
@given(st.integers(1, 4), st.lists(st.tuples(st.floats(0, 3), st.integers(0, 9)), max_size=60))
def test_no_more_than_the_limit_run_at_once_and_none_is_lost(limit: int, steps: list[tuple[float, int]]) -> None:
    limiter, where, now = Limiter(MemoryState()), scope(at_once=limit), START
    running: list[Reservation] = []
    for later, which in steps:
        now += later
        if which < 5:
            running += grants(limiter, where, now, 1)
        elif running:
            limiter.settle(running.pop(which % len(running)), now)
        assert len(running) <= limit
    for reservation in running:
        limiter.settle(reservation, now)
    assert len(grants(limiter, where, now, limit + 2)) == limit


@given(STEPS)
def test_the_wait_that_is_told_is_enough(steps: list[tuple[float, int, str]]) -> None:
    limiter, where, now = Limiter(MemoryState()), scope(requests=4, tokens=100), START
    for later, tokens, _ in steps:
        now += later
        refused = limiter.reserve(where, tokens, now)
        if not refused.granted:
            now += refused.wait_s
            assert limiter.reserve(where, tokens, now).granted
