"""Hedging costs no more than the file allows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, strategies as st

from llmrouter.policy.hedge import Extra


def test_the_first_slow_call_may_be_hedged() -> None:
    extra = Extra(0.05)
    extra.call()
    assert extra.hedge()


def test_of_a_hundred_slow_calls_five_are_hedged_at_five_percent() -> None:
    extra = Extra(0.05)
    hedged = 0
    for _ in range(100):
        extra.call()
        hedged += extra.hedge()
    assert (hedged, extra.calls, extra.hedges) == (5, 100, 5)


def test_after_a_long_quiet_time_only_a_small_burst_goes_out() -> None:
    extra = Extra(0.05)
    for _ in range(100_000):
        extra.call()
    assert sum(extra.hedge() for _ in range(100)) == 5


def test_a_share_of_nothing_allows_no_hedge() -> None:
    extra = Extra(0.0)
    extra.call()
    assert not extra.hedge()


@given(st.floats(0.001, 1.0), st.lists(st.booleans(), max_size=300))
def test_hedges_never_exceed_their_share_of_calls_but_for_the_first(share: float, slow: list[bool]) -> None:
    extra = Extra(share)
    for wants in slow:
        extra.call()
        if wants:
            extra.hedge()
        assert extra.hedges <= max(1.0, share * extra.calls + 1e-6)


def test_threads_share_the_allowance() -> None:
    extra = Extra(0.1)

    def slow_call(_: int) -> bool:
        extra.call()
        return extra.hedge()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(slow_call, range(2000))) <= 200
