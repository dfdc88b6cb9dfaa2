"""The breaker: when it opens, who may probe, what it forgets, and that it never blocks the last way out."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    DeadlineExceededError,
    LLMRouterError,
    MalformedResponseError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
)
from llmrouter.policy.breaker import (
    PROBE_LEASE_S,
    Admission,
    Blocked,
    Breaker,
    BreakerSettings,
    BreakerState,
    Circuit,
)
from llmrouter.policy.retry import schedule
from llmrouter.store.state import MemoryState

CIRCUIT = Circuit("openai/gpt-6-luna", "breaker-1")
START = 1_800_000_000.0
DOWN = ServerError("down", status=500)


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(MemoryState())


def admitted(found: Admission | Blocked) -> Admission:
    assert isinstance(found, Admission), found
    return found


def blocked(found: Admission | Blocked) -> Blocked:
    assert isinstance(found, Blocked), found
    return found


def fail(breaker: Breaker, now: float, times: int = 1, error: Exception = DOWN) -> None:
    for _ in range(times):
        breaker.failed(Admission(CIRCUIT), error, now)


def opened(breaker: Breaker, now: float = START) -> None:
    fail(breaker, now, 5)
    assert breaker.state(CIRCUIT, now).phase == "open"


# ------------------------------------------------------------------------------------------------ opening


def test_a_target_nobody_has_asked_is_closed(breaker: Breaker) -> None:
    assert breaker.state(CIRCUIT, START) == BreakerState("closed", 0, 0.0, 0.0)
    assert admitted(breaker.allow(CIRCUIT, START)).kind == "normal"


def test_it_opens_at_the_last_failure_that_the_settings_allow(breaker: Breaker) -> None:
    fail(breaker, START, 4)
    admitted(breaker.allow(CIRCUIT, START))
    fail(breaker, START)
    assert blocked(breaker.allow(CIRCUIT, START)).retry_after_s == 30.0


def test_failures_older_than_the_window_do_not_count(breaker: Breaker) -> None:
    fail(breaker, START, 4)
    fail(breaker, START + 61)
    assert breaker.state(CIRCUIT, START + 61) == BreakerState("closed", 1, 0.0, 0.0)


def test_an_answer_between_failures_does_not_reset_the_count(breaker: Breaker) -> None:
    fail(breaker, START, 4)
    breaker.succeeded(Admission(CIRCUIT), START + 1)
    fail(breaker, START + 2)
    assert breaker.state(CIRCUIT, START + 2).phase == "open"


def test_a_busy_target_that_fails_now_and_then_stays_closed(breaker: Breaker) -> None:
    for second in range(60):
        for _ in range(9):
            breaker.succeeded(Admission(CIRCUIT), START + second)
        fail(breaker, START + second)
    assert breaker.state(CIRCUIT, START + 60).phase == "closed"


def test_a_busy_target_that_goes_down_opens_within_seconds(breaker: Breaker) -> None:
    for second in range(60):
        for _ in range(9):
            breaker.succeeded(Admission(CIRCUIT), START + second)
    fail(breaker, START + 60, 9)
    assert breaker.state(CIRCUIT, START + 60).phase == "open"


@pytest.mark.parametrize(
    "error",
    [
        ServerError("x"),
        OverloadedError("x", status=529),
        APIConnectionError("x"),
        RequestTimeoutError("x"),
        MalformedResponseError("x"),
        StreamInterruptedError("x"),
        RateLimitError("x", status=429),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_target_does_wrong_counts(breaker: Breaker, error: ProviderError) -> None:
    fail(breaker, START, 5, error)
    assert breaker.state(CIRCUIT, START).phase == "open"


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("x", status=400),
        AuthenticationError("x", status=401),
        ContentFilterError("x"),
        QuotaError("x", status=402),
        DeadlineExceededError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_caller_does_wrong_does_not_count(breaker: Breaker, error: LLMRouterError) -> None:
    fail(breaker, START, 50, error)
    assert breaker.state(CIRCUIT, START) == BreakerState()


def test_a_stream_longer_than_its_total_limit_does_not_count(breaker: Breaker) -> None:
    error = RequestTimeoutError("too long")
    error.limit = "total"
    fail(breaker, START, 5, error)
    assert breaker.state(CIRCUIT, START).phase == "closed"


def test_settings_of_none_switch_it_off(breaker: Breaker) -> None:
    circuit = Circuit("openai/gpt-6-luna", "breaker-1", None)
    for _ in range(50):
        breaker.failed(Admission(circuit), DOWN, START)
    assert admitted(breaker.allow(circuit, START)).kind == "normal"
    assert breaker.state(circuit, START) == BreakerState()


def test_targets_have_breakers_of_their_own(breaker: Breaker) -> None:
    opened(breaker)
    other = Circuit("google/gemini-3.8-flash", "breaker-2")
    assert admitted(breaker.allow(other, START)).kind == "normal"


def test_routes_that_use_one_target_share_its_breaker(breaker: Breaker) -> None:
    opened(breaker)
    elsewhere = Circuit(CIRCUIT.target, CIRCUIT.key, BreakerSettings(failures=50))
    assert blocked(breaker.allow(elsewhere, START)).state.phase == "open"


# ------------------------------------------------------------------------------------------------ open and half-open


def test_after_the_cooldown_exactly_one_probe_goes(breaker: Breaker) -> None:
    opened(breaker)
    assert admitted(breaker.allow(CIRCUIT, START + 30)).kind == "probe"
    assert blocked(breaker.allow(CIRCUIT, START + 30)).state.phase == "half_open"


def test_a_probe_that_is_answered_closes_it(breaker: Breaker) -> None:
    opened(breaker)
    breaker.succeeded(admitted(breaker.allow(CIRCUIT, START + 30)), START + 31)
    assert breaker.state(CIRCUIT, START + 31) == BreakerState()


def test_a_probe_that_fails_opens_it_for_another_cooldown(breaker: Breaker) -> None:
    opened(breaker)
    breaker.failed(admitted(breaker.allow(CIRCUIT, START + 30)), DOWN, START + 31)
    assert blocked(breaker.allow(CIRCUIT, START + 60.9)).state.phase == "open"
    assert admitted(breaker.allow(CIRCUIT, START + 61)).kind == "probe"


def test_a_probe_that_is_refused_for_its_own_fault_closes_it(breaker: Breaker) -> None:
    opened(breaker)
    probe = admitted(breaker.allow(CIRCUIT, START + 30))
    breaker.failed(probe, BadRequestError("no such parameter", status=400), START + 31)
    assert breaker.state(CIRCUIT, START + 31).phase == "closed"


def test_an_abandoned_probe_makes_room_for_the_next(breaker: Breaker) -> None:
    opened(breaker)
    breaker.abandoned(admitted(breaker.allow(CIRCUIT, START + 30)), START + 31)
    assert admitted(breaker.allow(CIRCUIT, START + 31)).kind == "probe"


def test_a_probe_whose_holder_died_makes_room_after_its_lease(breaker: Breaker) -> None:
    opened(breaker)
    admitted(breaker.allow(CIRCUIT, START + 30))
    blocked(breaker.allow(CIRCUIT, START + 59.9))
    assert admitted(breaker.allow(CIRCUIT, START + 60)).kind == "probe"


def test_a_failure_while_open_extends_the_open_time(breaker: Breaker) -> None:
    opened(breaker)
    fail(breaker, START + 20)
    assert breaker.state(CIRCUIT, START + 20).retry_in_s == 30.0


def test_an_answer_to_a_request_from_before_leaves_it_open(breaker: Breaker) -> None:
    early = admitted(breaker.allow(CIRCUIT, START))
    opened(breaker)
    breaker.succeeded(early, START + 1)
    assert breaker.state(CIRCUIT, START + 1).phase == "open"


def test_an_open_target_keeps_waiting_for_its_probe_for_minutes(breaker: Breaker) -> None:
    opened(breaker)
    assert admitted(breaker.allow(CIRCUIT, START + 500)).kind == "probe"


def test_the_last_usable_rung_is_never_blocked(breaker: Breaker) -> None:
    opened(breaker)
    assert admitted(breaker.allow(CIRCUIT, START, last_resort=True)).kind == "last_resort"


def test_a_last_resort_that_is_answered_closes_it(breaker: Breaker) -> None:
    opened(breaker)
    breaker.succeeded(admitted(breaker.allow(CIRCUIT, START + 1, last_resort=True)), START + 2)
    assert admitted(breaker.allow(CIRCUIT, START + 2)).kind == "normal"


# ------------------------------------------------------------------------------------------------ not before


def test_a_429_with_a_delay_asks_everybody_to_wait_and_counts_as_no_failure(breaker: Breaker) -> None:
    fail(breaker, START, 9, RateLimitError("slow down", status=429, retry_after=7.0))
    assert breaker.state(CIRCUIT, START) == BreakerState("closed", 0, 0.0, 7.0)
    found = blocked(breaker.allow(CIRCUIT, START + 2))
    assert (found.rests, found.retry_after_s) == (True, 5.0)
    assert admitted(breaker.allow(CIRCUIT, START + 7)).kind == "normal"


def test_a_later_delay_never_shortens_an_earlier_one(breaker: Breaker) -> None:
    fail(breaker, START, 1, RateLimitError("slow down", retry_after=20.0))
    fail(breaker, START + 1, 1, RateLimitError("slow down", retry_after=2.0))
    assert breaker.state(CIRCUIT, START + 1).not_before_s == 19.0


def test_a_delay_of_days_is_not_believed(breaker: Breaker) -> None:
    fail(breaker, START, 1, QuotaError("monthly quota", retry_after=10 * 86400.0))
    assert breaker.state(CIRCUIT, START).not_before_s == 900.0


def test_a_last_resort_learns_how_long_the_target_asked_to_wait(breaker: Breaker) -> None:
    fail(breaker, START, 1, RateLimitError("slow down", retry_after=7.0))
    assert admitted(breaker.allow(CIRCUIT, START + 3, last_resort=True)).wait_s == 4.0


def test_an_answer_does_not_shorten_the_delay(breaker: Breaker) -> None:
    fail(breaker, START, 1, RateLimitError("slow down", retry_after=7.0))
    breaker.succeeded(Admission(CIRCUIT), START + 1)
    assert breaker.state(CIRCUIT, START + 1).not_before_s == 6.0


def test_an_overload_with_a_delay_counts_and_asks_to_wait(breaker: Breaker) -> None:
    fail(breaker, START, 1, OverloadedError("busy", status=503, retry_after=4.0))
    assert breaker.state(CIRCUIT, START) == BreakerState("closed", 1, 0.0, 4.0)


# ------------------------------------------------------------------------------------------------ words


def test_the_error_says_which_target_why_and_for_how_long(breaker: Breaker) -> None:
    opened(breaker)
    error = blocked(breaker.allow(CIRCUIT, START + 10)).error()
    assert error.retry_after == 20.0
    assert str(error) == ("openai/gpt-6-luna is left alone: its breaker is open after 5 failures, next probe in 20.0s")


# ------------------------------------------------------------------------------------------------ properties

Event = tuple[str, float, int]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["allow", "succeeded", "failed", "delayed", "abandoned"]),
        st.floats(0, 20),
        st.integers(0, 5),
    ),
    max_size=60,
)


def play(events: list[Event], check: Callable[[Breaker, list[Admission], str, float], None]) -> None:
    """Let a few callers come and go as `events` say; `check` sees everything after each of them."""
    breaker, now = Breaker(MemoryState()), START
    running: list[Admission] = []
    for what, later, which in events:
        now += later
        if what == "allow":
            found = breaker.allow(CIRCUIT, now)
            if isinstance(found, Admission):
                running.append(found)
        elif running:
            admission = running.pop(which % len(running))
            if what == "succeeded":
                breaker.succeeded(admission, now)
            elif what == "abandoned":
                breaker.abandoned(admission, now)
            else:
                delay = 5.0 if what == "delayed" else None
                breaker.failed(admission, RateLimitError("x", retry_after=delay), now)
        check(breaker, running, what, now)


@given(EVENTS)
def test_a_failure_only_ever_extends_the_open_time_and_the_delay(events: list[Event]) -> None:
    before = [0.0, 0.0]

    def check(breaker: Breaker, running: list[Admission], what: str, now: float) -> None:
        state = breaker.state(CIRCUIT, now)
        until = now + state.retry_in_s if state.phase == "open" else 0.0
        not_before = now + state.not_before_s if state.not_before_s else 0.0
        if what == "failed" and before[0] > now:
            assert until >= before[0] - 1e-6
        if before[1] > now:
            assert not_before >= before[1] - 1e-6
        before[:] = until, not_before

    play(events, check)


@given(EVENTS)
def test_no_two_probes_are_under_way_within_one_lease(events: list[Event]) -> None:
    started: dict[str, float] = {}

    def check(breaker: Breaker, running: list[Admission], what: str, now: float) -> None:
        for admission in running:
            if admission.probe is not None:
                started.setdefault(admission.probe, now)
        probes = [admission.probe for admission in running if admission.probe is not None]
        assert sum(now - started[probe] < 30.0 for probe in probes) <= 1

    play(events, check)


# ------------------------------------------------------------------------------------------------ an outage


@pytest.mark.parametrize("begins", [0.0, 1.3, 2.6, 3.9])
@pytest.mark.parametrize("seed", range(8))
def test_an_outage_of_a_minute_costs_few_requests_and_the_target_is_back_soon_after(seed: int, begins: float) -> None:
    """A call every 4 s, each of up to 3 attempts, the fallback answering whatever the primary does not."""
    random.seed(seed)
    breaker, retry = Breaker(MemoryState()), schedule(3, "exponential", 0.5, 20.0, "full")
    down = (START + begins, START + begins + 60)
    asked: list[float] = []
    answered: list[float] = []
    for number in range(40):
        now = START + 4 * number
        for attempt in range(1, 4):
            admission = breaker.allow(CIRCUIT, now)
            if isinstance(admission, Blocked):
                break
            if not down[0] <= now < down[1]:
                breaker.succeeded(admission, now)
                answered.append(now)
                break
            asked.append(now)
            breaker.failed(admission, DOWN, now)
            now += retry.delay_s(attempt, None) or 0.0
    assert 5 <= len(asked) <= 8
    assert min(at for at in answered if at >= down[1]) <= down[1] + 30


# ------------------------------------------------------------------------------------------------ a clock set back


def test_after_a_clock_was_set_back_the_next_call_is_a_probe(breaker: Breaker) -> None:
    opened(breaker)
    assert admitted(breaker.allow(CIRCUIT, START - 3600)).kind == "probe"
    assert blocked(breaker.allow(CIRCUIT, START - 3600)).retry_after_s == pytest.approx(PROBE_LEASE_S)


def test_a_probe_that_fails_after_a_clock_was_set_back_costs_one_cooldown(breaker: Breaker) -> None:
    opened(breaker)
    fail(breaker, START - 3600)
    assert breaker.state(CIRCUIT, START - 3600).retry_in_s == pytest.approx(30.0)


def test_a_rest_from_before_a_clock_was_set_back_is_over(breaker: Breaker) -> None:
    error = RateLimitError("slowly", status=429)
    error.retry_after = 20.0
    breaker.failed(admitted(breaker.allow(CIRCUIT, START)), error, START)
    assert admitted(breaker.allow(CIRCUIT, START - 3600)).kind == "normal"
