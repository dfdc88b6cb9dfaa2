"""Records that are a process's own until they concern all: what is shared, from when, and until when."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from hypothesis import given, strategies as st

from llmrouter.errors import RateLimitError, ServerError
from llmrouter.policy.breaker import Admission, Blocked, Breaker, BreakerSettings, Circuit, concerns_all, united
from llmrouter.policy.shared import Record, Records
from llmrouter.store.state import BackedState, MemoryState
from llmrouter.store.state_file import FILE, FileBackend
from llmrouter.store.state_partly import LOOK_EVERY_S, PartlyShared
from tests.store.state_records import NOW

CIRCUIT = Circuit("openai/gpt-6-luna", "breaker-1", BreakerSettings(failures=3, window_s=60.0, cooldown_s=30.0))
DOWN = ServerError("down", status=500)
BUSY = RateLimitError("slowly", status=429)
BUSY.retry_after = 20.0

Act: TypeAlias = Literal["fail", "succeed", "abandon", "busy"]


class _Counted:
    """A state that counts how often it is used."""

    def __init__(self) -> None:
        self.state, self.reads, self.changes = MemoryState(), 0, 0

    def change(self, *arguments: object) -> object:
        self.changes += 1
        return self.state.change(*arguments)  # type: ignore[arg-type]

    def read(self, *arguments: object) -> object:
        self.reads += 1
        return self.state.read(*arguments)  # type: ignore[arg-type]


def process(common: Records, scope: str = "service") -> Breaker:
    """The breakers of one process."""
    return Breaker(PartlyShared(common, concerns_all, united, lambda: scope))


def ask(breaker: Breaker, now: float, act: Act) -> bool:
    """Ask once, with such an outcome; return whether that was allowed."""
    found = breaker.allow(CIRCUIT, now)
    if isinstance(found, Blocked):
        return False
    if act == "succeed":
        breaker.succeeded(found, now)
    elif act == "abandon":
        breaker.abandoned(found, now)
    else:
        breaker.failed(found, DOWN if act == "fail" else BUSY, now)
    return True


def opened(breaker: Breaker, now: float = NOW) -> None:
    for _ in range(3):
        assert ask(breaker, now, "fail")


def test_an_open_breaker_is_open_for_all() -> None:
    common = MemoryState()
    one, other = process(common), process(common)
    opened(one)
    assert one.state(CIRCUIT, NOW) == other.state(CIRCUIT, NOW)
    assert not ask(other, NOW, "succeed")


def test_what_a_target_asked_to_wait_holds_for_all() -> None:
    common = MemoryState()
    one, other = process(common), process(common)
    ask(one, NOW, "busy")
    assert other.state(CIRCUIT, NOW).not_before_s == pytest.approx(20.0)
    assert ask(other, NOW + 20.1, "succeed")


def test_failures_that_open_nothing_are_each_processs_own() -> None:
    common = MemoryState()
    one, other = process(common), process(common)
    for breaker in (one, other, one, other):
        assert ask(breaker, NOW, "fail")
    assert one.state(CIRCUIT, NOW).failures == 2


def test_one_process_probes_for_all() -> None:
    common = MemoryState()
    one, other, third = process(common), process(common), process(common)
    opened(one)
    probe = other.allow(CIRCUIT, NOW + 31)
    assert isinstance(probe, Admission)
    assert probe.kind == "probe"
    assert not ask(one, NOW + 31, "succeed")
    assert not ask(third, NOW + 31, "succeed")
    other.succeeded(probe, NOW + 32)
    for breaker in (one, other, third):
        assert breaker.state(CIRCUIT, NOW + 32).phase == "closed"
        assert ask(breaker, NOW + 32, "fail")


def test_a_failed_probe_keeps_it_open_for_all() -> None:
    common = MemoryState()
    one, other = process(common), process(common)
    opened(one)
    assert ask(other, NOW + 31, "fail")
    assert one.state(CIRCUIT, NOW + 31).retry_in_s == pytest.approx(30.0)


def test_two_that_open_it_at_once_have_the_longer_time() -> None:
    common = MemoryState()
    one, other = process(common), process(common)
    for breaker in (one, other):
        for _ in range(2):
            ask(breaker, NOW, "fail")
    late = [breaker.allow(CIRCUIT, NOW) for breaker in (one, other)]
    for breaker, admission, now in zip((one, other), late, (NOW, NOW + 0.1), strict=True):
        assert isinstance(admission, Admission)
        breaker.failed(admission, DOWN, now)
    assert one.state(CIRCUIT, NOW + 0.1).retry_in_s == other.state(CIRCUIT, NOW + 0.1).retry_in_s == pytest.approx(30.0)


def test_a_long_rest_that_one_was_asked_for_outlasts_the_breaker_of_another() -> None:
    common = MemoryState()
    one, other = process(common), process(common)
    asked_to_rest = RateLimitError("slowly", status=429)
    asked_to_rest.retry_after = 800.0
    assert ask(other, NOW, "succeed")  # so that it does not look again
    one.failed(Admission(CIRCUIT), asked_to_rest, NOW)
    opened(other)
    assert one.state(CIRCUIT, NOW + 700).not_before_s == pytest.approx(100.0)


def test_another_scope_shares_nothing() -> None:
    common = MemoryState()
    opened(process(common))
    assert ask(process(common, "another"), NOW, "succeed")


def test_to_be_refused_takes_no_lock() -> None:
    common = _Counted()
    breaker = process(common)  # type: ignore[arg-type]
    opened(breaker)
    told = common.changes
    assert not ask(breaker, NOW, "succeed")
    assert common.changes == told


@pytest.mark.parametrize("failures", [2, 3])
def test_nothing_of_a_scope_that_is_over_counts_in_the_next(failures: int) -> None:
    scopes, common = ["first"], MemoryState()
    breaker = Breaker(PartlyShared(common, concerns_all, united, lambda: scopes[-1]))
    for _ in range(failures):
        assert ask(breaker, NOW, "fail")
    scopes.append("second")
    for _ in range(3):
        assert ask(breaker, NOW, "fail")
    assert not ask(breaker, NOW, "fail")


def test_a_target_that_answers_is_looked_for_four_times_a_second() -> None:
    common = _Counted()
    breaker = process(common)  # type: ignore[arg-type]
    for step in range(1000):
        assert ask(breaker, NOW + step * 0.001, "succeed")
    assert common.reads == pytest.approx(1 / LOOK_EVERY_S, abs=1)
    assert common.changes == 0


def test_a_clock_that_is_set_back_does_not_stop_the_looking() -> None:
    common = MemoryState()
    one, other = process(common), process(common)
    assert ask(other, NOW, "succeed")
    opened(one, NOW - 3600)
    assert not ask(other, NOW - 3600, "succeed")


def test_looking_makes_no_file(tmp_path: Path) -> None:
    state = BackedState(FileBackend(tmp_path / "state"))
    assert ask(process(state), NOW, "succeed")
    assert not (tmp_path / "state").exists()
    opened(process(state))
    state.close()
    assert (tmp_path / "state" / FILE).exists()


def test_a_breaker_that_its_process_alone_knows_of_is_handed_over_whole() -> None:
    mine: Record = [[[NOW, 3, 0]], NOW + 30, None, 0]
    theirs: Record = [[[NOW, 4, 1]], NOW + 20, ["owner", NOW + 40], NOW + 90]
    assert united(mine, theirs) == [[[NOW, 4, 1]], NOW + 30, ["owner", NOW + 40], NOW + 90]


_ACTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["fail", "fail", "succeed", "abandon", "busy"]),
        st.sampled_from([0.3, 5, 31]),
    ),
    max_size=60,
)


@given(_ACTS)
def test_whatever_happens_all_agree_on_who_is_left_alone(acts: list[tuple[int, Act, float]]) -> None:
    common = MemoryState()
    processes, now = [process(common) for _ in range(3)], NOW
    for number, act, seconds in acts:
        now += seconds  # longer than any of them goes without looking
        ask(processes[number], now, act)
        found = [breaker.state(CIRCUIT, now) for breaker in processes]
        if any(state.phase != "closed" or state.not_before_s for state in found):
            assert found[0] == found[1] == found[2]
