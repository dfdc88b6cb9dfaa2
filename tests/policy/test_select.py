"""Where a call starts in its chain: each strategy's shares, what moves and what stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from llmrouter.config.models import PriceConfig
from llmrouter.policy.select import Facts, Latencies, Strategy, affinity, next_turn, order
from llmrouter.prices import Price, PriceTable
from llmrouter.store.state import MemoryState
from llmrouter.types import Message, Text

NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Rung:
    target: str
    weight: float = 1.0
    price: Price | None = None


def price(input_usd: str, output_usd: str) -> Price:
    found = PriceTable({"a/*": PriceConfig(input=Decimal(input_usd), output=Decimal(output_usd))}).resolve(
        "a/x", kind="openai"
    )
    assert found is not None
    return found


def starts(strategy: Strategy, rungs: Sequence[Rung], facts: Facts, stats: Latencies | None = None) -> int:
    return order(strategy, rungs, facts, stats or Latencies(), NOW)[0]


def session(number: int) -> bytes:
    return affinity(f"session {number}", ())


ABC = (Rung("a/x"), Rung("b/y"), Rung("c/z"))


@given(
    st.sampled_from(["priority", "weighted", "round_robin", "cheapest", "fastest"]),
    st.lists(st.builds(Rung, st.sampled_from(["a/x", "b/y", "c/z"]), st.floats(0, 10)), min_size=1, max_size=6),
    st.binary(max_size=8),
    st.integers(0, 1000),
    st.sets(st.integers(0, 6)),
)
def test_every_strategy_goes_through_the_whole_chain_the_rest_in_the_order_of_the_file(
    strategy: Strategy, rungs: list[Rung], affinity: bytes, turn: int, avoid: set[int]
) -> None:
    found = order(strategy, rungs, Facts(affinity, turn, avoid=avoid), Latencies(), NOW)
    assert sorted(found) == list(range(len(rungs)))
    assert list(found[1:]) == sorted(found[1:])


def test_priority_starts_at_the_first_whatever_happens() -> None:
    assert order("priority", ABC, Facts(turn=2, avoid={0}), Latencies(), NOW) == (0, 1, 2)


@pytest.mark.parametrize("strategy", ["weighted", "round_robin", "cheapest", "fastest"])
def test_a_rung_to_avoid_is_not_started_with(strategy: Strategy) -> None:
    found = {starts(strategy, ABC, Facts(session(n), n, avoid={0, 2})) for n in range(50)}
    assert found == {1}


@pytest.mark.parametrize("strategy", ["weighted", "round_robin", "cheapest", "fastest"])
def test_where_all_are_to_be_avoided_the_strategy_decides_as_usual(strategy: Strategy) -> None:
    assert starts(strategy, ABC, Facts(session(1), 1, avoid={0, 1, 2})) == starts(strategy, ABC, Facts(session(1), 1))


# ------------------------------------------------------------------------------------------------ weighted


def test_weights_hold_over_many_sessions() -> None:
    rungs = (Rung("a/x", 3.0), Rung("b/y", 1.0), Rung("c/z", 0.0))
    found = Counter(starts("weighted", rungs, Facts(session(n))) for n in range(4000))
    assert found[2] == 0
    assert 2880 < found[0] < 3120  # 3000, within four standard deviations


def test_one_session_always_starts_at_the_same_rung() -> None:
    assert len({starts("weighted", ABC, Facts(session(7))) for _ in range(20)}) == 1


def test_taking_a_rung_away_moves_only_the_sessions_that_were_its_own() -> None:
    for number in range(500):
        before = ABC[starts("weighted", ABC, Facts(session(number)))].target
        after = ABC[starts("weighted", ABC[:2], Facts(session(number)))].target
        assert after == before or before == "c/z"


def test_raising_a_weight_moves_sessions_only_to_that_rung() -> None:
    heavier = (ABC[0], Rung("b/y", 5.0), ABC[2])
    for number in range(500):
        before, after = (starts("weighted", rungs, Facts(session(number))) for rungs in (ABC, heavier))
        assert after in (before, 1)


def test_the_same_target_twice_in_a_chain_gets_both_shares() -> None:
    twice = (Rung("a/x"), Rung("a/x"))
    found = Counter(starts("weighted", twice, Facts(session(n))) for n in range(1000))
    assert 430 < found[0] < 570


def test_without_a_session_the_system_prompt_and_the_first_user_message_keep_calls_together() -> None:
    opening = (Message("system", "Be brief."), Message("user", "What is a lake?"))
    longer = (*opening, Message("assistant", "Water."), Message("user", "And a river?"))
    assert affinity(None, opening) == affinity(None, longer)


def test_another_first_question_is_another_affinity() -> None:
    system = Message("system", "Be brief.")
    assert affinity(None, (system, Message("user", "a"))) != affinity(None, (system, Message("user", "b")))


def test_a_session_wins_over_the_prompt() -> None:
    assert affinity("s", (Message("user", "a"),)) == affinity("s", (Message("user", "b"),))


def test_text_parts_count_as_their_text() -> None:
    assert affinity(None, (Message("user", (Text("a"),)),)) == affinity(None, (Message("user", "a"),))


# ------------------------------------------------------------------------------------------------ round robin


def test_round_robin_gives_each_rung_its_turn() -> None:
    state = MemoryState()
    found = [starts("round_robin", ABC, Facts(turn=next_turn(state, "turn", NOW))) for _ in range(6)]
    assert found == [0, 1, 2, 0, 1, 2]


# ------------------------------------------------------------------------------------------------ cheapest


def test_the_cheapest_rung_depends_on_the_request() -> None:
    rungs = (Rung("a/x", price=price("0.1", "5.0")), Rung("b/y", price=price("1.0", "1.0")))
    assert starts("cheapest", rungs, Facts(prompt_tokens=100_000, output_tokens=10)) == 0
    assert starts("cheapest", rungs, Facts(prompt_tokens=10, output_tokens=4000)) == 1


def test_a_rung_of_unknown_price_is_the_dearest() -> None:
    rungs = (Rung("a/x"), Rung("b/y", price=price("50.0", "100.0")))
    assert starts("cheapest", rungs, Facts(prompt_tokens=100)) == 1


def test_equal_prices_leave_the_order_of_the_file() -> None:
    same = price("1.0", "2.0")
    assert starts("cheapest", (Rung("a/x", price=same), Rung("b/y", price=same)), Facts(prompt_tokens=9)) == 0


# ------------------------------------------------------------------------------------------------ fastest


def known(**seconds: float) -> Latencies:
    stats = Latencies()
    for name, took in seconds.items():
        stats.answered({"a": "a/x", "b": "b/y", "c": "c/z"}[name], took, NOW)
    return stats


def test_the_fastest_rung_takes_nearly_every_call() -> None:
    stats = known(a=3.0, b=0.5, c=2.0)
    found = Counter(starts("fastest", ABC, Facts(turn=turn), stats) for turn in range(100))
    assert found == {1: 100}


def test_targets_that_nobody_has_tried_get_tried() -> None:
    stats = known(a=0.1)
    found = Counter(starts("fastest", ABC, Facts(turn=turn), stats) for turn in range(100))
    assert found == {0: 50, 1: 25, 2: 25}


def test_a_speed_measured_long_ago_is_measured_again_now_and_then() -> None:
    stats = Latencies()
    stats.answered("a/x", 0.1, NOW)
    stats.answered("b/y", 9.0, NOW - 3600)
    found = Counter(starts("fastest", ABC[:2], Facts(turn=turn), stats) for turn in range(100))
    assert found == {0: 90, 1: 10}


def test_a_target_that_fails_fast_is_not_the_fastest() -> None:
    stats = known(a=1.0, b=1.2)
    stats.failed("a/x", 0.001, NOW)
    assert starts("fastest", ABC[:2], Facts(turn=1), stats) == 1


def test_the_newest_measurements_count_most() -> None:
    stats = known(a=10.0)
    for _ in range(10):
        stats.answered("a/x", 1.0, NOW)
    found = stats.of("a/x")
    assert found is not None
    assert 1.0 < found[0] < 1.5
