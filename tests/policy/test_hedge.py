"""Hedging costs no more than the file allows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, strategies as st

from llmrouter.policy.hedge import Hedge


def test_the_first_slow_call_may_be_hedged() -> None:
    hedge = Hedge(1.0, 0.05)
    hedge.called()
    assert hedge.may_start()


def test_of_a_hundred_slow_calls_five_are_hedged_at_five_percent() -> None:
    hedge = Hedge(1.0, 0.05)
    hedged = 0
    for _ in range(100):
        hedge.called()
        hedged += hedge.may_start()
    assert (hedged, hedge.calls, hedge.hedges) == (5, 100, 5)


def test_after_a_long_quiet_time_only_a_small_burst_goes_out() -> None:
    hedge = Hedge(1.0, 0.05)
    for _ in range(100_000):
        hedge.called()
    assert sum(hedge.may_start() for _ in range(100)) == 5


def test_a_share_of_nothing_allows_no_hedge() -> None:
    hedge = Hedge(1.0, 0.0)
    hedge.called()
    assert not hedge.may_start()


@given(st.floats(0.001, 1.0), st.lists(st.booleans(), max_size=300))
def test_hedges_never_exceed_their_share_of_calls_but_for_the_first(share: float, slow: list[bool]) -> None:
    hedge = Hedge(1.0, share)
    for wants in slow:
        hedge.called()
        if wants:
            hedge.may_start()
        assert hedge.hedges <= max(1.0, share * hedge.calls + 1e-6)


def test_threads_share_the_allowance() -> None:
    hedge = Hedge(1.0, 0.1)

    def slow_call(_: int) -> bool:
        hedge.called()
        return hedge.may_start()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(slow_call, range(2000))) <= 200
